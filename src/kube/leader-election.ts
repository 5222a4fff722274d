// One operator acts at a time: the holder of a Lease. For the operator's own replicas only; members elect by their own protocol.
//
// Guarantees: two candidates lead at the same time only if a clock runs more than (duration - deadline) / duration faster than another.
// Assumptions: `lead` stops acting when its signal aborts. Resource preconditions guard what it had already sent.
import { type Clock, type Random, sleep, systemClock } from "../clock.ts";
import { OperatorError } from "../errors.ts";
import type { KubeApi } from "./api.ts";
import type { KubeObject, ObjectMeta, Stored } from "./object.ts";

/** A coordination.k8s.io/v1 Lease on the wire. */
export interface Lease extends KubeObject {
  readonly spec?: {
    readonly holderIdentity?: string;
    readonly leaseDurationSeconds?: number;
    readonly leaseTransitions?: number;
    /** RFC 3339 with six digits of a second. */
    readonly acquireTime?: string;
    readonly renewTime?: string;
    readonly [field: string]: unknown;
  };
}

export interface LeaderElectionOptions {
  readonly api: Pick<KubeApi, "get" | "create" | "update">;
  readonly namespace: string;
  /** Name of the Lease; all candidates use the same. */
  readonly name: string;
  /** Unique per process, such as pod name and a nonce: a restarted process is another candidate. */
  readonly identity: string;
  /** How long others wait after the last renewal they saw, default 15,000. */
  readonly durationMs?: number;
  /** How long the holder goes on without a confirmed renewal, counted from before the send; default 10,000. Must be below `durationMs`. */
  readonly renewDeadlineMs?: number;
  /** Pause between tries, default 2,000. */
  readonly retryMs?: number;
  readonly clock?: Clock;
  readonly random?: Random;
  /** Failed tries; logged by the caller. */
  readonly onError?: (error: unknown) => void;
}

const KIND = { apiVersion: "coordination.k8s.io/v1", kind: "Lease" } as const;

/** A candidate. Call `run` once. */
export class LeaderElection {
  readonly #options: LeaderElectionOptions;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #durationMs: number;
  readonly #renewDeadlineMs: number;
  readonly #retryMs: number;
  #lease: Stored<Lease> | undefined;
  #mustRead = true;
  /** When `#lease` was first seen at its version, by our clock: the other side's clock is never compared with ours. */
  #seenMs = 0;
  /** Until when we hold it, on our clock; counted from before the send of the last confirmed write. */
  #validUntilMs = Number.NEGATIVE_INFINITY;

  constructor(options: LeaderElectionOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#durationMs = options.durationMs ?? 15_000;
    this.#renewDeadlineMs = options.renewDeadlineMs ?? 10_000;
    this.#retryMs = options.retryMs ?? 2_000;
    if (this.#renewDeadlineMs >= this.#durationMs || this.#retryMs * 1.2 >= this.#renewDeadlineMs) {
      throw new RangeError("durationMs > renewDeadlineMs > 1.2 retryMs must hold");
    }
  }

  /** Whether this process may act now. False as soon as the deadline has passed, also while the event loop was blocked. */
  get isLeading(): boolean {
    return this.#clock.monotonicMs() < this.#validUntilMs;
  }

  /**
   * Waits for the Lease, then runs `lead` while renewing it. Its signal aborts when the Lease is lost or `signal` aborts.
   *
   * @returns true when it ended by `signal` (the Lease is released, so that the next one need not wait), false when it was lost.
   *   `lead` has returned in both cases.
   * @throws what `lead` throws, after releasing the Lease.
   */
  async run(signal: AbortSignal, lead: (signal: AbortSignal) => Promise<void>): Promise<boolean> {
    while (!signal.aborted && !(await this.#try(signal))) await this.#pause(signal);
    if (signal.aborted) {
      await this.#release();
      return true;
    }
    const term = new AbortController();
    const stop = () => term.abort();
    signal.addEventListener("abort", stop, { once: true });
    const renewing = this.#renew(term);
    try {
      await lead(term.signal);
    } finally {
      term.abort();
      signal.removeEventListener("abort", stop);
      await renewing;
      if (this.isLeading) await this.#release();
    }
    return signal.aborted;
  }

  /** Renews until `term` ends; ends it when the deadline passes. */
  async #renew(term: AbortController): Promise<void> {
    while (!term.signal.aborted) {
      // Armed for every renewal anew: it fires while a call hangs, too.
      const cancel = this.#clock.schedule(this.#validUntilMs - this.#clock.monotonicMs(), () => term.abort());
      try {
        await this.#pause(term.signal);
        if (!term.signal.aborted) await this.#try(term.signal);
      } finally {
        cancel();
      }
      if (!this.isLeading) term.abort();
    }
  }

  /** One read and, where allowed, one write. @returns whether the Lease is ours now. */
  async #try(signal: AbortSignal): Promise<boolean> {
    const { api, namespace, name, identity } = this.#options;
    const call = { signal, timeoutMs: Math.min(this.#retryMs * 2, this.#renewDeadlineMs), maxRetries: 0 };
    const sentMs = this.#clock.monotonicMs();
    try {
      // The holder writes straight away; its last answer is the version to replace.
      if (!this.isLeading || this.#mustRead) this.#observe(await api.get<Lease>({ ...KIND, namespace, name }, call));
      const old = this.#lease;
      if (old !== undefined && !this.#isFree(old)) return false;
      const lease = this.#next(old);
      const written = old === undefined ? await api.create<Lease>(lease, call) : await api.update<Lease>(lease, call);
      this.#observe(written);
      if (written.spec?.holderIdentity !== identity) return false;
      this.#validUntilMs = sentMs + this.#renewDeadlineMs;
      return true;
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error;
      // Someone else wrote, or an answer was lost, perhaps of our own last write: the next try reads first. The deadline stays.
      this.#mustRead = true;
      if (!signal.aborted) this.#options.onError?.(error);
      return this.isLeading;
    }
  }

  #observe(lease: Stored<Lease> | undefined): void {
    const isNews = lease?.metadata.resourceVersion !== this.#lease?.metadata.resourceVersion;
    this.#lease = lease;
    this.#mustRead = false;
    if (isNews) this.#seenMs = this.#clock.monotonicMs();
    if (lease?.spec?.holderIdentity !== this.#options.identity) this.#validUntilMs = Number.NEGATIVE_INFINITY;
  }

  #isFree(lease: Stored<Lease>): boolean {
    const holder = lease.spec?.holderIdentity ?? "";
    if (holder === "" || holder === this.#options.identity) return true;
    const durationMs = (lease.spec?.leaseDurationSeconds ?? this.#durationMs / 1000) * 1000;
    return this.#clock.monotonicMs() - this.#seenMs >= durationMs;
  }

  #next(old: Stored<Lease> | undefined): Lease {
    const { namespace, name, identity } = this.#options;
    const now = microTime(this.#clock.now());
    const metadata: ObjectMeta = old?.metadata ?? { namespace, name };
    const isOurs = old?.spec?.holderIdentity === identity;
    return {
      ...KIND,
      metadata,
      spec: {
        ...old?.spec,
        holderIdentity: identity,
        leaseDurationSeconds: Math.ceil(this.#durationMs / 1000),
        leaseTransitions: (old?.spec?.leaseTransitions ?? 0) + (isOurs || old === undefined ? 0 : 1),
        acquireTime: isOurs ? (old?.spec?.acquireTime ?? now) : now,
        renewTime: now,
      },
    };
  }

  /** Hands the Lease back, best effort: if it fails, the next one waits for its end. */
  async #release(): Promise<void> {
    this.#validUntilMs = Number.NEGATIVE_INFINITY;
    const { api, namespace, name, identity } = this.#options;
    const call = { timeoutMs: this.#retryMs, maxRetries: 0 };
    try {
      const lease = await api.get<Lease>({ ...KIND, namespace, name }, call);
      if (lease?.spec?.holderIdentity !== identity) return;
      await api.update<Lease>({ ...lease, spec: { ...lease.spec, holderIdentity: "", leaseDurationSeconds: 1 } }, call);
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error;
      this.#options.onError?.(error);
    }
  }

  #pause(signal: AbortSignal): Promise<boolean> {
    return sleep(this.#clock, this.#retryMs * (1 + 0.2 * this.#random()), signal);
  }
}

/** RFC 3339 with six digits of a second, as `MicroTime` fields demand. */
export function microTime(date: Date): string {
  return date.toISOString().replace(/Z$/, "000Z");
}
