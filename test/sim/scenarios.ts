// What users and machines do to a cluster, as data. A schedule is one of these, a seed, and what goes wrong meanwhile.
import { CLUSTER, NODES, type World } from "./world.ts";

/** One story. It begins with a cluster at rest, unless it begins with none. */
export interface Scenario {
  readonly name: string;
  /** `.spec` of the ClusterSpec that is there before. */
  readonly spec: object;
  /** Faults count from the creation on; else from the moment that the cluster is at rest. */
  readonly fromNothing?: boolean;
  /** The Engine has hooks around updates. */
  readonly hooked?: boolean;
  /** What happens, one after the other: each begins when the one before has come to its end or, later, when its time is over. */
  readonly steps: readonly ScenarioStep[];
  /** Mends what must be mended before the cluster can come to rest. */
  readonly mend?: (world: World) => void;
  /** How the cluster must be in the end. */
  readonly ends?: "Gone" | "RolledBack";
}

/** One step of a scenario. */
export interface ScenarioStep {
  readonly act: (world: World) => void;
  /** How long it has before the next step begins; with faults it may not be over then. */
  readonly forMs: number;
}

const BASE = { members: 3, update: { minReadySeconds: 1, progressDeadlineSeconds: 60 } };
const NEXT_VERSION = { engine: { name: "example", version: "2" } };

const change = (patch: object, forMs = 120_000): ScenarioStep => ({ act: (world) => world.patch(patch), forMs });

/** All scenarios, by name. */
export const SCENARIOS: readonly Scenario[] = [
  { name: "create", spec: BASE, fromNothing: true, steps: [] },
  {
    name: "scale",
    spec: { ...BASE, members: 1 },
    steps: [change({ members: 3 }), change({ members: 5 }), change({ members: 3 })],
  },
  {
    name: "scale-in-leader",
    spec: BASE,
    steps: [
      { act: (world) => world.operate("switchover", { type: "Switchover", member: `${CLUSTER}-2` }), forMs: 60_000 },
      change({ members: 1 }),
    ],
  },
  {
    name: "scale-in-deleting",
    spec: { ...BASE, deletionProtection: false, volumeRetention: { whenScaled: "Delete", whenDeleted: "Retain" } },
    steps: [change({ members: 1 }), change({ members: 3 })],
  },
  { name: "roll", spec: BASE, steps: [change(NEXT_VERSION, 240_000)] },
  { name: "roll-hooked", spec: BASE, hooked: true, steps: [change(NEXT_VERSION, 240_000)] },
  {
    name: "switchover",
    spec: BASE,
    steps: [{ act: (world) => world.operate("switchover", { type: "Switchover" }), forMs: 60_000 }],
  },
  {
    name: "restart",
    spec: BASE,
    steps: [{ act: (world) => world.operate("restart", { type: "Restart" }), forMs: 120_000 }],
  },
  {
    name: "rebuild",
    spec: BASE,
    steps: [{ act: (world) => world.operate("rebuild", { type: "Rebuild", member: `${CLUSTER}-1` }), forMs: 120_000 }],
  },
  {
    name: "drain",
    spec: BASE,
    steps: [{ act: (world) => world.drain(leaderNode(world)), forMs: 120_000 }],
  },
  {
    name: "bad-image",
    spec: BASE,
    steps: [
      {
        act: (world) => {
          world.broken.add("example/bad");
          world.patch({ engine: { image: "example/bad" } });
        },
        forMs: 300_000,
      },
    ],
    ends: "RolledBack",
  },
  {
    name: "node-loss",
    spec: BASE,
    steps: [{ act: (world) => world.losePower(leaderNode(world)), forMs: 420_000 }],
    mend: (world) => {
      for (const node of NODES) world.restorePower(node);
    },
  },
  {
    name: "follower-loss-while-rolling",
    spec: BASE,
    steps: [
      change(NEXT_VERSION, 10_000),
      { act: (world) => world.losePower(world.group.nodeOf(`${CLUSTER}-2`) ?? "node-c"), forMs: 120_000 },
    ],
    mend: (world) => {
      for (const node of NODES) world.restorePower(node);
    },
  },
  {
    name: "stop-start",
    spec: BASE,
    steps: [change({ stopped: true }), change({ stopped: false })],
  },
  {
    name: "delete-retaining",
    spec: { ...BASE, deletionProtection: false },
    steps: [{ act: (world) => world.delete(), forMs: 60_000 }],
    ends: "Gone",
  },
  {
    name: "delete-deleting",
    spec: { ...BASE, deletionProtection: false, volumeRetention: { whenScaled: "Retain", whenDeleted: "Delete" } },
    steps: [{ act: (world) => world.delete(), forMs: 60_000 }],
    ends: "Gone",
  },
  {
    name: "delete-and-create-again",
    spec: { ...BASE, deletionProtection: false, volumeRetention: { whenScaled: "Retain", whenDeleted: "Delete" } },
    steps: [
      { act: (world) => world.delete(), forMs: 800 },
      { act: (world) => world.create({ ...BASE }), forMs: 240_000 },
    ],
  },
];

function leaderNode(world: World): string {
  return world.group.nodeOf(world.group.leader ?? "") ?? "node-a";
}
