// The planner's answer as data: what to do, what cannot be done and why, when to look again.
import type { AuthorityStage } from "../api/authority-note.ts";
import type { OperationStatus } from "../api/cluster-operation.ts";
import type { Blocked, Resharding } from "../api/cluster-status.ts";
import type { RolloutStatus, UpdatePolicy } from "../api/update.ts";
import type { Connection } from "../build/connection.ts";
import type { Manifest, ManifestMeta } from "../build/manifest.ts";
import type { Guard } from "./guards.ts";
import type { ExclusiveChange } from "./interlock.ts";

/** An object to be deleted, in exactly the incarnation that was seen. */
export interface Doomed {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** One thing to do. `reason` says why, for logs. */
export type Step =
  /** Server-side apply of the whole manifest. `isFinal`: it says something that is not taken back when it turns out to be wrong. */
  | { readonly kind: "Apply"; readonly manifest: Manifest; readonly reason: string; readonly isFinal?: true }
  /** Create, and leave alone what is already there under that name. */
  | { readonly kind: "Create"; readonly manifest: Manifest; readonly reason: string }
  | { readonly kind: "Delete"; readonly object: Doomed; readonly reason: string }
  /** Fill a ConfigMap with the operator's own agent. */
  | { readonly kind: "OfferAgent"; readonly manifest: Manifest; readonly hash: string; readonly reason: string }
  /** Make the authorities that the stage needs, and a certificate for all members. `metadata.name` is the cluster's. */
  | {
      readonly kind: "IssueCertificates";
      readonly metadata: ManifestMeta;
      readonly hosts: readonly string[];
      /** Stage that it is issued in, when the Secret is in stage `from`; it is left as it is when another got ahead. */
      readonly to: AuthorityStage;
      readonly from: AuthorityStage;
      /** How long a next authority signs nothing after it was made. */
      readonly overlapMs: number;
      /** The user's request that is answered by it, or the last one that was. */
      readonly request: string;
      /** Whether clients have certificates, of an authority of their own. */
      readonly hasClients: boolean;
      readonly reason: string;
    }
  /** Make a password for every key that has none yet. Existing ones are never changed. */
  | {
      readonly kind: "GenerateCredentials";
      readonly metadata: ManifestMeta;
      readonly keys: readonly string[];
      readonly reason: string;
    }
  /**
   * Write what applications connect with, with the password of the credentials Secret, the authority of the peer Secret, and a
   * certificate of its own where clients have one.
   */
  | {
      readonly kind: "WriteConnection";
      readonly metadata: ManifestMeta;
      readonly connection: Connection;
      readonly credentialsName: string;
      readonly peerName: string;
      /** The cluster that it leads to. */
      readonly cluster: string;
      readonly reason: string;
    }
  /** Only over the version that was seen: a write that comes late must not undo the end of an operation. */
  | {
      readonly kind: "ReportOperation";
      readonly namespace: string;
      readonly name: string;
      readonly uid: string;
      readonly resourceVersion: string;
      readonly status: OperationStatus;
      readonly reason: string;
    };

/**
 * Whether nothing undoes the step: something is deleted, or a revision is given up for good. What was heard last is not enough to
 * decide it, so a plan that holds such a step is made once more from what is read live.
 */
export function cannotBeTakenBack(step: Step): boolean {
  return step.kind === "Delete" || (step.kind === "Apply" && step.isFinal === true);
}

/** Something that is not done now. */
export interface Block extends Omit<Blocked, "since" | "guard" | "nextTry"> {
  readonly guard: Guard;
  /** When the step is tried again by itself, epoch milliseconds. Must not move from pass to pass: it is in status. */
  readonly nextTryMs?: number;
}

/** A pod template that differs by the operator's version or the Engine alone. */
export interface PendingChange {
  readonly policy: UpdatePolicy["pending"];
  readonly templateHash: string;
  /** What it would change, a line each. */
  readonly differences: readonly string[];
}

/** What to do now. Steps are carried out in order; the first that fails ends the pass. */
export interface Plan {
  readonly steps: readonly Step[];
  readonly blocked: readonly Blocked[];
  /** The change in progress in a few words; empty when nothing is going on. */
  readonly change: string;
  /** How far a roll of the members is; undefined when nobody looked. */
  readonly rollout: RolloutStatus | undefined;
  /** The planned change whose step runs now; undefined while nothing runs, and while a guard holds it back. */
  readonly planned: ExclusiveChange | undefined;
  /** A template that waits although nobody holds it back in the ClusterSpec; undefined when there is none. */
  readonly pending: PendingChange | undefined;
  /** How slots move between shards; undefined when that is as it was last told. */
  readonly resharding?: Resharding | undefined;
  /** Look again after so long even if nothing is heard. */
  readonly requeueAfterMs: number | undefined;
  /** Nothing can go on until a person changes something. */
  readonly stalled: boolean;
}
