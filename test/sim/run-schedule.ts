// One schedule from beginning to end: a cluster comes to rest, a scenario happens while things go wrong, everything is mended, and
// then it must come to rest as its spec asks, and stay so.
import { LABEL_CLUSTER } from "../../src/api/names.ts";
import { parseRevision } from "../../src/build/revision.ts";
import type { Manifest } from "../../src/build/manifest.ts";
import type { Fault } from "./faults.ts";
import type { Violation } from "./oracles.ts";
import { isReady } from "./model-kubernetes.ts";
import type { Scenario } from "./scenarios.ts";
import { CLUSTER, World } from "./world.ts";

/** One run, exactly. */
export interface Schedule {
  readonly scenario: Scenario;
  readonly seed: number;
  readonly faults: readonly Fault[];
}

/** What a run came to. */
export interface Outcome {
  readonly violation: Violation | undefined;
  readonly trace: readonly string[];
  readonly steps: number;
  readonly virtualMs: number;
  /** The world as it was left. */
  readonly world: World;
}

/** So long after everything was mended a cluster is as it shall be (L1). No resync comes as early: what is missed stays missed. */
const SETTLE_MS = 8 * 60_000;
/** Longer than two resyncs can be apart (L2). */
const QUIET_MS = 12 * 60_000;
/** Nothing is written for so long: it is at rest for now. */
const PAUSE_MS = 20_000;

/** Runs one schedule. Never throws for what goes wrong in it. */
export async function runSchedule({ scenario, seed, faults }: Schedule): Promise<Outcome> {
  const world = new World({ seed, faults, hooked: scenario.hooked === true });
  const { oracles, scheduler } = world;
  if (scenario.fromNothing === true) world.beginFaults();
  world.create(scenario.spec);
  if (scenario.fromNothing !== true) {
    if (!(await world.run(SETTLE_MS, () => isAsAsked(world, scenario) && isPausing(world))))
      oracles.violate("L1", `it never began: ${whyNot(world)}`);
    world.beginFaults();
  }
  for (const step of scenario.steps) {
    if (oracles.violation === undefined) step.act(world);
    await world.run(step.forMs);
  }
  await world.run(Math.max(0, world.faultsEndMs - scheduler.nowMs) + 60_000);
  world.heal();
  scenario.mend?.(world);
  await settle(world, scenario);
  world.end();
  return {
    violation: oracles.violation,
    trace: scheduler.trace,
    steps: scheduler.steps,
    virtualMs: scheduler.nowMs,
    world,
  };
}

async function settle(world: World, scenario: Scenario): Promise<void> {
  const { oracles } = world;
  const ends = scenario.ends ?? "Serving";
  const hasEnded = () =>
    ends === "Gone" ? isGone(world) : ends === "RolledBack" ? isRolledBack(world) : isAsAsked(world, scenario);
  const isSettled = await world.run(SETTLE_MS, () => hasEnded() && isPausing(world));
  if (!isSettled) return oracles.violate("L1", `it is not as asked (${ends}): ${whyNot(world)}`);
  const before = oracles.writes.length;
  await world.run(QUIET_MS);
  const late = oracles.writes.slice(before);
  if (late.length > 0) oracles.violate("L2", `it writes although nothing changes: ${late.slice(0, 5).join(", ")}`);
  if (!hasEnded()) oracles.violate("L1", `it did not stay as asked (${ends}): ${whyNot(world)}`);
  const kept = world.group.readAll();
  const lost = world.group.acked.filter((write) => !kept.has(write));
  if (ends !== "Gone" && lost.length > 0) oracles.violate("S3", `${lost.length} acknowledged writes are lost`);
}

function isPausing({ oracles, scheduler }: World): boolean {
  return scheduler.nowMs - oracles.lastWriteMs >= PAUSE_MS;
}

interface Status {
  readonly observedGeneration?: number;
  readonly conditions?: readonly { readonly type: string; readonly status: string; readonly reason: string }[];
  readonly blocked?: readonly { readonly guard: string }[];
}

/** Everything is as the spec says, by the objects alone. */
function isAsAsked(world: World, scenario: Scenario): boolean {
  const { cluster, group, api } = world;
  if (cluster === undefined) return false;
  const { members = 3, stopped = false } = cluster.spec as { readonly members?: number; readonly stopped?: boolean };
  const pods = world.pods();
  if (stopped) return pods.length === 0;
  const { observedGeneration, conditions = [] } = (cluster.status ?? {}) as Status;
  return (
    pods.length === members &&
    pods.every((pod) => isReady(pod) && pod.metadata.deletionTimestamp === undefined) &&
    api.all("StatefulSet").length === members &&
    new Set(pods.map(revisionOf)).size === 1 &&
    group.leader !== undefined &&
    observedGeneration === cluster.metadata.generation &&
    conditions.some(({ type, status }) => type === "Ready" && status === "True") &&
    (scenario.ends === "RolledBack" || isImageAsked(world)) &&
    operationsHaveEnded(world)
  );
}

function revisionOf(pod: { readonly metadata: { readonly annotations?: Readonly<Record<string, string>> } }): string {
  return pod.metadata.annotations?.["quorate.io/template-hash"] ?? "";
}

function isImageAsked(world: World): boolean {
  const { engine } = world.spec as { readonly engine: { readonly version?: string; readonly image?: string } };
  const image = engine.image ?? `example/engine:${engine.version ?? ""}`;
  return world.pods().every((pod) => JSON.stringify(pod.spec).includes(`"${image}"`));
}

function operationsHaveEnded({ api }: World): boolean {
  return api.all("ClusterOperation").every(({ status }) => status?.["completionTime"] !== undefined);
}

/** The members are at a revision that worked, and the one that did not is named. */
function isRolledBack(world: World): boolean {
  const { blocked = [] } = (world.cluster?.status ?? {}) as Status;
  const { members = 3 } = world.spec as { readonly members?: number };
  const pods = world.pods();
  const good = world.api
    .all("ControllerRevision")
    .flatMap((object) => parseRevision(object as unknown as Manifest) ?? []);
  const works = new Set(good.filter(({ note }) => note.state === "Good").map(({ templateHash }) => templateHash));
  return (
    blocked.some(({ guard }) => guard === "RevisionFailed") &&
    pods.length === members &&
    pods.every((pod) => isReady(pod) && pod.metadata.deletionTimestamp === undefined && works.has(revisionOf(pod)))
  );
}

/** Nothing of the cluster is left but what it wanted to be kept. */
function isGone(world: World): boolean {
  const { volumeRetention } = world.spec as { readonly volumeRetention?: { readonly whenDeleted?: string } };
  const keeps = volumeRetention?.whenDeleted !== "Delete";
  const left = world.api
    .everything()
    .filter(({ kind, metadata }) => kind !== "Event" && metadata.labels?.[LABEL_CLUSTER] === CLUSTER);
  const volumes = left.filter(({ kind }) => kind === "PersistentVolumeClaim").length;
  const others = left.filter(({ kind }) => !["PersistentVolumeClaim", "Secret"].includes(kind));
  return world.cluster === undefined && others.length === 0 && (keeps ? volumes === 3 : volumes === 0);
}

/** What is otherwise than asked, for people. */
function whyNot(world: World): string {
  const pods = world
    .pods()
    .map(
      (pod) =>
        `${pod.metadata.name}${isReady(pod) ? "" : " (not ready)"}${pod.metadata.deletionTimestamp === undefined ? "" : " (going)"} ${revisionOf(pod)}`,
    );
  const status = world.cluster?.status as (Status & { readonly change?: string }) | undefined;
  const bad = (status?.conditions ?? []).map(({ type, status: is, reason }) => `${type}=${is} ${reason}`);
  const blocked = (status?.blocked ?? []).map(({ guard }) => guard);
  return `leader ${world.group.leader ?? "none"}; pods ${pods.join(", ")}; ${bad.join(", ")}; blocked ${blocked.join()}; ${status?.change ?? ""}`;
}
