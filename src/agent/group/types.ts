/**
 * The vocabulary of a member whose engine knows its group itself: one that elects a leader (topology Consensus), or one all of
 * whose members write (topology ActiveActive). Each round the agent looks at everything anew and takes
 * at most one move; a move that was cut short is found again by the next round, of this agent or of another. Plain values
 * only, times are milliseconds of the member's own monotonic clock.
 */
import type { EngineGroup, EnginePosition } from "../../api/engine-observation.ts";
import type { Greeting, GreetingReply } from "./wire.ts";

/** The part of the operator's intent that a member of a group acts on. */
export interface GroupIntent {
  readonly generation: number;
  readonly members: readonly string[];
  readonly bootstrapMember: string | null;
  readonly paused: boolean;
  /** See `Intent.group`. */
  readonly incarnation: number;
  readonly founder: string | null;
  readonly switchover: { readonly id: string; readonly from: string | null; readonly to: string | null } | null;
}

/** What a member keeps on its volume, fsynced. */
export interface GroupRecord {
  /** How often the group had been recovered when this copy was begun. */
  readonly incarnation: number;
  /** The identity that the copy was last started under; in topology Consensus no other copy may ever be started under it. */
  readonly id: string | null;
  /**
   * Topology ActiveActive. `May`: the group may be begun from this copy whoever is silent, because it was just made, or chosen by a
   * person. `Begun`: that was tried, and nobody is known to have joined yet. `None`: other copies count as much.
   */
  readonly founding: "None" | "May" | "Begun";
  /** Topology ActiveActive: it was started to join the others, and has not been seen to serve since: they have what it had. */
  readonly joining: boolean;
}

/** What the running engine says of itself. */
export interface EngineView {
  readonly leads: boolean;
  /** Whether it can be used: it knows of a leader; or, where every member writes, takes writes. */
  readonly serves: boolean;
  readonly group: EngineGroup;
  readonly position: EnginePosition;
}

/** Another member's last answer to a greeting. */
export interface PeerView {
  readonly reply: GreetingReply;
  readonly atMs: number;
}

/** The last greeting of a leader. */
export interface HeardGreeting {
  readonly from: string;
  readonly greeting: Greeting;
  readonly atMs: number;
}

/** Everything that a round decides on. */
export interface GroupView {
  readonly self: string;
  readonly nowMs: number;
  readonly periodMs: number;
  readonly intent: GroupIntent;
  readonly record: GroupRecord;
  readonly copy: GreetingReply["copy"];
  readonly engine: "stopped" | "running";
  /** undefined while the engine does not answer. */
  readonly seen: EngineView | undefined;
  readonly heard: HeardGreeting | undefined;
  readonly peers: ReadonlyMap<string, PeerView>;
  /** The newest intent that any member was heard to have. */
  readonly newestGeneration: number;
  /** Identities that this leader gave out and that were not started yet, by member. */
  readonly invitations: ReadonlyMap<string, string>;
  /** Where the log of the stopped copy ends; null when it holds nothing of its own, undefined while that is not known. */
  readonly rest: EnginePosition | null | undefined;
  /** The Lease that this member took to begin the group; undefined while it holds none that lasts. */
  readonly claim: FoundingClaim | undefined;
  /** Since when the member knows of no leader; undefined while it knows of one. */
  readonly leaderlessSinceMs: number | undefined;
  /** Since when leaders say that they do not know this member's copy; undefined while they do, or none says anything. */
  readonly missingSinceMs: number | undefined;
  /** Since when this incarnation was asked for; a founder gives the others that long to step aside. */
  readonly recoverySinceMs: number;
  /** A switchover that has been answered is not carried out again. */
  readonly answeredSwitchover: string | undefined;
  readonly terminating: boolean;
}

/** The right to begin the group, which at most one member has at a time. */
export interface FoundingClaim {
  readonly epoch: number;
  /** When it was certain; who was at rest after that cannot have begun a group since. */
  readonly wonMs: number;
}

/** What a member does next. */
export type Move =
  | { readonly kind: "Wait" }
  | { readonly kind: "Initialize" }
  /** Take up the identity that the leader gave out, and start under it. */
  | { readonly kind: "Join"; readonly id: string }
  | { readonly kind: "Start" }
  | { readonly kind: "Stop" }
  /** Nothing may run any more, and nothing does. */
  | { readonly kind: "Exit" }
  /** Stop, and set the copy aside: it can never be started again. `keep`: the group may not have what is in it. */
  | { readonly kind: "SetAside"; readonly why: string; readonly keep: boolean }
  /** Take note of an incarnation of which there is no copy here yet. */
  | { readonly kind: "Adopt" }
  /** Begin the group anew from the own copy alone. */
  | { readonly kind: "Recover" }
  | { readonly kind: "Add"; readonly member: string }
  | { readonly kind: "Promote"; readonly member: string; readonly id: string }
  | { readonly kind: "Remove"; readonly member: string; readonly id: string; readonly why: string }
  | { readonly kind: "HandOver"; readonly to: string; readonly id: string; readonly request: string | null }
  /** Start, and join those that serve. */
  | { readonly kind: "Enter" }
  /** Take the Lease, which is the right to begin the group. */
  | { readonly kind: "Claim" }
  /** Start, and begin the group from the own copy. */
  | { readonly kind: "Found" }
  /** Say what became of a switchover. */
  | {
      readonly kind: "Answer";
      readonly request: string;
      readonly result: "Done" | "Refused";
      readonly message: string;
    };

/** A move, and what the member says of itself meanwhile. */
export interface Verdict {
  readonly move: Move;
  /** Why the member is not what it should be, one CamelCase word; null when all is well or in progress. */
  readonly reason: string | null;
}
