// Events for people (`kubectl describe`, `kubectl events`): what changed, with the reason. Never read by programs, this one included.
import { type Clock, systemClock } from "../clock.ts";
import type { KubeApi } from "./api.ts";
import { isNotFound } from "./api-error.ts";
import { microTime } from "./leader-election.ts";
import type { KubeObject, ObjectRef } from "./object.ts";

/** What to tell about an object. */
export interface EventNote {
  readonly type: "Normal" | "Warning";
  /** CamelCase, from a small set: why it happened, such as LeaderChanged. */
  readonly reason: string;
  /** CamelCase: what was being done, such as Failover. */
  readonly action: string;
  /** A full sentence for people; cut at 1 kB. Never a secret. */
  readonly note: string;
}

/** The object an event is about; with its uid, so that the event does not pass to a namesake. */
export type EventSubject = ObjectRef & { readonly uid?: string; readonly resourceVersion?: string };

/** What became of an event. */
export type EventOutcome = "created" | "counted" | "limited" | "failed";

export interface EventRecorderOptions {
  readonly api: Pick<KubeApi, "create" | "mergePatch">;
  /** Qualified name, such as `quorate.io/operator`. */
  readonly controller: string;
  /** The pod; at most 128 characters. */
  readonly instance: string;
  readonly clock?: Clock;
  readonly random?: () => number;
  /** Called with every outcome, and the error of a failed one; must not throw. */
  readonly observe?: (outcome: EventOutcome, error?: unknown) => void;
}

interface Series {
  readonly namespace: string;
  readonly name: string;
  count: number;
  lastMs: number;
}

interface Bucket {
  tokens: number;
  atMs: number;
}

const NOTE_LIMIT_BYTES = 1024;
const SERIES_GAP_MS = 6 * 60_000; // as client-go: a later repetition starts a new event
const BURST_PER_OBJECT = 25;
const REFILL_MS = 300_000; // client-go's spam filter: one more event for an object every five minutes
const MAX_REMEMBERED = 4096;
const CALL_TIMEOUT_MS = 5_000;

interface EventObject extends KubeObject {
  readonly [field: string]: unknown;
}

/** Writes events.k8s.io/v1 events. Recording never throws and never waits: a lost event is counted, the loop goes on. */
export class EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #series = new Map<string, Series>();
  readonly #buckets = new Map<string, Bucket>();
  readonly #pending = new Set<Promise<void>>();
  #last: Promise<void> = Promise.resolve();

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
  }

  /** Tells something about `subject`. The same again within six minutes counts up the event that is there. */
  record(subject: EventSubject, event: EventNote): void {
    if (!this.#allowed(subject)) {
      this.#observe("limited");
      return;
    }
    // One after the other: two equal events at the same time would otherwise both create one.
    const written = this.#last
      .then(() => this.#write(subject, event))
      .catch((error: unknown) => this.#observe("failed", error));
    this.#last = written;
    this.#pending.add(written);
    void written.then(() => this.#pending.delete(written));
  }

  /** Resolves when everything recorded so far is written or given up; for the end of the process. */
  async flush(): Promise<void> {
    await Promise.all(this.#pending);
  }

  async #write(subject: EventSubject, event: EventNote): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    const { kind, namespace: of, name: about, uid } = subject;
    const key = JSON.stringify([kind, of, about, uid, event.type, event.reason, event.action, event.note]);
    const known = this.#series.get(key);
    if (known !== undefined && nowMs - known.lastMs < SERIES_GAP_MS && (await this.#count(known, nowMs))) {
      this.#observe("counted");
      return;
    }
    const namespace = subject.namespace ?? "default"; // events on cluster-scoped objects live there
    const suffix = Math.floor(this.#random() * 2 ** 48).toString(16);
    const name = `${subject.name.slice(0, 200)}.${this.#clock.now().getTime().toString(16)}${suffix}`;
    await this.#options.api.create<EventObject>(this.#eventObject(subject, event, { namespace, name }), {
      timeoutMs: CALL_TIMEOUT_MS,
    });
    remember(this.#series, key, { namespace, name, count: 1, lastMs: nowMs });
    this.#observe("created");
  }

  /** @returns false when the event is gone (they expire after an hour): make a new one. */
  async #count(series: Series, nowMs: number): Promise<boolean> {
    const ref = { apiVersion: "events.k8s.io/v1", kind: "Event", namespace: series.namespace, name: series.name };
    const patch = { series: { count: series.count + 1, lastObservedTime: microTime(this.#clock.now()) } };
    try {
      await this.#options.api.mergePatch(ref, patch, { timeoutMs: CALL_TIMEOUT_MS });
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
    series.count += 1;
    series.lastMs = nowMs;
    return true;
  }

  #eventObject(
    subject: EventSubject,
    event: EventNote,
    metadata: { readonly namespace: string; readonly name: string },
  ): EventObject {
    return {
      apiVersion: "events.k8s.io/v1",
      kind: "Event",
      metadata,
      eventTime: microTime(this.#clock.now()),
      reportingController: this.#options.controller,
      reportingInstance: this.#options.instance.slice(0, 128),
      regarding: subject,
      type: event.type,
      reason: event.reason,
      action: event.action,
      note: cutToBytes(event.note, NOTE_LIMIT_BYTES),
    };
  }

  #allowed(subject: EventSubject): boolean {
    const key = `${subject.kind} ${subject.namespace ?? ""}/${subject.name}`;
    const nowMs = this.#clock.monotonicMs();
    const bucket = this.#buckets.get(key) ?? { tokens: BURST_PER_OBJECT, atMs: nowMs };
    const tokens = Math.min(BURST_PER_OBJECT, bucket.tokens + (nowMs - bucket.atMs) / REFILL_MS);
    remember(this.#buckets, key, { tokens: tokens >= 1 ? tokens - 1 : tokens, atMs: nowMs });
    return tokens >= 1;
  }

  #observe(outcome: EventOutcome, error?: unknown): void {
    this.#options.observe?.(outcome, error);
  }
}

/** Sets the newest entry and drops the oldest ones beyond the limit. */
function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key);
  map.set(key, value);
  for (const oldest of map.keys()) {
    if (map.size <= MAX_REMEMBERED) return;
    map.delete(oldest);
  }
}

/** Cuts at a character's border, with an ellipsis that counts. */
function cutToBytes(text: string, limit: number): string {
  if (Buffer.byteLength(text) <= limit) return text;
  const bytes = Buffer.from(text).subarray(0, limit - 3);
  return `${new TextDecoder().decode(bytes, { stream: true })}…`; // streaming: an incomplete last character is held back
}
