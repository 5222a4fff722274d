/** What the protocol remembers between two events. Only the modules of this folder read more of it than `MemberView`. */
import type { Position } from "./position.ts";
import type { Profile } from "./profile.ts";
import type { Message } from "./exchange.ts";
import type {
  BootFindings,
  Identity,
  Intent,
  LeaseContent,
  LeaseView,
  PersistedRecord,
  StandbyView,
  SyncSet,
  SyncVersion,
  VolumeState,
} from "./types.ts";
import { expiryWaitMs } from "./profile.ts";

/** The Lease as last seen. `unchangedAtMs` is when this content was first seen; other writers' metadata does not reset it. */
export interface LeaseKnowledge {
  readonly view: LeaseView;
  readonly unchangedAtMs: number;
}

/**
 * The one lease write that may still be applied. `unresolved`: it got no answer, or a conflict that an earlier send of the
 * same write may have caused; a read decides. `firstSentAtMs` is what a confirmation counts from.
 */
export interface PendingWrite {
  readonly kind: "acquire" | "renew" | "release";
  readonly attemptId: number;
  readonly casResourceVersion: string;
  readonly content: LeaseContent;
  readonly firstSentAtMs: number;
  readonly status: "sent" | "unresolved";
  /** An earlier send of this write may have been applied. */
  readonly doubtful: boolean;
}

/** What is known of another member. `dead`: its init's port refused a connection and nothing was heard since. */
export interface Peer {
  readonly heardAtMs: number | null;
  readonly dead: boolean;
  readonly probing: boolean;
  readonly position: Position | null;
  readonly healthy: boolean;
  readonly sync: SyncVersion;
  /** Since when the leader's engine has not seen it stream; null while it streams. */
  readonly silentAtMs: number | null;
  /** The last epoch of its own that it called over: no engine of it can write any more. 0: none. */
  readonly stoppedEpoch: number;
}

/** The engine action in flight; `epoch` is the one it was asked for. */
export interface EngineAction {
  readonly actionId: number;
  readonly kind:
    | "StartEngine"
    | "Follow"
    | "Seal"
    | "Promote"
    | "SetSyncSet"
    | "Clone"
    | "Rejoin"
    | "Initialize"
    | "PrepareHandover";
  readonly epoch: number;
}

/** The own engine. `upstream` is whom it was last told to receive from; null after a seal or a start. */
export interface EngineView {
  readonly volume: VolumeState;
  readonly status: "stopped" | "starting" | "follower" | "writable" | "stopping";
  readonly position: Position | null;
  readonly standbys: readonly StandbyView[];
  readonly upstream: { readonly leader: string; readonly epoch: number } | null;
  /** The epoch for which it was told to stop receiving and said where it ended; null once it was told anything else. */
  readonly sealedFor: number | null;
  readonly action: EngineAction | null;
  /** Not before this time: the next try of an action that failed. */
  readonly retryAtMs: number;
  /** The local copy cannot follow the leader without a rejoin. */
  readonly diverged: boolean;
  readonly stoppingAtMs: number;
  /** The fence is armed: the engine may be writable. */
  readonly armed: boolean;
}

/** The lease that this boot acquired. `confirmedAtMs` is the send of the last confirmed renewal or promise round. */
export interface Hold {
  readonly epoch: number;
  readonly confirmedAtMs: number;
  readonly renewedAtMs: number;
  readonly sync: SyncSet | null;
  readonly failovers: number;
}

/** Why a member contends. `own`: it was the last leader itself; `adopt`: its engine still runs writable; `forced`: a person's order. */
export type ElectionCause = "bootstrap" | "released" | "expired" | "dead" | "own" | "adopt" | "recover" | "forced";

/** A member on its way to lead. `answers` holds the pre-votes, then the sealed answers, by member, its own included. */
export interface Candidate {
  readonly kind: "candidate";
  readonly stage: "reading" | "prevoting" | "acquiring" | "initializing" | "sealing" | "activating" | "promoting";
  readonly cause: ElectionCause;
  readonly epoch: number;
  readonly base: SyncSet | null;
  readonly round: number;
  readonly stageAtMs: number;
  readonly startedAtMs: number;
  readonly answers: Readonly<Record<string, Position | null>>;
  readonly waiting: readonly string[];
  readonly next: SyncSet | null;
  readonly engineSet: boolean;
}

/** Whose confirmations a leader wants, and how many of them. */
export type SyncTarget = Pick<SyncSet, "mode" | "names" | "ack">;

/** The target of a change of the synchronous set, and how far it is: Lease, members know, engine, Lease. */
export interface SyncChange {
  readonly target: SyncTarget;
  readonly stage: "widening" | "telling" | "engine" | "narrowing";
}

/** A round of failsafe promises. */
export interface PromiseRound {
  readonly sentAtMs: number;
  readonly round: number;
  readonly promised: readonly string[];
}

/** A member whose engine is writable under its own epoch. `verified`: W standbys have flushed all there was at promotion. */
export interface Leader {
  readonly kind: "leader";
  readonly epoch: number;
  readonly sinceAtMs: number;
  readonly verified: boolean;
  readonly routed: boolean;
  readonly change: SyncChange | null;
  /** The newest set that enough members of the one before it know of. */
  readonly told: SyncTarget;
  readonly promises: PromiseRound | null;
  readonly heartbeatAtMs: number;
  readonly reasserting: boolean;
}

/** A leader that gives up its office on purpose. `target` is named in the release. */
export interface Resigning {
  readonly kind: "resigning";
  readonly why: "switchover" | "term" | "engine-exited" | "yield";
  readonly target: string;
  readonly switchoverId: string | null;
  readonly stage: "preparing" | "stopping" | "releasing";
  readonly startedAtMs: number;
  /** From when on a clean stop is not waited for; null: as long as it takes. */
  readonly killAtMs: number | null;
  /** The others were told that the engine is gone, because the register would not take the release. */
  readonly isTold: boolean;
}

/** Anyone else: follows when there is somebody to follow. */
export interface Follower {
  readonly kind: "follower";
}

/** The office a member holds. */
export type Role = Follower | Candidate | Leader | Resigning;

/** The newest leader whose activation or heartbeat was accepted; `serving`: a heartbeat, so its engine is writable. */
export interface HeardLeader {
  readonly serving: boolean;
  readonly member: string;
  readonly epoch: number;
  readonly lineage: readonly number[];
  readonly position: Position | null;
  readonly atMs: number;
}

/** A message on its way. `round` ties answers to the candidacy or promise round they belong to. */
export interface Sent {
  readonly sendId: number;
  readonly to: string;
  readonly type: Message["type"];
  readonly round: number;
  readonly sentAtMs: number;
}

/** A seal asked by a candidate, answered once the engine has stopped receiving. */
export interface SealRequest {
  readonly requestId: string;
  readonly epoch: number;
}

/** The whole state of one member; JSON, frozen by convention. Fields named `…AtMs` are times, every other number is not. */
export interface State {
  readonly identity: Identity;
  readonly profile: Profile;
  readonly nowAtMs: number;
  readonly nextId: number;
  readonly intent: Intent | null;
  readonly record: PersistedRecord;
  /** Until then this member neither votes nor contends: a promise may have been forgotten. */
  readonly quarantineAtMs: number;
  readonly promisedAtMs: number | null;
  readonly lease: LeaseKnowledge | null;
  readonly leaseGone: boolean;
  readonly read: { readonly readId: number; readonly sentAtMs: number } | null;
  readonly readAgainAtMs: number;
  readonly write: PendingWrite | null;
  readonly hold: Hold | null;
  readonly role: Role;
  readonly engine: EngineView;
  readonly peers: Readonly<Record<string, Peer>>;
  readonly heard: HeardLeader | null;
  readonly sent: readonly Sent[];
  readonly sealRequests: readonly SealRequest[];
  /** The highest epoch any member spoke of. */
  readonly seenEpoch: number;
  readonly contendAtMs: number;
  readonly nominated: boolean;
  readonly terminating: boolean;
  readonly exited: boolean;
  readonly blocked: string | null;
  /** The switchover last answered or begun, and whom it was handed to while its end is awaited. */
  readonly switchoverDone: string | null;
  readonly handedOver: { readonly id: string; readonly target: string; readonly epoch: number } | null;
  readonly trustedAtMs: number;
}

const NO_RECORD: PersistedRecord = { epoch: 0, sync: { epoch: 0, version: 0 }, lineage: [], leasePromise: null };

/**
 * The state of a member whose agent has just started. It leads nothing, whatever the Lease says. It may vote at once when
 * its promises were persisted and none was open; otherwise it waits one lease duration.
 */
export function initialState(
  identity: Identity,
  profile: Profile,
  boot: BootFindings & { readonly nowMs: number },
): State {
  const record = boot.persisted ?? NO_RECORD;
  const promiseLost = boot.persisted === null ? boot.volume !== "empty" : record.leasePromise !== null;
  return {
    identity,
    profile,
    nowAtMs: boot.nowMs,
    nextId: 1,
    intent: null,
    record,
    quarantineAtMs: promiseLost ? boot.nowMs + expiryWaitMs(profile) : boot.nowMs,
    promisedAtMs: null,
    lease: null,
    leaseGone: false,
    read: null,
    readAgainAtMs: boot.nowMs,
    write: null,
    hold: null,
    role: { kind: "follower" },
    engine: {
      volume: boot.volume,
      status: boot.engine,
      position: null,
      standbys: [],
      upstream: null,
      sealedFor: null,
      action: null,
      retryAtMs: boot.nowMs,
      diverged: false,
      stoppingAtMs: boot.nowMs,
      armed: boot.engine === "writable",
    },
    peers: {},
    heard: null,
    sent: [],
    sealRequests: [],
    seenEpoch: record.epoch,
    contendAtMs: boot.nowMs,
    nominated: false,
    terminating: false,
    exited: false,
    blocked: null,
    switchoverDone: null,
    handedOver: null,
    trustedAtMs: boot.nowMs,
  };
}
