/** The member of a group as others should see it. Pure. */
import type { MemberReport } from "../../api/agent-wire.ts";
import { lagBucket } from "../cluster/member-report.ts";
import { distanceBehind } from "../protocol/position.ts";
import { standing } from "./decide.ts";
import type { GroupView, Verdict } from "./types.ts";

/** A member this many entries behind its leader still catches up; less is what is on its way, and no lag worth telling. */
const CATCHING_UP_ENTRIES = 5_000n;

/** What of a report follows from the group. */
export type GroupReport = Pick<
  MemberReport,
  | "role"
  | "epoch"
  | "state"
  | "reason"
  | "history"
  | "lagBucket"
  | "syncNames"
  | "ackCount"
  | "intentGeneration"
  | "group"
>;

/** Entries of the leader's log that this member is not known to have; null when that cannot be known. */
export function entriesBehind(view: GroupView): bigint | null {
  if (view.seen?.leads === true) return 0n;
  const leader = standing(view)?.position ?? null;
  if (view.seen === undefined || leader === null) return null;
  return distanceBehind(view.seen.position, leader);
}

/**
 * Derives what to publish; equal for views that differ only in times and in a few entries.
 *
 * @param judgedGeneration - Of the intent by which what was seen was judged; undefined before the first time.
 */
export function describeGroup(view: GroupView, verdict: Verdict, judgedGeneration?: number): GroupReport {
  const { seen, record, rest } = view;
  const behind = entriesBehind(view);
  const voters = seen?.leads === true ? seen.group.members.filter(({ votes }) => votes) : [];
  const end = seen?.position ?? rest ?? undefined;
  return {
    ...condition(view, verdict, behind),
    epoch: seen?.group.term ?? 0,
    history: end?.history ?? null,
    lagBucket: lagBucket(behind !== null && behind <= CATCHING_UP_ENTRIES ? 0n : behind),
    syncNames: voters
      .map(({ name }) => name)
      .filter((name) => name !== view.self)
      .toSorted(),
    ackCount: Math.floor(voters.length / 2),
    // Only a leader's decides anything: the others would write a report each for nothing.
    ...(seen?.leads === true && judgedGeneration !== undefined ? { intentGeneration: judgedGeneration } : {}),
    group: {
      incarnation: record.incarnation,
      ...(seen?.leads === true ? { members: seen.group.members.map(({ name, id }) => name || id).toSorted() } : {}),
      ...(end !== undefined && verdict.reason === "QuorumLost"
        ? { position: { term: seen?.group.term ?? 0, index: end.value } }
        : {}),
    },
  };
}

type Condition = Pick<MemberReport, "role" | "state" | "reason">;

const STOPPED: Readonly<Record<string, MemberReport["state"]>> = {
  NotListed: "Stopped",
  NoCopy: "Blocked",
  MajorityPresent: "Blocked",
  QuorumLost: "Blocked",
};

function condition(view: GroupView, { reason, move }: Verdict, behind: bigint | null): Condition {
  const { seen, terminating } = view;
  if (terminating) return { role: "none", state: "Stopped", reason: "Terminating" };
  if (move.kind === "SetAside" || move.kind === "Join" || (move.kind === "Enter" && view.copy === "empty"))
    return { role: "none", state: "Cloning", reason };
  if (reason === "Recovering") return { role: "none", state: "Rewinding", reason };
  if (view.engine === "stopped") return { role: "none", state: STOPPED[reason ?? ""] ?? "Starting", reason };
  if (seen === undefined) return { role: "none", state: "Starting", reason };
  if (reason === "QuorumLost" || reason === "MajorityPresent") return { role: "none", state: "Blocked", reason };
  if (seen.leads) return { role: "leader", state: "Running", reason };
  if (!seen.serves) return { role: "none", state: seen.group.leaderId === "" ? "Electing" : "Starting", reason };
  const own = seen.group.members.find(({ id }) => id === seen.group.id);
  if (own?.votes !== true) return { role: "none", state: "Cloning", reason: "Learning" };
  const isCatchingUp = behind !== null && behind > CATCHING_UP_ENTRIES;
  return isCatchingUp
    ? { role: "follower", state: "Starting", reason: "CatchingUp" }
    : { role: "follower", state: "Running", reason };
}
