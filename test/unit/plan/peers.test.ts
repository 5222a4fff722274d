// What users of other operators complain of most, made impossible or at least explained. Each test names the issue it is about.
import { describe, expect, test } from "vitest";
import { evict, loseNode } from "./faults.ts";
import { Simulator } from "./simulator.ts";

const UPDATE = { minReadySeconds: 1, progressDeadlineSeconds: 60 };
const VERSION_2 = { engine: { name: "example", version: "2" } };

function running(members: number, spec: object = {}): Simulator {
  const world = new Simulator({ members, update: UPDATE, ...spec });
  world.settle();
  world.trace.length = 0;
  return world;
}

function live(world: Simulator, seconds: number): void {
  for (let second = 0; second < seconds; second += 1) {
    world.pass();
    world.move();
    world.nowMs += 1_000;
  }
}

function deletedPods(world: Simulator): string[] {
  return world.trace.flatMap((line) => /^Delete Pod (\S+)-0:/.exec(line)?.[1] ?? []);
}

describe("stuck, with no reason in status (kubeblocks#10456, percona-server-mysql-operator#1393, cloudnative-pg#9919)", () => {
  const stuck: Readonly<Record<string, (world: Simulator) => void>> = {
    "a leader that does not hand over": (world) => {
      world.refusesSwitchover = true;
      world.change({ members: 3, update: UPDATE, ...VERSION_2 });
    },
    "a follower that does not come back": (world) => {
      loseNode(world, world.pods.get("orders-2")?.node ?? "");
      world.change({ members: 3, update: UPDATE, ...VERSION_2 });
    },
    "no leader": (world) => {
      for (const node of world.nodes.keys()) loseNode(world, node);
      world.change({ members: 5, update: UPDATE });
    },
    "a revision that failed": (world) => {
      world.broken.add("example/engine:2");
      world.change({ members: 3, update: UPDATE, ...VERSION_2 });
    },
    "a canary that waits for a person": (world) => {
      const update = { ...UPDATE, strategy: "Canary", canary: { bakeSeconds: 1, promotion: "Manual" } };
      world.change({ members: 3, update, ...VERSION_2 });
    },
    "members held back": (world) => world.change({ members: 3, update: { ...UPDATE, partition: 3 }, ...VERSION_2 }),
    "a pause": (world) => world.change({ members: 5, paused: true }),
  };
  test.each(Object.keys(stuck))("%s is told, with the guard and the object", (why) => {
    const world = running(3);
    stuck[why]?.(world);
    live(world, 200);
    // The moment in which a step is tried again is not stuck.
    for (let second = 0; second < 5 && world.status.blocked === undefined; second += 1) live(world, 1);
    const [block] = world.status.blocked ?? [];
    expect(block?.guard).toMatch(/^[A-Z]/);
    expect(block?.message).toMatch(/\.$/);
    expect(block?.object).not.toBe("");
    expect(world.status.conditions?.some((c) => c.type === "Blocked" && c.status === "True")).toBe(true);
  });
});

describe("two writers after the loss of a node (cloudnative-pg#7407, kubeblocks#10047)", () => {
  test("the operator neither routes nor promotes nor removes: whoever may still write is the agents' to fence", () => {
    const world = running(3);
    const lost = world.leader ?? "";
    loseNode(world, world.pods.get(lost)?.node ?? "");
    live(world, 120);
    expect(world.leader).not.toBe(lost);
    expect(deletedPods(world)).toEqual([]);
    expect(world.trace.filter((line) => /EndpointSlice|Lease/.test(line))).toEqual([]);
    expect(world.intent?.members.map((m) => m.name)).toContain(lost);
    expect(world.intent?.bootstrapMember).toBeNull();
  });
});

describe("upgrades of the operator that restart everything (cloudnative-pg#5950, #7727, cloud-on-k8s#7359)", () => {
  test("no pod is replaced in twenty clusters, and each says what waits", () => {
    for (let cluster = 0; cluster < 20; cluster += 1) {
      const world = running(1 + (cluster % 5));
      const before = [...world.pods.values()].map((pod) => pod.uid);
      world.agentImage = "quorate/agent:2";
      live(world, 20);
      expect([...world.pods.values()].map((pod) => pod.uid)).toEqual(before);
      expect(world.status.blocked?.map((b) => b.guard)).toEqual(["TemplateAccepted"]);
    }
  });
});

describe("a budget that blocks every drain (zalando/postgres-operator#611, #2840, vitess-operator#276)", () => {
  test.each([1, 2, 3, 5])(
    "the nodes of %i members are drained one after the other, and every drain ends",
    (members) => {
      const world = running(members);
      const nodes = [...new Set([...world.pods.values()].map((pod) => pod.node))];
      for (const node of nodes) {
        world.nodes.set(node, { ready: true, unschedulable: true });
        const on = () => [...world.pods].filter(([, pod]) => pod.node === node).map(([name]) => name);
        for (let second = 0; second < 300 && on().length > 0; second += 1) {
          for (const name of on()) if (name !== world.leader || members === 1) evict(world, name);
          live(world, 1);
        }
        expect(on()).toEqual([]);
        world.nodes.set(node, { ready: true, unschedulable: false });
        world.settle();
      }
      expect(world.status.readyRatio).toBe(`${members}/${members}`);
    },
  );
});

describe("trouble with the API server taken for trouble with the data (patroni#3462, zalando/postgres-operator#354)", () => {
  test("members whose reports are gone or not understood, but who are ready, are not replaced as broken", () => {
    const world = running(3);
    for (const pod of world.pods.values()) pod.report = undefined;
    world.change({ members: 3, update: UPDATE, ...VERSION_2 });
    world.pass();
    expect(deletedPods(world)).toEqual([]);
    expect(world.status.blocked?.map((b) => b.guard)).toContain("LeaderKnown");
  });
});

describe("update, failover and scale-in that lock each other (tidb-operator#865, #2739, #6155, cloud-on-k8s#1799, #8429)", () => {
  test("a member that is dead can leave in the middle of a roll that is stuck on it, and the roll goes on", () => {
    const world = running(4);
    loseNode(world, world.pods.get("orders-3")?.node ?? "");
    world.change({ members: 4, update: UPDATE, ...VERSION_2 });
    live(world, 30);
    expect(world.status.blocked?.map((b) => b.guard)).toContain("MembersInSync");
    world.change({ members: 3, update: UPDATE, ...VERSION_2 });
    live(world, 100);
    expect(world.intent?.members).toHaveLength(3);
    const hashes = ["orders-0", "orders-1", "orders-2"].map((name) => world.pods.get(name)?.templateHash);
    expect(new Set(hashes).size).toBe(1);
    expect(hashes[0]).toBe(world.status.rollout?.revision);
  });

  test("a leader that is lost in the middle of a roll is replaced by the members, and the roll ends", () => {
    const world = running(3);
    world.change({ members: 3, update: UPDATE, ...VERSION_2 });
    live(world, 3);
    world.kill(world.leader ?? "");
    world.settle();
    expect(world.status.rollout).toMatchObject({ phase: "Complete" });
  });

  test("a pod that is lost in the middle of a roll does not come up at the new revision before its turn", () => {
    const world = running(3, { update: { ...UPDATE, minReadySeconds: 120 } });
    const before = world.pods.get("orders-0")?.templateHash;
    world.change({ members: 3, update: { ...UPDATE, minReadySeconds: 120 }, ...VERSION_2 });
    live(world, 10);
    world.pods.delete("orders-0");
    live(world, 10);
    expect(world.pods.get("orders-0")?.templateHash).toBe(before);
  });

  test("a broken template is left without anybody deleting pods (kubernetes#67250)", () => {
    const world = running(3);
    world.broken.add("example/engine:2");
    world.change({ members: 3, update: UPDATE, ...VERSION_2 });
    live(world, 10);
    world.change({ members: 3, update: UPDATE });
    live(world, 20);
    expect(world.status.readyRatio).toBe("3/3");
    expect(deletedPods(world)).toEqual(["orders-2", "orders-2"]);
  });
});
