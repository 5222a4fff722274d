// What all ClusterOperations have in common, whatever they do: which are open, when their time is over, and how they are reported.
import { deadlineSeconds, type OperationStatus } from "../api/cluster-operation.ts";
import type { Decision } from "./decision.ts";
import { isEnded, type World } from "./facts.ts";
import type { OperationView } from "./observation.ts";
import type { Step } from "./plan.ts";
import { timestamp } from "./timestamp.ts";

/** What an operation comes to in this pass. `members` are those it concerns from now on. */
export type Outcome = {
  readonly message: string;
  readonly members?: readonly string[];
  /** Where a backup is. */
  readonly path?: string;
} & (
  | { readonly phase: "Done" | "Refused" | "Failed"; readonly notes?: readonly Step[] }
  | { readonly phase: "Running"; readonly decision?: Partial<Decision> }
);

/** What is asked of which cluster. */
export type Asked = Pick<World, "seen" | "cluster">;

/** Operations that have not ended, oldest first. */
export function openOperations(world: Asked): readonly OperationView[] {
  return world.seen.operations
    .filter((operation) => !isEnded(operation.status))
    .toSorted((a, b) => a.createdMs - b.createdMs || (a.name < b.name ? -1 : 1));
}

function startedMs(world: World, operation: OperationView): number {
  const { startTime } = operation.status;
  return startTime === undefined ? world.seen.nowMs : Date.parse(startTime);
}

function deadlineMs(world: World, operation: OperationView): number {
  return startedMs(world, operation) + deadlineSeconds(operation.intent) * 1000;
}

function remainingMs(world: World, operation: OperationView): number {
  return Math.max(1000, deadlineMs(world, operation) - world.seen.nowMs);
}

/** What `advance` makes of the operation; once its time is over that is the end, whatever it is. */
export function withinDeadline(
  world: World,
  operation: OperationView,
  advance: (world: World, operation: OperationView) => Outcome,
): Outcome {
  const outcome = advance(world, operation);
  if (outcome.phase !== "Running" || world.seen.nowMs < deadlineMs(world, operation)) return outcome;
  const seconds = deadlineSeconds(operation.intent);
  return { phase: "Failed", message: `not done within ${seconds} s: ${outcome.message}` };
}

/** Reports on the operation whose turn it is, and on those that wait for it. */
export function reportTurns(
  world: World,
  [current, outcome]: readonly [OperationView, Outcome],
  waiting: readonly OperationView[],
): { readonly reports: readonly Step[]; readonly requeueAfterMs: number } {
  const reports = [
    ...("notes" in outcome ? (outcome.notes ?? []) : []), // before it is reported as done
    ...report(world, current, outcome),
    ...waiting.flatMap((o) => report(world, o, { phase: "Pending", message: `waits for operation ${current.name}` })),
  ];
  if (outcome.phase === "Running") return { reports, requeueAfterMs: remainingMs(world, current) };
  return { reports, requeueAfterMs: waiting.length > 0 ? 1 : 60_000 };
}

/** Tells people whose operations are not begun why. One that runs keeps saying how far it was. */
export function reportWaiting(world: World, why: string): readonly Step[] {
  const waiting = openOperations(world).filter(({ status }) => status.phase !== "Running");
  return waiting.flatMap((operation) => report(world, operation, { phase: "Pending", message: `waits: ${why}` }));
}

/** Ends all operations that are open, because nothing here could carry them out. */
export function refuseOperations(asked: Asked, why: string): readonly Step[] {
  return openOperations(asked).flatMap((operation) => report(asked, operation, { phase: "Refused", message: why }));
}

function report(
  world: Asked,
  operation: OperationView,
  next: Pick<OperationStatus, "phase" | "path"> & Pick<Outcome, "message" | "members">,
): readonly Step[] {
  const { status } = operation;
  const now = timestamp(world.seen.nowMs);
  const startTime = next.phase === "Pending" ? status.startTime : (status.startTime ?? now);
  const message = next.message.slice(0, 2048);
  const members = status.members ?? next.members;
  const isKnown = status.phase === next.phase && status.message === message && status.startTime === startTime;
  if (isKnown && status.members === members) return [];
  const { namespace } = world.cluster;
  return [
    {
      kind: "ReportOperation",
      namespace,
      name: operation.name,
      uid: operation.uid,
      resourceVersion: operation.resourceVersion,
      status: {
        phase: next.phase,
        message,
        ...(startTime === undefined ? {} : { startTime }),
        ...(members === undefined ? {} : { members: [...members] }),
        ...(next.path === undefined ? {} : { path: next.path }),
        ...(isEnded({ phase: next.phase }) ? { completionTime: now } : {}),
      },
      reason: `it is ${next.phase}`,
    },
  ];
}
