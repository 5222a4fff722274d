/** Builds the member's report from what the protocol and the engine say. Pure. */
import type { EngineObservation } from "../api/engine-observation.ts";
import type { MemberReport } from "../api/agent-wire.ts";
import { lagBucket } from "./cluster/member-report.ts";
import { distanceBehind, type Position } from "./protocol/position.ts";
import type { MemberView } from "./protocol/types.ts";
import { NOT_RECEIVING } from "./receiving.ts";

/** Everything the report is made of. */
export interface ReportParts {
  readonly view: MemberView;
  /** Of the intent that this member goes by; undefined while it has none. */
  readonly intentGeneration: number | undefined;
  readonly observation: EngineObservation | undefined;
  /** Where the leader said it was. */
  readonly leaderPosition: Position | null;
  readonly leaderSince: string | null;
  readonly switchover: MemberReport["switchover"];
  readonly accountsMissing: string | undefined;
  readonly slotsHeldUp?: string | undefined;
  /** It follows, and has received nothing for too long. */
  readonly isCutOff: boolean;
  /** The Lease does not exist. */
  readonly leaseGone: boolean;
  readonly common: CommonReport;
}

/** What of a report is the same whoever elects the leader. */
export type CommonReport = Pick<
  MemberReport,
  | "agentVersion"
  | "agent"
  | "restart"
  | "rebuild"
  | "hook"
  | "defragment"
  | "task"
  | "certificate"
  | "parametersRefused"
  | "volumeFull"
>;

/** How far this member is behind; null when it cannot be known. */
export function lagOf(parts: Pick<ReportParts, "view" | "observation" | "leaderPosition">): bigint | null {
  if (parts.view.role === "leader") return 0n;
  if (parts.observation === undefined || parts.leaderPosition === null) return null;
  return distanceBehind(parts.observation.position, parts.leaderPosition);
}

/** The report as the annotation carries it; lag in coarse steps only. */
export function buildReport(parts: ReportParts): MemberReport {
  const { view, observation } = parts;
  const isStalled = parts.isCutOff && view.role === "follower" && view.state === "Running";
  return {
    role: view.role,
    epoch: view.epoch,
    state: isStalled ? "Stalled" : view.state,
    reason: isStalled ? NOT_RECEIVING.reason : view.reason,
    history: observation?.position.history ?? null,
    lagBucket: lagBucket(lagOf(parts)),
    syncNames: [...view.syncNames],
    ackCount: view.ack,
    // Only a leader's decides anything: the others would write a report each for nothing.
    ...(view.role === "leader" && parts.intentGeneration !== undefined
      ? { intentGeneration: parts.intentGeneration }
      : {}),
    engineVersion: observation?.version ?? null,
    leaderSince: parts.leaderSince,
    switchover: parts.switchover,
    ...(parts.leaseGone ? { leaseGone: true } : {}),
    ...(view.role === "leader" && observation?.shard !== undefined ? { shard: observation.shard } : {}),
    ...(parts.slotsHeldUp === undefined ? {} : { slotsHeldUp: parts.slotsHeldUp }),
    ...(parts.accountsMissing === undefined ? {} : { accountsMissing: parts.accountsMissing }),
    ...parts.common,
  };
}
