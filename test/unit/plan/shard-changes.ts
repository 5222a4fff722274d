// What happens to a cluster that is parted into shards. Its planner changes ClusterSpecs of shards and moves slots; what becomes of the
// members of a shard is planned for each shard by itself, as for any cluster of topology ActivePassive.
import { OperationIntent } from "../../../src/api/cluster-operation.ts";
import { canonicalJson } from "../../../src/build/hash.ts";
import { ShardsWorld, SLOTS } from "./shards-world.ts";
import { assertSilent, type Change, check, merged, type Past, type Subject } from "./subject.ts";

const BASE = { sharding: { shards: 3, batchSlots: 8, slotsPerSecond: 64 } };
const CONSENT = { acceptedLoss: "nothing is to be lost", approvedBy: "nobody", reason: "to see what is refused" };

/** The image does not work in these shards. */
const badImageIn = (...shards: readonly string[]): Change<ShardsWorld> => ({
  begin: (world) => void world.broken.set("example/bad", shards),
  spec: { engine: { name: "example", image: "example/bad" } },
});

function operate(world: ShardsWorld): void {
  const rest = { member: "orders-0", forcePromotion: { ...CONSENT, lostMembers: [], epoch: 1 } };
  for (const type of OperationIntent.shape.type.options) world.operate(type.toLowerCase(), { ...rest, type });
}

/** Everything that concerns the whole, and what it must live with. */
const CHANGES: Readonly<Record<string, Change<ShardsWorld>>> = {
  Failover: { begin: (world) => void (world.shard(0).leads = false) },
  NodeLoss: {
    begin: (world) => {
      world.shard(1).leads = false;
      world.away.add("orders-s1");
    },
    end: (world) => world.away.clear(),
  },
  Rollout: { spec: { engine: { name: "example", version: "2" } } },
  BadImage: badImageIn("orders-s0", "orders-s1", "orders-s2"),
  BadImageLater: badImageIn("orders-s1"),
  Resize: { spec: { resources: { requests: { memory: "2Gi" } } } },
  VolumeGrowth: { spec: { storage: { data: { size: "20Gi" } } } },
  Reload: { spec: { parameters: { verbosity: "7" } } },
  ScaleOut: { spec: { members: 5 } },
  MoreShards: { spec: { sharding: { shards: 5 } } },
  FewerShards: { spec: { sharding: { shards: 2 } } },
  StopAndStart: { spec: { stopped: true }, finally: { stopped: false } },
  Pause: { spec: { paused: true }, finally: { paused: false } },
  Repair: { begin: (world) => void world.others.delete("Service/orders-read") },
  Operations: { begin: operate },
};

const OF_SHARDS = "each shard is a cluster of topology ActivePassive, whose own planner does that";

/** Clusters of topology Sharded. */
export const shardSubject: Subject<ShardsWorld> = {
  base: BASE,
  changes: CHANGES,
  rows: {
    Fence: ["NodeLoss"],
    Failover: ["Failover"],
    UpdateHook: OF_SHARDS,
    Task: OF_SHARDS,
    Rollback: ["BadImage", "BadImageLater"],
    Operation: ["Operations"],
    Request: OF_SHARDS,
    Stop: ["StopAndStart"],
    Drain: OF_SHARDS,
    Removal: ["FewerShards"],
    ScaleIn: ["FewerShards"],
    Rollout: ["Rollout", "Resize"],
    ScaleOut: ["ScaleOut", "MoreShards"],
    Agents: OF_SHARDS,
    Repair: ["Repair"],
    VolumeGrowth: ["VolumeGrowth"],
    Reload: ["Reload"],
  },
  begin: (choose) => {
    const world = new ShardsWorld(BASE, choose);
    world.looksWhenTold = true;
    world.settle();
    return world;
  },
  fork: (world) => world.fork(),
  revisionOf: () => undefined,
  conclude,
};

function conclude(world: ShardsWorld, past: Past): void {
  const { spec } = past;
  const isBroken = [...world.broken].some(
    ([image, shards]) => canonicalJson(spec).includes(image) && shards.some((name) => world.shards.has(name)),
  );
  if (isBroken) {
    check(!isReady(world), "L4: it is Ready although a shard is broken");
    world.change(merged(spec, { engine: { name: "example", image: undefined } }));
    world.settle();
    return conclude(world, { ...past, spec: merged(spec, { engine: { name: "example", image: undefined } }) });
  }
  assertAtRest(world, past);
}

function assertAtRest(world: ShardsWorld, { spec }: Past): void {
  const { shards: count } = (spec as typeof BASE).sharding;
  const wanted = Array.from({ length: count }, (_, index) => `orders-s${index}`);
  check(
    canonicalJson([...world.shards.keys()].toSorted()) === canonicalJson(wanted),
    "L1: the shards are not those that are wanted",
  );
  const sizes = Object.values(world.sizes());
  check(sizes.reduce((sum, size) => sum + size, 0) === SLOTS, `S3: slots have no owner: ${sizes.join()}`);
  check(Math.max(...sizes) - Math.min(...sizes) <= 1, `L1: slots are not shared out: ${sizes.join()}`);
  for (const [name, { status }] of world.operations) {
    check(status.phase === "Refused", `L4: operation ${name} is ${status.phase ?? ""}, not Refused`);
    check(
      status.message?.includes("orders-s0") === true,
      `L4: operation ${name} is refused without a word on whom to ask`,
    );
  }
  assertSilent(world);
  check(isReady(world), `L4: it is not Ready: ${canonicalJson(world.status.conditions)}`);
  const told = toldShards(world);
  for (const [name, text] of freshShards(spec)) {
    check(told.get(name) === text, `D3: ${name} is not as in a new cluster`);
  }
}

function isReady({ status }: ShardsWorld): boolean {
  return status.conditions?.find(({ type }) => type === "Ready")?.status === "True";
}

const fresh = new Map<string, ReadonlyMap<string, string>>();

/** What each shard of a new cluster with this spec is told to be. */
function freshShards(spec: object): ReadonlyMap<string, string> {
  const key = canonicalJson(spec);
  const known = fresh.get(key);
  if (known !== undefined) return known;
  const world = new ShardsWorld(spec);
  world.settle();
  const all = toldShards(world);
  fresh.set(key, all);
  return all;
}

/** What each shard was told to be, its place among the others left out. */
function toldShards({ shards }: ShardsWorld): ReadonlyMap<string, string> {
  return new Map(
    [...shards].map(([name, { manifest }]): [string, string] => {
      const { shard: _, ...rest } = manifest["spec"] as Record<string, unknown>;
      return [name, canonicalJson(rest)];
    }),
  );
}
