// Keeps one selection of objects in step with the API server, for as long as the process lives.
//
// States:  Listing ─▶ Watching ─▶ Watching (reconnected) … ─▶ Listing (version forgotten, or the server's state went back)
//             └───────┴──▶ Waiting (backoff) ──▶ where it came from          any ──▶ Stopped (signal)
//
// The server's state may go back when its store is restored from a backup. Versions then start again lower, and a watch from a
// version of the lost future stays silent. So every reconnect first asks for the current version, and one that is lower than
// what was seen leads to a full relist that says so. A restored state that has already grown past the last version seen
// looks like progress from here; docs/failover.md says how to restore so that it cannot.
import { type Clock, type Random, sleep, systemClock } from "../clock.ts";
import { RetryableError } from "../errors.ts";
import type { KubeApi, Selection, WatchEvent } from "./api.ts";
import { apiStatusOf, isGone } from "./api-error.ts";
import { listAll } from "./list.ts";
import { compareResourceVersions, describeRef, type KubeObject, keyOf, type Stored } from "./object.ts";
import type { ReflectorEvent } from "./reflector-event.ts";

/** Why a reflector had to connect again. `Closed` is the server's planned end of a watch. */
export const RECONNECT_REASONS = ["Closed", "Broken", "Silent", "Gone", "WentBack", "Refused"] as const;
export type ReconnectReason = (typeof RECONNECT_REASONS)[number];

/** Hooks for metrics and logs; called synchronously, must not throw. */
export interface ReflectorObserver {
  /** `error` is absent for a planned end. */
  reconnecting?(reason: ReconnectReason, error?: unknown): void;
  /** Anything was heard: an event, a bookmark, a list. */
  heard?(): void;
  /** The sink threw; the event counts as delivered. */
  sinkFailed?(error: unknown): void;
}

export interface ReflectorOptions<T extends KubeObject> {
  readonly api: Pick<KubeApi, "list" | "watch">;
  readonly selection: Selection;
  /** Receives every event, one at a time. What it throws is counted by `observer.sinkFailed` and otherwise ignored. */
  readonly sink: (event: ReflectorEvent<T>) => void;
  /** Reduces each object on arrival; must keep apiVersion, kind and the metadata that is needed. Default: `withoutBookkeeping`. */
  readonly project?: (object: Stored<T>) => Stored<T>;
  readonly observer?: ReflectorObserver;
  readonly clock?: Clock;
  readonly random?: Random;
  /** Without event, bookmark or answer for so long the connection counts as dead, default 90,000. Bookmarks come about once a minute. */
  readonly silenceMs?: number;
  /** Shortest life of a watch as asked of the server, default 300; each one gets up to twice that, so that not all end together. */
  readonly watchSeconds?: number;
  /**
   * First backoff, default 200; doubles up to `maxBackoffMs`, default 30,000; the wait is a random part of it. The server's
   * Retry-After lengthens it, up to the same limit: an API server that just started asks for 5 s, which a failover cannot wait.
   */
  readonly baseBackoffMs?: number;
  readonly maxBackoffMs?: number;
}

type Stream<T extends KubeObject> = AsyncGenerator<WatchEvent<T>, void, void>;

type State<T extends KubeObject> =
  /** Read everything. */
  | { readonly name: "Listing" }
  /** Follow from `#lastVersion`; `stream` is open already when it began with the list. */
  | { readonly name: "Watching"; readonly stream?: WatchConnection<T> }
  | { readonly name: "Waiting"; readonly next: "Listing" | "Watching"; readonly retryAfterMs: number }
  | { readonly name: "Stopped" };

/** One watch connection and the means to end it. */
interface WatchConnection<T extends KubeObject> {
  readonly events: Stream<T>;
  readonly cut: AbortController;
  readonly openedMs: number;
}

const LONGEST_CALL_MS = 30_000;
const SETTLED_MS = 10_000; // a connection that lived so long ends a row of failures

/** Reflects one selection. Create one per selection and call `run` once. */
export class Reflector<T extends KubeObject> {
  readonly #options: ReflectorOptions<T>;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #project: (object: Stored<T>) => Stored<T>;
  readonly #observer: ReflectorObserver;
  readonly #silenceMs: number;
  readonly #maxBackoffMs: number;
  #lastVersion: string | undefined;
  #mayHaveGoneBack = false;
  #streamLists: "Yes" | "Doubtful" | "No" = "Yes";
  #failures = 0;
  #heardMs: number;

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#project = options.project ?? withoutBookkeeping;
    this.#observer = options.observer ?? {};
    this.#silenceMs = options.silenceMs ?? 90_000;
    this.#maxBackoffMs = options.maxBackoffMs ?? 30_000;
    this.#heardMs = this.#clock.monotonicMs();
  }

  /** Milliseconds since anything was heard from the server: the age of what this reflector knows, and never more than `silenceMs` while all is well. */
  get ageMs(): number {
    return this.#clock.monotonicMs() - this.#heardMs;
  }

  /** Reflects until `signal` aborts; then closes its connection and resolves. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    let state: State<T> = { name: "Listing" };
    while (state.name !== "Stopped") state = signal.aborted ? { name: "Stopped" } : await this.#step(state, signal);
  }

  async #step(state: Exclude<State<T>, { name: "Stopped" }>, signal: AbortSignal): Promise<State<T>> {
    if (state.name === "Waiting") {
      await sleep(this.#clock, Math.max(Math.min(state.retryAfterMs, this.#maxBackoffMs), this.#backoffMs()), signal);
      return { name: state.next };
    }
    try {
      return state.name === "Listing" ? await this.#list(signal) : await this.#watch(state.stream, signal);
    } catch (error) {
      return this.#afterFailure(error, state.name, signal);
    }
  }

  /** Reads the whole selection: as a stream where the server can, else page by page. */
  async #list(signal: AbortSignal): Promise<State<T>> {
    if (this.#streamLists !== "Yes") return this.#listPages(signal);
    const connection = this.#open({ sendInitialEvents: true }, signal);
    try {
      const objects = new Map<string, Stored<T>>();
      for await (const event of this.#heardEvents(connection, signal)) {
        if (event.type !== "BOOKMARK") {
          // Live changes may come between the initial objects; the later one of a name counts.
          if (event.type === "DELETED") objects.delete(keyOf(event.object));
          else objects.set(keyOf(event.object), this.#project(event.object));
        } else if (event.initialEventsEnd) {
          this.#replace([...objects.values()], event.resourceVersion);
          return { name: "Watching", stream: connection };
        }
      }
      throw new RetryableError("The watch ended within the list", { reason: "WatchBroken" });
    } catch (error) {
      connection.cut.abort();
      if (signal.aborted) throw error;
      // A server without watch-list streaming refuses; an older one ignores the question, sends no end of the list and falls silent.
      if ([400, 422].includes(apiStatusOf(error)?.code ?? 0)) this.#streamLists = "No";
      else if (reasonOf(error) === "Silent") this.#streamLists = "Doubtful";
      if (this.#streamLists !== "Yes") return { name: "Listing" };
      throw error;
    }
  }

  async #listPages(signal: AbortSignal): Promise<State<T>> {
    const { api, selection } = this.#options;
    const options = { signal, timeoutMs: this.#callTimeoutMs, maxRetries: 0, project: this.#project };
    const list = await listAll<T>(api, selection, options).catch((error: unknown) => {
      if (this.#streamLists === "Doubtful") this.#streamLists = "Yes"; // silent altogether: it was not the streaming
      throw error;
    });
    if (this.#streamLists === "Doubtful") this.#streamLists = "No";
    this.#markHeard();
    this.#replace(list.items, list.resourceVersion);
    return { name: "Watching" };
  }

  async #watch(opened: WatchConnection<T> | undefined, signal: AbortSignal): Promise<State<T>> {
    const connection = opened ?? (await this.#resume(signal));
    if (connection === undefined) return { name: "Listing" };
    let delivered = opened !== undefined;
    try {
      for await (const event of this.#heardEvents(connection, signal)) {
        const version = event.type === "BOOKMARK" ? event.resourceVersion : event.object.metadata.resourceVersion;
        if (this.#isOlder(version)) return this.#wentBack();
        delivered = true;
        if (event.type === "BOOKMARK") this.#emit({ type: "Progressed", resourceVersion: version });
        else this.#emitChange(event.type, event.object);
      }
    } finally {
      connection.cut.abort();
      if (this.#clock.monotonicMs() - connection.openedMs >= SETTLED_MS) this.#failures = 0;
    }
    if (signal.aborted) return { name: "Stopped" };
    this.#observer.reconnecting?.("Closed");
    // A server that closes at once and says nothing would be asked in a tight loop.
    if (!delivered && this.#clock.monotonicMs() - connection.openedMs < 1000) {
      this.#failures += 1;
      return { name: "Waiting", next: "Watching", retryAfterMs: 0 };
    }
    return { name: "Watching" };
  }

  /** Connects again from the last version. @returns undefined when the server is at an older version: list. */
  async #resume(signal: AbortSignal): Promise<WatchConnection<T> | undefined> {
    const { api, selection } = this.#options;
    const from = this.#lastVersion;
    if (from === undefined) return undefined;
    const probe = { signal, limit: 1, timeoutMs: this.#callTimeoutMs, maxRetries: 0 };
    const { resourceVersion } = await api.list<T>(selection, probe);
    this.#markHeard();
    if (this.#isOlder(resourceVersion)) {
      this.#wentBack();
      return undefined;
    }
    return this.#open({ resourceVersion: from }, signal);
  }

  #wentBack(): State<T> {
    this.#mayHaveGoneBack = true;
    this.#observer.reconnecting?.("WentBack");
    return { name: "Listing" };
  }

  #afterFailure(error: unknown, at: "Listing" | "Watching", signal: AbortSignal): State<T> {
    if (signal.aborted) return { name: "Stopped" };
    const reason = reasonOf(error);
    this.#observer.reconnecting?.(reason, error);
    this.#failures += 1;
    const retryAfterMs = error instanceof RetryableError ? (error.retryAfterMs ?? 0) : 0;
    const next = reason === "Gone" ? "Listing" : at;
    // A version that was forgotten is the normal end of a long absence: the first relist does not wait.
    if (reason === "Gone" && this.#failures === 1) return { name: "Listing" };
    return { name: "Waiting", next, retryAfterMs };
  }

  #open(from: { sendInitialEvents: true } | { resourceVersion: string }, signal: AbortSignal): WatchConnection<T> {
    const { api, selection, watchSeconds = 300 } = this.#options;
    const cut = new AbortController();
    const timeoutSeconds = Math.round(watchSeconds * (1 + this.#random()));
    const events = api.watch<T>(selection, {
      ...from,
      timeoutSeconds,
      timeoutMs: this.#callTimeoutMs,
      signal: AbortSignal.any([signal, cut.signal]),
    });
    return { events, cut, openedMs: this.#clock.monotonicMs() };
  }

  /**
   * The events of a connection. Does not close it when the loop is left, because a list goes on as a watch.
   * @throws {RetryableError} `WatchSilent` when nothing comes for `silenceMs`.
   */
  async *#heardEvents(connection: WatchConnection<T>, signal: AbortSignal): Stream<T> {
    const { selection } = this.#options;
    const silenceMs = this.#silenceMs;
    for (;;) {
      let silent = false;
      const stopTimer = this.#clock.schedule(silenceMs, () => {
        silent = true;
        connection.cut.abort();
      });
      try {
        const next = await connection.events.next();
        if (next.done === true) return;
        this.#markHeard();
        stopTimer();
        yield next.value;
      } catch (error) {
        if (!silent || signal.aborted) throw error;
        const object = describeRef(selection);
        throw new RetryableError(`Nothing was heard for ${silenceMs} ms`, {
          reason: "WatchSilent",
          object,
          cause: error,
        });
      } finally {
        stopTimer();
      }
    }
  }

  #emitChange(type: "ADDED" | "MODIFIED" | "DELETED", object: Stored<T>): void {
    const { resourceVersion } = object.metadata;
    const event = {
      type: type === "DELETED" ? "Deleted" : "Upserted",
      object: this.#project(object),
      resourceVersion,
    } as const;
    this.#emit(event);
  }

  #replace(objects: readonly Stored<T>[], resourceVersion: string): void {
    const stateMayHaveGoneBack = this.#mayHaveGoneBack || this.#isOlder(resourceVersion);
    this.#mayHaveGoneBack = false;
    this.#emit({ type: "Replaced", objects, resourceVersion, stateMayHaveGoneBack });
  }

  #emit(event: ReflectorEvent<T>): void {
    this.#lastVersion = event.resourceVersion;
    try {
      this.#options.sink(event);
    } catch (error) {
      this.#observer.sinkFailed?.(error);
    }
  }

  #isOlder(version: string): boolean {
    return this.#lastVersion !== undefined && compareResourceVersions(version, this.#lastVersion) < 0;
  }

  #markHeard(): void {
    this.#heardMs = this.#clock.monotonicMs();
    this.#observer.heard?.();
  }

  get #callTimeoutMs(): number {
    return Math.min(LONGEST_CALL_MS, this.#silenceMs);
  }

  #backoffMs(): number {
    const { baseBackoffMs = 200 } = this.#options;
    return this.#random() * Math.min(this.#maxBackoffMs, baseBackoffMs * 2 ** Math.min(this.#failures, 20));
  }
}

/** Drops managedFields and kubectl's copy of the last manifest: more than half of a typical object, and of no use to readers. */
export function withoutBookkeeping<T extends KubeObject>(object: Stored<T>): Stored<T> {
  const { managedFields: _managed, annotations, ...metadata } = object.metadata;
  if (annotations === undefined) return { ...object, metadata };
  const { "kubectl.kubernetes.io/last-applied-configuration": _applied, ...kept } = annotations;
  return { ...object, metadata: { ...metadata, annotations: kept } };
}

function reasonOf(error: unknown): ReconnectReason {
  if (isGone(error)) return "Gone";
  if (error instanceof RetryableError && ["WatchSilent", "Deadline"].includes(error.reason)) return "Silent";
  return apiStatusOf(error) === undefined ? "Broken" : "Refused";
}
