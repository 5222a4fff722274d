/**
 * What goes into and out of the protocol: messages between members, effects that it asks for, events that it is told. Nothing here
 * reads a clock: every event carries the time at which it happened. The order of work is part of the contract, see {@link Effect}.
 */
import type { Position } from "./position.ts";
import type { Intent, LeaseContent, LeaseView, PersistedRecord, StandbyView, SyncVersion } from "./types.ts";

// ---------------------------------------------------------------------------------------------------------------- messages

/**
 * What a candidate relies on: the synchronous set it read in the Lease. `recover`: the Lease went back or was lost, and the
 * candidate therefore asks all members instead.
 */
export interface ElectionBase {
  readonly sync: SyncVersion;
  readonly recover: boolean;
}

/** What a member asks of another. */
export type Message =
  /** “Would you let me contend for `epoch`?” No promise is made. `early`: the Lease has not expired, the leader is thought dead. */
  | { readonly type: "PreVote"; readonly epoch: number; readonly base: ElectionBase; readonly early: boolean }
  /** “I hold the Lease at `epoch`: persist that, stop receiving from anyone older, and tell me where you ended.” */
  | { readonly type: "Seal"; readonly epoch: number; readonly base: ElectionBase }
  /** “I lead `epoch` and cannot renew: promise me not to vote or contend for a lease duration.” */
  | { readonly type: "Promise"; readonly epoch: number }
  /**
   * “The Lease says that I lead `epoch`, with this set: persist that.” Sent while the engine is promoted, so that nobody waits for
   * it then. `position` is where its copy was sealed: who is not ahead of it may connect already, see {@link Position.sendable}.
   */
  | {
      readonly type: "Activated";
      readonly epoch: number;
      readonly sync: SyncVersion;
      readonly position: Position | null;
      readonly lineage: readonly number[];
    }
  /** The sign of life of a leader whose engine is writable, sent every period: what followers follow. */
  | {
      readonly type: "Heartbeat";
      readonly epoch: number;
      readonly sync: SyncVersion;
      readonly position: Position | null;
      readonly lineage: readonly number[];
    }
  /** “You are the most advanced (or named by my release): look at the Lease and contend now.” A hint. */
  | { readonly type: "Nominate"; readonly epoch: number }
  /** “I led `epoch`, no process of that engine lives, and the register has not taken the Lease back from me.” */
  | { readonly type: "Stopped"; readonly epoch: number };

/** The answer to a {@link Message} of the same name. */
export type ReplyMessage =
  | {
      readonly type: "PreVoteReply";
      readonly granted: boolean;
      readonly reason: string | null;
      readonly epoch: number;
      readonly position: Position | null;
    }
  /** `sealed` with a null position (no readable copy) keeps the promise but counts for nothing. */
  | {
      readonly type: "SealReply";
      readonly sealed: boolean;
      readonly reason: string | null;
      readonly epoch: number;
      readonly position: Position | null;
    }
  | { readonly type: "PromiseReply"; readonly granted: boolean; readonly epoch: number }
  /** `sync` is what the member has persisted; 0, 0 when it does not accept that leader. */
  | { readonly type: "ActivatedReply"; readonly epoch: number; readonly sync: SyncVersion }
  /** `healthy`: the engine runs read-only and receives from the asking leader. `sync` is what the member has persisted. */
  | {
      readonly type: "HeartbeatReply";
      readonly epoch: number;
      readonly sync: SyncVersion;
      readonly position: Position | null;
      readonly healthy: boolean;
    }
  | { readonly type: "NominateReply"; readonly epoch: number }
  | { readonly type: "StoppedReply"; readonly epoch: number };

// ------------------------------------------------------------------------------------------------------------------ effects

/**
 * What the runtime is asked to do. The effects of one transition form a batch. Batches, and the effects in a batch, are
 * *started* in order; a `Persist` must be durable (fsync of file and folder) before any later effect, of this batch or a
 * later one, is started. A Persist that fails must end the agent process (init restarts it; the engine is not touched).
 *
 * Effects with an `actionId` are answered by exactly one `ActionDone` or `ActionFailed` with that id, except `StopEngine`,
 * which is answered by `EngineGone` (and retried by the protocol on a timer). At most one engine action is in flight,
 * except that StopEngine may be asked at any time: it ends the running action (answer that with ActionFailed).
 */
export type Effect =
  /** Make this record durable. The barrier described above. */
  | { readonly type: "Persist"; readonly record: PersistedRecord }
  /** Linearizable GET of the Lease, timeout ≤ 1 s; answered by LeaseObserved{readId}, LeaseGone{readId} or LeaseReadFailed{readId}. */
  | { readonly type: "ReadLease"; readonly readId: number }
  /** PUT with exactly this resourceVersion, timeout ≤ 1 s; answered by LeaseWriteResult. The runtime never retries it by itself. */
  | {
      readonly type: "WriteLease";
      readonly attemptId: number;
      readonly casResourceVersion: string;
      readonly content: LeaseContent;
    }
  /** Answered by MessageReply or MessageFailed with this sendId. A sender ignores answers that come late. */
  | {
      readonly type: "SendMessage";
      readonly sendId: number;
      readonly to: string;
      readonly message: Message;
      readonly timeoutMs: number;
    }
  /** The answer to MessageReceived{requestId}. */
  | { readonly type: "Reply"; readonly requestId: string; readonly reply: ReplyMessage }
  /** Connect to the member's init port; answered by PeerProbed. */
  | { readonly type: "ProbePeer"; readonly member: string }
  /** Start the engine read-only, receiving from nobody (no upstream configured). Done when positions can be read. */
  | { readonly type: "StartEngine"; readonly actionId: number }
  /** Stop every engine process: `fast` lets it finish cleanly (bounded by the runtime), `kill` does not. → EngineGone. */
  | { readonly type: "StopEngine"; readonly mode: "fast" | "kill" }
  /**
   * Receive from that leader. Failed{cause: "diverged"} when the local copy is past the fork point or the leader lacks the
   * log: the protocol then asks for Rejoin. Done as soon as the configuration is effective (not: caught up).
   */
  | {
      readonly type: "Follow";
      readonly actionId: number;
      readonly leader: string;
      /** Where that leader was in this epoch: which histories its log holds, and up to where. */
      readonly position: Position;
      readonly epoch: number;
    }
  /** Stop receiving from anyone, durably across engine restarts. Done{position}: final, read after the receiver has ended. */
  | { readonly type: "Seal"; readonly actionId: number; readonly epoch: number }
  /**
   * Make the running engine writable as leader of `epoch` (hooks get the epoch). Done when it accepts writes. Also emitted
   * for an engine that is writable already, when its leader took a new epoch without a restart: then only the hooks run.
   */
  | { readonly type: "Promote"; readonly actionId: number; readonly epoch: number }
  /**
   * Configure the synchronous set. `verify: false` (before Promote): done when the engine will use it from its first write.
   * `verify: true`: done when every sender of the engine uses it and, after that, a position read later than any write so
   * far acknowledged is flushed by at least `ack` of `names`. It may take for ever: the protocol replaces it with another
   * SetSyncSet, which ends this one (answer it with ActionFailed).
   */
  | {
      readonly type: "SetSyncSet";
      readonly actionId: number;
      readonly names: readonly string[];
      readonly ack: number;
      readonly verify: boolean;
    }
  /** Tell init the new deadline; it only ever moves later. Emitted before Promote for every writable start. */
  | { readonly type: "ExtendFence"; readonly deadlineMs: number }
  /** Disarm the fence; emitted only when no engine process lives. */
  | { readonly type: "DisarmFence" }
  /** Write (or withdraw) this member as the one that serves writes, with the epoch; lowering an epoch is refused there. */
  | { readonly type: "Route"; readonly ready: boolean; readonly epoch: number }
  /** Copy the leader's data into the (empty or incomplete) volume, engine stopped. Done when the copy is complete. */
  | { readonly type: "Clone"; readonly actionId: number; readonly from: string; readonly epoch: number }
  /**
   * Bring a diverged copy (engine stopped) onto the leader's history: wait for the leader's checkpoint, rewind, else clone.
   * `sameHistoryUnsafe`: our data followed an epoch that the leader's does not descend from, so equal history names prove
   * nothing: clone, do not trust a rewind that says "not required".
   */
  | {
      readonly type: "Rejoin";
      readonly actionId: number;
      readonly from: string;
      readonly epoch: number;
      readonly sameHistoryUnsafe: boolean;
    }
  /** Create a new, empty engine in the empty volume (engine stopped). */
  | { readonly type: "Initialize"; readonly actionId: number; readonly epoch: number }
  /** What the engine can do while still serving so that the stop is short (a checkpoint). */
  | { readonly type: "PrepareHandover"; readonly actionId: number }
  /** Send a Tick no later than this. Ticks also come every quarter period. */
  | { readonly type: "WakeAt"; readonly atMs: number }
  /** Something a person wants to know (log line, Event). `reason` is one CamelCase word. */
  | { readonly type: "Report"; readonly level: "info" | "warning"; readonly reason: string; readonly message: string }
  /** The answer to a switchover of the intent, once per id. */
  | {
      readonly type: "SwitchoverResult";
      readonly id: string;
      readonly result: "Done" | "Refused" | "Failed";
      readonly message: string;
    }
  /** TERM was asked and the engine is gone: the agent exits 0. */
  | { readonly type: "Exit" };

// ------------------------------------------------------------------------------------------------------------------- events

/** Every event carries the time at which the runtime took it in. */
export type Event = { readonly nowMs: number } & EventBody;

/** What the runtime tells. See {@link Effect} for which effect each answers. */
export type EventBody =
  | { readonly type: "Tick" }
  /** A Lease read (`readId`) or a watch event (`readId` null). A watch may be behind; a read is not. */
  | { readonly type: "LeaseObserved"; readonly readId: number | null; readonly lease: LeaseView }
  | { readonly type: "LeaseGone"; readonly readId: number | null }
  | { readonly type: "LeaseReadFailed"; readonly readId: number }
  /**
   * `ok` carries the new resourceVersion. `conflict`: refused by resourceVersion. `failed`: surely not applied (connection
   * refused before sending, 4xx other than 409/408/429). `indeterminate`: everything else.
   */
  | {
      readonly type: "LeaseWriteResult";
      readonly attemptId: number;
      readonly result: "ok" | "conflict" | "failed" | "indeterminate";
      readonly resourceVersion: string | null;
    }
  | { readonly type: "MessageReceived"; readonly from: string; readonly requestId: string; readonly message: Message }
  | { readonly type: "MessageReply"; readonly sendId: number; readonly from: string; readonly reply: ReplyMessage }
  | {
      readonly type: "MessageFailed";
      readonly sendId: number;
      readonly to: string;
      readonly cause: "timeout" | "refused" | "error";
    }
  /**
   * What a connection to the member's init port did. `refused` is proof that its container is dead; `timeout` proves nothing.
   * The runtime also sends it unasked when a peer connection breaks.
   */
  | { readonly type: "PeerProbed"; readonly member: string; readonly result: "accepted" | "refused" | "timeout" }
  /** The engine's main process ended without being asked; other engine processes may live. */
  | { readonly type: "EngineExited" }
  /** No engine process lives. Answers StopEngine; also sent when it is found out otherwise. */
  | { readonly type: "EngineGone" }
  /** A probe of the running engine, every period and after changes. `position` null: could not be read. */
  | {
      readonly type: "EngineState";
      readonly writable: boolean;
      readonly position: Position | null;
      readonly standbys: readonly StandbyView[];
    }
  /** `position` is given for Seal and Promote, else null. */
  | { readonly type: "ActionDone"; readonly actionId: number; readonly position: Position | null }
  | {
      readonly type: "ActionFailed";
      readonly actionId: number;
      readonly cause: "diverged" | "error" | "ended";
      readonly message: string;
    }
  | { readonly type: "IntentChanged"; readonly intent: Intent }
  /** init reported that the deadline passed (every engine process was killed). */
  | { readonly type: "FenceFired" }
  /** The clocks disagreed or the loop slept: sends from before now no longer count for the fence. */
  | { readonly type: "ClockSuspect" }
  /** SIGTERM. `graceMs`: what is left until SIGKILL; null when nobody said. */
  | { readonly type: "TermRequested"; readonly graceMs: number | null };
