/** Changes a cluster's spec under the counting client and watches how that ends: what it cost, and who was touched. */
import { setTimeout } from "node:timers/promises";
import type { ClusterSpec } from "../../src/api/cluster-spec.ts";
import { nameOf } from "../../src/api/names.ts";
import { KUBECTL, kubectl } from "./lab.ts";
import { pause, run, until } from "./shell.ts";
import { readCluster, type Subject } from "./subject.ts";
import { WriterRun } from "./writer-run.ts";

/** One change and what goes wrong meanwhile. */
export interface Change {
  readonly name: string;
  /** JSON merge patch of `.spec`. */
  readonly spec: object;
  /** Called once the change has begun to show; what it returns undoes it, `disturbedMs` later or at the end of the change. */
  readonly disturb?: () => Promise<() => Promise<unknown>>;
  /** 30 s when absent. */
  readonly disturbedMs?: number;
  readonly timeoutMs?: number;
}

/** How a change ended. */
export interface ChangeResult {
  readonly phase: string;
  readonly reason: string;
  readonly seconds: number;
  /** Sum of all stretches without an acknowledged write. */
  readonly totalGapMs: number;
  readonly largestGapMs: number;
  /** Each of them, when it began, and what the status said was going on when it ended. */
  readonly gaps: readonly { readonly atMs: number; readonly ms: number; readonly during: string }[];
  /** How often leadership passed. */
  readonly leaderChanges: number;
  /** Fewest members that served at once. */
  readonly leastServing: number;
  /** Whether the pod that led at the beginning is the one that leads at the end, untouched. */
  readonly leaderUntouched: boolean;
  readonly acked: number;
  readonly lost: number;
  readonly unexpected: number;
  readonly outOfOrder: number;
}

const NAMESPACE_WAIT_MS = 180_000;

/** Changes `.spec` of a cluster. */
export function patchSpec(namespace: string, cluster: string, spec: object): Promise<string> {
  return kubectl("-n", namespace, "patch", "qcs", cluster, "--type=merge", "-p", JSON.stringify({ spec }));
}

/** Makes one change and waits until the roll has ended, whichever way. */
export async function measureChange(subject: Subject, cluster: string, change: Change): Promise<ChangeResult> {
  const { namespace } = subject.writer;
  await subject.untilHealthy(NAMESPACE_WAIT_MS);
  const before = await read(namespace, cluster);
  const leader = await leaderUid(subject);
  const writer = new WriterRun({ ...subject.writer, name: `writer-${change.name}`, seconds: 0 });
  await writer.start();
  const startMs = Date.now();
  await patchSpec(namespace, cluster, change.spec);
  let leastServing = before.spec.members;
  const told: { readonly atMs: number; readonly doing: string }[] = [];
  const look = async (): Promise<ClusterSpec> => {
    const now = await read(namespace, cluster);
    const doing = now.status?.change ?? "";
    if (doing !== told.at(-1)?.doing) told.push({ atMs: Date.now(), doing });
    leastServing = Math.min(leastServing, now.status?.members?.filter((one) => one.ready).length ?? 0);
    return now;
  };
  const end = async (): Promise<ClusterSpec | undefined> => {
    const now = await look();
    return hasEnded(before, now) ? now : undefined;
  };
  let undo: (() => Promise<unknown>) | undefined;
  if (change.disturb !== undefined) {
    await until("the change to begin", 60_000, async () => (hasBegun(before, await look()) ? true : undefined));
    undo = await change.disturb();
  }
  const waiting = until(`the end of ${change.name}`, change.timeoutMs ?? 300_000, end);
  if (undo !== undefined) {
    const disturbed = setTimeout(change.disturbedMs ?? 30_000, undefined, { ref: false });
    try {
      await Promise.race([disturbed, waiting]);
    } finally {
      await undo();
    }
  }
  const after = await waiting;
  const endMs = Date.now();
  await subject.untilHealthy(NAMESPACE_WAIT_MS);
  await pause(2_000);
  const verdict = await writer.finish();
  const gaps = verdict.gaps.filter((gap) => gap.atMs + gap.ms > startMs);
  return {
    phase: after.status?.rollout?.phase ?? "",
    reason: after.status?.rollout?.failed?.map((one) => one.reason).join("; ") ?? "",
    seconds: (endMs - startMs) / 1000,
    totalGapMs: gaps.reduce((sum, gap) => sum + gap.ms, 0),
    largestGapMs: Math.max(0, ...gaps.map((gap) => gap.ms)),
    gaps: gaps.map(({ atMs, ms }) => {
      return { atMs, ms, during: told.findLast((one) => one.atMs <= atMs + ms)?.doing ?? "" };
    }),
    leaderChanges: (after.status?.epoch ?? 0) - (before.status?.epoch ?? 0),
    leastServing,
    leaderUntouched: leader === (await leaderUid(subject)),
    acked: verdict.acked,
    lost: verdict.lost,
    unexpected: verdict.unexpected,
    outOfOrder: verdict.outOfOrder,
  };
}

/** The update policy of a canary that is judged by one analysis, soon enough for a test. */
export function canaryWith(analysis: object): object {
  const canary = { members: 1, bakeSeconds: 10, analysis: [{ overSeconds: 20, ...analysis }] };
  return { strategy: "Canary", minReadySeconds: 2, progressDeadlineSeconds: 40, canary };
}

/** Waits until the canary of a roll is there; @returns its pod. */
export async function canaryPod(namespace: string, cluster: string): Promise<string> {
  return until("a canary that is ready", 120_000, async () => {
    const { rollout, members } = (await read(namespace, cluster)).status ?? {};
    const [canary] = rollout?.updated ?? [];
    const member = members?.find(({ name }) => name === canary);
    const isThere = rollout?.phase !== "Complete" && member?.ready === true && member.revision === rollout?.revision;
    return canary !== undefined && isThere ? nameOf.pod(canary) : undefined;
  });
}

/** Drains a node and lets it take pods again. */
export async function drain(node: string): Promise<void> {
  const options = ["--ignore-daemonsets", "--delete-emptydir-data", "--timeout=180s"];
  await run([...KUBECTL, "drain", node, ...options], { timeoutMs: 200_000 });
  await kubectl("uncordon", node);
}

async function read(namespace: string, cluster: string): Promise<ClusterSpec> {
  const found = await readCluster(namespace, cluster);
  if (found === undefined) throw new Error(`there is no ClusterSpec ${namespace}/${cluster}`);
  return found;
}

async function leaderUid(subject: Subject): Promise<string> {
  const { pod } = await subject.leader();
  return kubectl("-n", subject.writer.namespace, "get", "pod", pod, "-o", "jsonpath={.metadata.uid}");
}

/** The generation was taken in and something is under way. */
function hasBegun(before: ClusterSpec, now: ClusterSpec): boolean {
  return isTakenIn(before, now) && (now.status?.change ?? "") !== "";
}

function hasEnded(before: ClusterSpec, now: ClusterSpec): boolean {
  const { rollout, blocked = [], change = "", readyMembers } = now.status ?? {};
  if (!isTakenIn(before, now) || rollout === undefined || change !== "" || readyMembers !== now.spec.members)
    return false;
  const failed = new Set((before.status?.rollout?.failed ?? []).map((one) => one.revision));
  const isRolledBack =
    rollout.phase === "RolledBack" && (rollout.failed ?? []).some((one) => !failed.has(one.revision));
  return isRolledBack || (rollout.phase === "Complete" && blocked.length === 0);
}

function isTakenIn(before: ClusterSpec, now: ClusterSpec): boolean {
  return (now.status?.observedGeneration ?? 0) > (before.metadata.generation ?? 0);
}
