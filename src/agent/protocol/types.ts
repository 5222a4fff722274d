/**
 * The vocabulary of the failover protocol: what stands in the Lease, what a member remembers and is asked for. What it is told,
 * asks for and says to others is in exchange.ts. Everything in both is plain JSON, so the agent, the model checker and a log
 * replay run the same code. docs/failover.md explains the protocol itself.
 *
 * Times are integer milliseconds of CLOCK_BOOTTIME of the member's own node; they never cross to another member.
 */

/** How acknowledgements are counted: by a quorum of the standbys, by none, or by all of them. */
export type DurabilityMode = "Quorum" | "Async" | "All";

/** What a leader does when fewer than the wanted standbys can confirm: let writes wait, or go on without them. */
export type WhenDegraded = "Block" | "Async";

/** Whose confirmations an acknowledgement took: `leader`'s own copy and those of `ack` of `names`. */
export interface SyncBase {
  readonly leader: string;
  readonly mode: DurabilityMode;
  readonly names: readonly string[];
  readonly ack: number;
}

/**
 * The synchronous set under which the last activated epoch acknowledges writes; the copy in the Lease is the one that
 * candidates use. `names` is sorted and never holds `leader`; `ack` is W. `lineage` lists the activated epochs that the
 * leader's data descends from, oldest first, ending with `epoch` (at most {@link MAX_LINEAGE} of them). `version` counts
 * the changes within the epoch, from 1: members remember the highest they heard of, so that a register that went back is
 * noticed even when its epoch is still right.
 */
export interface SyncSet extends SyncBase {
  readonly epoch: number;
  readonly version: number;
  readonly lineage: readonly number[];
  /** Earlier sets, oldest first, that a candidate must satisfy too: not yet known to be flushed by W of `names`. */
  readonly unproven: readonly SyncBase[];
}

/** Names one state of the synchronous set; ordered by epoch, then version. */
export interface SyncVersion {
  readonly epoch: number;
  readonly version: number;
}

/** How many epochs of its data's descent a member remembers. */
export const MAX_LINEAGE = 32;

/**
 * What the Lease says. `holder` is `<pod>/<podUid>/<bootNonce>` and empty once released; `epoch` is leaseTransitions (0 in
 * a Lease that was never taken). `leader` is the holder's member name and stays after a release. `handover` is the member
 * a releasing leader names, else empty. `attempt` is the holder's own number for the write that produced this content: it
 * lets a holder recognise a write that got no answer. `failovers` counts unplanned hand-overs since a leader last stayed
 * for {@link FAILOVER_WINDOW_MS}: the budget. `sync` is null until the first epoch was activated.
 */
export interface LeaseContent {
  readonly holder: string;
  readonly epoch: number;
  readonly leader: string;
  readonly handover: string;
  readonly attempt: number;
  readonly failovers: number;
  readonly sync: SyncSet | null;
}

/**
 * A leader that stayed this long, in ms, sets the count of failovers back to zero. What kills every leader (a query that
 * is tried again and again) does so within seconds; a change of leader every quarter of a minute is no loop.
 */
export const FAILOVER_WINDOW_MS = 15_000;

/** With this many failovers counted, leaders restart in place and followers wait for the Lease to expire. */
export const FAILOVER_BUDGET = 3;

/** A Lease as read, with the resourceVersion that a compare-and-swap needs. */
export interface LeaseView {
  readonly resourceVersion: string;
  readonly content: LeaseContent;
}

/**
 * What a member keeps in its volume, fsynced. `epoch` is the highest epoch it promised, followed or led: it accepts no
 * leader, clone or candidate below it. `sync` is the newest synchronous set it heard a leader of. `lineage` is the descent
 * of its data. `leasePromise` is the failsafe promise that
 * may still be valid (its end is not stored: after a restart it is taken as given just now).
 */
export interface PersistedRecord {
  readonly epoch: number;
  readonly sync: SyncVersion;
  readonly lineage: readonly number[];
  readonly leasePromise: { readonly leader: string; readonly epoch: number } | null;
}

/** What the volume holds: nothing, a complete copy, or the remains of a clone or rewind that did not finish. */
export type VolumeState = "empty" | "data" | "incomplete";

/** The part of the operator's intent that the protocol acts on. `members` are names, sorted. */
export interface Intent {
  readonly members: readonly string[];
  /** Those of `members` that have not been in sync since they were added: no write waits for them. */
  readonly learners: readonly string[];
  readonly durability: { readonly mode: DurabilityMode; readonly whenDegraded: WhenDegraded };
  /** Largest distance behind the leader, in position units (decimal string), for an Async promotion or a switchover. */
  readonly maxLag: string;
  readonly paused: boolean;
  readonly bootstrapMember: string | null;
  readonly switchover: SwitchoverIntent | null;
  readonly forced: ForcedPromotion | null;
}

/** A wanted planned change of leader. `from` null: whoever leads; `to` null: the best follower. */
export interface SwitchoverIntent {
  readonly id: string;
  readonly from: string | null;
  readonly to: string | null;
}

/**
 * A person's order that `member` leads although acknowledged writes may be lost. It is for one vacancy: that of the synchronous
 * set of `epoch`; whoever leads next makes it void. `lost` are members that cannot run any more, as the person has made sure of.
 */
export interface ForcedPromotion {
  readonly member: string;
  readonly epoch: number;
  readonly lost: readonly string[];
}

/** What cannot change while this boot of the agent lives. `holder` is the identity written to the Lease. */
export interface Identity {
  readonly member: string;
  readonly holder: string;
}

/**
 * What the runtime found when this boot of the agent began. `engine` is "writable" only when the agent was restarted under
 * a running leader (same container): the protocol then takes the Lease anew with a higher epoch, the engine untouched, or
 * stops it. `persisted` is null on a new volume.
 */
export interface BootFindings {
  readonly volume: VolumeState;
  readonly engine: "stopped" | "follower" | "writable";
  readonly persisted: PersistedRecord | null;
}

/**
 * The member as others should see it, derived from the protocol's state. `epoch` is the epoch followed or led (0: none).
 * `reason` is one CamelCase word and says why the member is not Running, else null.
 */
export interface MemberView {
  readonly role: "leader" | "follower" | "none";
  readonly epoch: number;
  readonly leader: string | null;
  readonly state:
    | "Running"
    | "Starting"
    | "Cloning"
    | "Rewinding"
    | "Electing"
    | "Fenced"
    | "Blocked"
    | "Stalled"
    | "Stopped";
  readonly reason: string | null;
  readonly syncNames: readonly string[];
  readonly ack: number;
}

/** How a standby looks from the leader's engine. `flushed` is on the leader's history. */
export interface StandbyView {
  readonly member: string;
  readonly streaming: boolean;
  readonly flushed: string | null;
}
