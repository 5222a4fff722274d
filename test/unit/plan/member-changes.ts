// What happens to clusters of members that the operator plans for itself: topologies ActivePassive, Consensus and ActiveActive.
import { HookName } from "../../../src/api/agent-wire.ts";
import type { EngineSpec } from "../../../src/api/engine.ts";
import { canonicalJson, isSameJson } from "../../../src/build/hash.ts";
import { hookedEngine } from "./fixture.ts";
import type { Measured } from "../../../src/plan/observation.ts";
import type { BudgetState } from "../../../src/slo/budget.ts";
import { evict, healNode, loseNode } from "./faults.ts";
import { type GroupTopology, SimulatedGroup } from "./simulated-group.ts";
import { type Choose, Simulator } from "./simulator.ts";
import {
  assertSilent,
  type Change,
  check,
  type InterlockedChange,
  merged,
  type Past,
  type Subject,
} from "./subject.ts";
import type { Child } from "./views.ts";

/** The topologies whose members the operator plans for itself, as long as members keep something. */
export type MemberTopology = "ActivePassive" | GroupTopology;

const BASE = { members: 3, update: { minReadySeconds: 1, progressDeadlineSeconds: 60 } };
const AGENT_OF_IMAGE = { agent: { hash: "a".repeat(64), nodeMajor: 24 }, agentVersion: "1.0.0" };
const NEWER_AGENT = { hash: "b".repeat(64), version: "1.1.0", nodeMajor: 24 };

function leaderNode(world: Simulator): string {
  return world.pods.get(world.leader ?? "")?.node ?? "node-a";
}

/** The budget of a cluster that is measured, and how it burns. */
function measuredWith(alert: BudgetState["alert"]): Measured {
  const budgets = [{ name: "Availability", remaining: 0.9, burns: [], alert }] as const;
  return { budgets, missing: "", record: undefined, trial: undefined };
}

/** A follower's node is deleted, and its volume was on that node alone. */
function loseVolume(world: Simulator): void {
  const name = [...world.pods.keys()].findLast((member) => member !== world.leader);
  const volume = world.volumes.get(name ?? "");
  const node = world.pods.get(name ?? "")?.node;
  if (name === undefined || volume === undefined || node === undefined) return;
  volume.homes = [{ node, gone: "Deleted" }];
  world.kill(name);
  Object.assign(world.pods.get(name) ?? {}, { works: false });
}

function healAll(world: Simulator): void {
  for (const node of world.nodes.keys()) healNode(world, node);
}

/** The operator has a newer agent than the members' image. */
function offerAgent(world: Simulator): void {
  world.agents.own = NEWER_AGENT;
  world.agents.ofImage = AGENT_OF_IMAGE;
  for (const member of world.pods.keys()) world.report(member, AGENT_OF_IMAGE);
}

const CONSENT = { acceptedLoss: "nothing is to be lost", approvedBy: "nobody", reason: "to see what is refused" };

/** Operations that are asked for more seldom. */
function operateSeldom(world: Simulator): void {
  world.operate("defragment", { type: "Defragment" });
  world.operate("promote", { type: "Promote" });
  world.operate("recover", { type: "Recover" });
  const forcePromotion = { ...CONSENT, lostMembers: [], epoch: 1 };
  world.operate("force-promote", { type: "ForcePromote", member: "orders-1", forcePromotion });
}

/** A backup has nowhere to go here; one member has nothing to mend. */
function operateTasks(world: Simulator): void {
  world.operate("backup", { type: "Backup" });
  world.operate("verify", { type: "Verify" });
  world.operate("mend", { type: "Repair", member: "orders-1" });
}

/** Operations that have no place in a topology: each is refused, and says why. */
const REFUSED: Readonly<Record<MemberTopology, string>> = {
  ActivePassive: "recover",
  Consensus: "force-promote",
  ActiveActive: "force-promote",
};

/** Everything that the interlock orders, and what it must live with. */
export const CHANGES = {
  Failover: { begin: (world) => world.kill(world.leader ?? "orders-0") },
  NodeLoss: { begin: (world) => loseNode(world, leaderNode(world)), end: healAll },
  FollowerLoss: { begin: (world) => loseNode(world, world.pods.get("orders-2")?.node ?? "node-c"), end: healAll },
  Drain: {
    begin: (world) => {
      const node = leaderNode(world);
      const { leader } = world;
      world.nodes.set(node, { ready: true, unschedulable: true });
      if (leader !== undefined) evict(world, leader);
    },
    end: healAll,
  },
  Rollout: { spec: { engine: { name: "example", version: "2" } } },
  Canary: {
    spec: { engine: { name: "example", version: "2" }, update: { strategy: "Canary", canary: { bakeSeconds: 60 } } },
  },
  BadImage: {
    begin: (world) => void world.broken.add("example/bad"),
    spec: { engine: { name: "example", image: "example/bad" } },
  },
  BadConfig: { begin: (world) => void world.broken.add("bad"), spec: { parameters: { size: "bad" } } },
  Resize: { spec: { resources: { requests: { memory: "2Gi" } } } },
  VolumeGrowth: { spec: { storage: { data: { size: "20Gi" } } } },
  Reload: { spec: { parameters: { verbosity: "7" } } },
  ScaleOut: { spec: { members: 5 } },
  ScaleIn: { spec: { members: 2 } },
  StopAndStart: { spec: { stopped: true }, finally: { stopped: false } },
  Restart: { begin: (world) => world.operate("restart", { type: "Restart" }) },
  Switchover: { begin: (world) => world.operate("switchover", { type: "Switchover" }) },
  /** A node is to be drained, and its leader does not hand over; in the end it may stay. */
  RefusedDrain: {
    begin: (world) => {
      world.refusesSwitchover = true;
      world.nodes.set(leaderNode(world), { ready: true, unschedulable: true });
    },
    end: (world) => {
      world.refusesSwitchover = false;
      healAll(world);
    },
  },
  Rebuild: { begin: (world) => world.operate("rebuild", { type: "Rebuild", member: "orders-1" }) },
  FailingHooks: {
    begin: (world) => {
      for (const hook of HookName.options) world.hookAnswers.set(hook, "Failed");
    },
    end: (world) => world.hookAnswers.clear(),
  },
  Repair: { begin: (world) => void world.children.delete("Service/orders-rw") },
  OperatorUpgrade: { begin: (world) => void (world.agentImage = "quorate/agent:2") },
  Pause: { spec: { paused: true }, finally: { paused: false } },
  Abort: { begin: (world) => world.operate("abort", { type: "Abort" }) },
  BudgetBurn: {
    spec: { slo: {} },
    begin: (world) => void (world.measured = measuredWith("Page")),
    end: (world) => void (world.measured = measuredWith("None")),
  },
  VolumeGone: {
    spec: { disruption: { deadNode: "Replace" } },
    begin: loseVolume,
  },
  AgentsInPlace: { begin: offerAgent, spec: { update: { agents: "InPlace" } } },
  SeldomOperations: { begin: operateSeldom },
  Tasks: { begin: operateTasks },
} as const satisfies Record<string, Change<Simulator>>;
export type ChangeName = keyof typeof CHANGES;

/** Which of the changes stand for a row of the interlock table. */
const ROWS: Readonly<Record<InterlockedChange, readonly ChangeName[]>> = {
  Fence: ["NodeLoss"],
  Failover: ["Failover", "NodeLoss"],
  UpdateHook: ["Rollout", "FailingHooks"],
  Task: ["Tasks"],
  Rollback: ["BadImage", "BadConfig", "BudgetBurn"],
  Operation: ["Restart", "Switchover", "Rebuild", "Abort", "SeldomOperations"],
  Request: ["Switchover", "Restart"],
  Stop: ["StopAndStart"],
  Drain: ["Drain", "RefusedDrain"],
  Removal: ["ScaleIn"],
  ScaleIn: ["ScaleIn"],
  Rollout: ["Rollout", "Canary", "Resize", "OperatorUpgrade"],
  ScaleOut: ["ScaleOut"],
  Agents: ["AgentsInPlace"],
  Repair: ["Repair", "VolumeGone", "FollowerLoss"],
  VolumeGrowth: ["VolumeGrowth"],
  Reload: ["Reload"],
};

/** Clusters of one such topology. */
export function memberSubject(topology: MemberTopology): Subject<Simulator> {
  return SUBJECTS[topology];
}

const SUBJECTS: Readonly<Record<MemberTopology, Subject<Simulator>>> = {
  ActivePassive: subject("ActivePassive"),
  Consensus: subject("Consensus"),
  ActiveActive: subject("ActiveActive"),
};

function subject(topology: MemberTopology): Subject<Simulator> {
  const engine: EngineSpec = { ...hookedEngine, topologies: [topology] };
  const worldOf = (spec: object, choose?: Choose): Simulator => {
    const world = new Simulator(spec, choose);
    world.engine = engine;
    if (topology !== "ActivePassive") world.group = new SimulatedGroup(topology);
    return world;
  };
  const fresh = new Map<string, readonly (readonly [string, Child])[]>();
  return {
    base: { ...BASE, topology },
    changes: CHANGES,
    rows: ROWS,
    begin: (choose) => {
      const world = worldOf({ ...BASE, topology }, choose);
      world.looksWhenTold = true;
      world.settle();
      return world;
    },
    fork: (world) => world.fork(),
    revisionOf: (world) => world.pods.get("orders-0")?.templateHash,
    conclude: (world, past) => {
      recover(world);
      if (past.names.some(isGivenUp)) retry(world);
      assertAtRest(world, past, (spec) => {
        const known = fresh.get(canonicalJson(spec)) ?? freshChildren(worldOf(spec));
        fresh.set(canonicalJson(spec), known);
        return known;
      });
    },
  };
}

/** When all copies stand still, and one of them is gone, nothing begins without a person's consent. */
function recover(world: Simulator): void {
  if (world.status.blocked?.some(({ guard }) => guard === "MajorityReachable") !== true) return;
  world.operate("ask", { type: "Recover" });
  world.settle(1_500);
  const { message = "" } = world.operations.get("ask")?.status ?? {};
  const [, consent] = /"consent":"([^"]+)"/.exec(message) ?? [];
  check(consent !== undefined, `L4: it does not say what to consent to: ${message}`);
  world.operate("consented", { type: "Recover", consent });
  world.settle(1_500);
}

/** What a person or a budget gave up is not tried again by itself: the command that status names tries it once more. */
function retry(world: Simulator): void {
  const block = world.status.blocked?.find(({ guard }) => guard === "RevisionFailed");
  const [, annotation = "", value = ""] = /(quorate\.io\/retry-revision)=(\S+)/.exec(block?.override ?? "") ?? [];
  if (annotation === "") return;
  world.annotations = { ...world.annotations, [annotation]: value };
  world.touch();
  world.settle(1_500);
}

/** What a new cluster with a spec comes to have. */
type FreshOf = (spec: object) => readonly (readonly [string, Child])[];

function assertAtRest(world: Simulator, past: Past, freshOf: FreshOf): void {
  const { spec, good, names } = past;
  const isBroken = [...world.broken].some((text) => JSON.stringify(spec).includes(`"${text}"`));
  const { members } = world.spec;
  const wanted = Array.from({ length: members }, (_, n) => `orders-${n}`);
  check(equal([...world.pods.keys()].toSorted(), wanted), "L1: the members are not those that are wanted");
  check(world.leader !== undefined, "L1: nobody leads");
  check(
    [...world.pods.values()].every((pod) => pod.ready),
    "L1: a member is not ready",
  );
  assertAnswered(world);
  const { group } = world;
  const isListed = group === undefined || (equal(group.counted, wanted) && equal(group.voters, wanted));
  check(isListed, `L1: the engine counts ${group?.counted.join() ?? ""}, of whom ${group?.voters.join() ?? ""} vote`);
  const isOffered = (hash: string | undefined): boolean => hash === undefined || hash === NEWER_AGENT.hash;
  const agents = [...world.pods.values()].map(({ report }) => report?.agent?.hash);
  check(!names.includes("AgentsInPlace") || agents.every(isOffered), "L1: a member has not taken the agent");
  assertSilent(world);
  const hashes = new Set([...world.pods.values()].map((pod) => pod.templateHash));
  const isReady = world.status.conditions?.find((c) => c.type === "Ready")?.status === "True";
  if (isBroken) {
    check(hashes.size === 1, "D4: members are at several revisions");
    check(names.some(isRevision) || hashes.has(good ?? ""), "D4: members are not at the last revision that worked");
    check(world.status.blocked?.some((b) => b.guard === "RevisionFailed") === true, "L4: it does not say what failed");
    const mended = merged(spec, { engine: { name: "example", image: undefined }, parameters: { size: "11" } });
    world.change(mended);
    world.settle(1_500);
    assertAtRest(world, { ...past, spec: mended }, freshOf);
  } else {
    check(isReady, `L4: it is not Ready: ${canonicalJson(world.status.conditions)}`);
    if (!names.includes("OperatorUpgrade")) assertLikeFresh(world, freshOf(spec));
  }
}

/** Every operation has ended, and says how; one that the topology knows no way for was refused. */
function assertAnswered(world: Simulator): void {
  const refused = REFUSED[world.spec.topology as MemberTopology];
  for (const [name, { status }] of world.operations) {
    check(status.completionTime !== undefined, `L1: operation ${name} has not ended`);
    check((status.message ?? "") !== "", `L4: operation ${name} is ${status.phase ?? ""} without a reason`);
    check(
      name !== refused || status.phase === "Refused",
      `L4: operation ${name} is ${status.phase ?? ""}, not Refused`,
    );
  }
}

/** Whether the change ends the try of whatever is rolled out. */
function isGivenUp(name: string): boolean {
  return name === "Abort" || name === "BudgetBurn";
}

const REVISIONS: readonly string[] = ["Rollout", "Canary", "Resize"];
function isRevision(name: string): boolean {
  return REVISIONS.includes(name);
}

/** The way does not matter: what is there is what a new cluster with this spec has. */
function assertLikeFresh(world: Simulator, children: ReturnType<FreshOf>): void {
  for (const [key, { manifest }] of children) {
    const here = world.children.get(key)?.manifest["spec"];
    check(isSameJson(here, manifest["spec"]), `D3: ${key} is not as in a new cluster`);
  }
}

function freshChildren(world: Simulator): ReturnType<FreshOf> {
  world.settle();
  const kinds = /^(StatefulSet|Service|PodDisruptionBudget|NetworkPolicy|Role)\//;
  return [...world.children].filter(([name]) => kinds.test(name));
}

function equal(a: unknown, b: unknown): boolean {
  return canonicalJson(a) === canonicalJson(b);
}
