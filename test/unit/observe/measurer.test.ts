// The measurer with the agents' real instruments behind it, and time that the test moves.
import { describe, expect, test } from "vitest";
import { agentMetrics, type AgentMetrics } from "../../../src/agent/metrics.ts";
import { BUDGET_KEY } from "../../../src/build/budget-record.ts";
import { type AskedBudgets, Measurer } from "../../../src/observe/measurer.ts";
import type { Prometheus } from "../../../src/observe/prometheus.ts";
import type { Stores } from "../../../src/observe/stores.ts";
import { FakeClock } from "../fake-clock.ts";
import { engine, intentOf } from "../plan/fixture.ts";

interface Member {
  readonly metrics: AgentMetrics;
  uid: string;
  createdMs: number;
  answers: boolean | "never";
  exists: boolean;
}

/** Clusters with three members each, their agents, and a measurer. */
class World {
  readonly clock = new FakeClock();
  readonly changes: string[] = [];
  readonly answers: AskedBudgets[] = [];
  readonly asked = new Map<string, number>();
  readonly members = new Map<string, Member>();
  readonly clusters = new Map<string, { uid: string; spec: object; initialized: boolean; rollout?: object }>();
  readonly configMaps = new Map<string, object>();
  readonly leaders = new Map<string, number | undefined>();
  readonly measurer: Measurer;
  readonly #stop = new AbortController();

  constructor(...names: string[]) {
    for (const name of names) this.add(name);
    this.measurer = this.newMeasurer();
  }

  newMeasurer(prometheus?: Pick<Prometheus, "query" | "measure">): Measurer {
    const measurer = new Measurer({
      stores: this.#stores(),
      clock: this.clock,
      random: () => 0.5,
      prometheus,
      onChange: (key) => this.changes.push(key),
      onAsked: (asked) => this.answers.push(asked),
      onSlice: () => {
        throw new Error("agents measure these");
      },
      readAgent: (address, signal) => this.#read(address, signal),
    });
    void measurer.run(this.#stop.signal);
    return measurer;
  }

  add(name: string, spec: object = { slo: {} }): void {
    this.clusters.set(name, { uid: `uid-${name}`, spec: intentOf(spec), initialized: true });
    this.leaders.set(name, 0);
    for (let ordinal = 0; ordinal < 3; ordinal += 1) this.start(name, ordinal);
  }

  start(name: string, ordinal: number): void {
    const member = `${name}-${ordinal}`;
    const labels = { cluster: name, namespace: "shop", member, node: "n" };
    const uid = `${member}-${this.clock.monotonicMs()}`;
    const createdMs = this.clock.now().getTime();
    this.members.set(member, { metrics: agentMetrics(labels), uid, createdMs, answers: true, exists: true });
  }

  member(name: string): Member {
    const member = this.members.get(name);
    if (member === undefined) throw new Error(`no member ${name}`);
    return member;
  }

  /** Lives on: every second, whoever leads writes, and all observe. */
  async live(seconds: number, write: "good" | "bad" = "good"): Promise<void> {
    for (let second = 0; second < seconds; second += 1) {
      for (const [cluster, leader] of this.leaders) this.#second(cluster, leader, write);
      await this.clock.run(1000, 1000);
    }
  }

  #second(cluster: string, leader: number | undefined, write: "good" | "bad"): void {
    for (let ordinal = 0; ordinal < 3; ordinal += 1) {
      const { metrics } = this.member(`${cluster}-${ordinal}`);
      metrics.isLeader.set(ordinal === leader ? 1 : 0);
      metrics.engineUp.set(1);
      metrics.actionSeconds.observe({ action: "observe", result: "ok" }, 0.002);
      if (ordinal !== leader) continue;
      metrics.writeSlices.inc({ result: write });
      metrics.actionSeconds.observe({ action: "probeWrite", result: write === "good" ? "ok" : "error" }, 0.004);
    }
  }

  stop(): void {
    this.#stop.abort();
  }

  #read(address: string, signal: AbortSignal): Promise<string> {
    this.asked.set(address, (this.asked.get(address) ?? 0) + 1);
    const { metrics, answers } = this.member(address);
    if (answers === true) return metrics.registry.metrics();
    if (answers === false) return Promise.reject(new Error("connection refused"));
    return new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("aborted"))));
  }

  #stores(): Pick<Stores, "of" | "ageMs"> {
    const of = (kind: string): unknown => {
      if (kind === "ClusterSpec") {
        const all = () =>
          [...this.clusters].map(([name, { uid, spec, initialized, rollout }]) => ({
            metadata: { namespace: "shop", name, uid },
            spec,
            status: {
              initialized,
              members: [0, 1, 2].map((ordinal) => ({
                name: `${name}-${ordinal}`,
                role: ordinal === this.leaders.get(name) ? "Leader" : "Follower",
                state: "Running",
                ready: true,
              })),
              ...(rollout === undefined ? {} : { rollout }),
            },
          }));
        return { all, get: (_: string, name: string) => all().find(({ metadata }) => metadata.name === name) };
      }
      if (kind === "Pod") return { ofCluster: (_: string, cluster: string) => this.#pods(cluster) };
      if (kind === "Engine") return { get: () => ({ spec: engine }) };
      return { get: (_: string, name: string) => this.configMaps.get(name) };
    };
    return { of, ageMs: () => 0 } as unknown as Pick<Stores, "of" | "ageMs">;
  }

  #pods(cluster: string): object[] {
    return [0, 1, 2].flatMap((ordinal) => {
      const name = `${cluster}-${ordinal}`;
      const { uid, createdMs, exists } = this.member(name);
      if (!exists) return [];
      const metadata = { namespace: "shop", uid, labels: { "quorate.io/member": name } };
      return { metadata, view: { createdMs }, measuring: { address: name, restarts: 0 } };
    });
  }
}

const budgetOf = (world: World, name = "orders", measurer = world.measurer) =>
  measurer.of(`shop/${name}`)?.budgets?.[0];

/** Seconds that were bad, by the budget of 99.9 % of 30 days. */
const badSeconds = (world: World, name = "orders", measurer = world.measurer) =>
  Math.round((1 - (budgetOf(world, name, measurer)?.remaining ?? Number.NaN)) * 2592);

describe("measuring", () => {
  test("says nothing for five minutes, then that all is well, once", async () => {
    const world = new World("orders");
    await world.live(290);
    expect(world.measurer.of("shop/orders")).toMatchObject({
      budgets: undefined,
      missing: expect.stringContaining("five minutes"),
    });
    await world.live(40);
    expect(budgetOf(world)).toMatchObject({ name: "Availability", remaining: 1, alert: "None" });
    const told = world.changes.length;
    await world.live(600);
    expect(world.changes.length).toBe(told);
    expect(world.measurer.of("shop/orders")?.record).toBeUndefined();
    world.stop();
  });

  test("counts writes that fail", async () => {
    const world = new World("orders");
    await world.live(330);
    await world.live(30, "bad");
    await world.live(30);
    expect(badSeconds(world)).toBeGreaterThanOrEqual(30);
    expect(badSeconds(world)).toBeLessThanOrEqual(33);
    world.stop();
  });

  test("counts a failover for as long as nobody wrote, whatever the old leader took along", async () => {
    const world = new World("orders");
    await world.live(333);
    world.leaders.set("orders", undefined);
    world.member("orders-0").exists = false;
    await world.live(15);
    world.leaders.set("orders", 1);
    for (const [phase, seconds] of [
      ["detect", 14.5],
      ["route", 0.5],
    ] as const) {
      world.member("orders-1").metrics.failoverSeconds.observe({ phase, trigger: "silent" }, seconds);
    }
    await world.live(60);
    expect(badSeconds(world)).toBeGreaterThanOrEqual(13);
    expect(badSeconds(world)).toBeLessThanOrEqual(19); // one look in between knew of no takeover yet
    world.stop();
  });

  test("counts a planned switchover by its own length, though the old leader's pod is gone at the next look", async () => {
    const world = new World("orders");
    await world.live(338);
    world.leaders.set("orders", 1);
    world.member("orders-0").exists = false;
    world.member("orders-1").metrics.failoverSeconds.observe({ phase: "detect", trigger: "handover" }, 0.4);
    await world.live(60);
    expect(budgetOf(world)?.remaining).toBeCloseTo(1 - 0.4 / 2592, 5);
    world.stop();
  });

  test("does not blame a leader that only the operator cannot reach", async () => {
    const world = new World("orders");
    await world.live(333);
    world.member("orders-0").answers = false;
    await world.live(45);
    expect(badSeconds(world)).toBe(0);
    await world.live(60);
    expect(budgetOf(world)).toBeUndefined(); // nobody knows any more
    world.member("orders-0").answers = true;
    await world.live(400);
    expect(badSeconds(world)).toBe(0);
    world.stop();
  });

  test("counts nothing before the cluster was initialised", async () => {
    const world = new World("orders");
    world.clusters.set("orders", { uid: "uid-orders", spec: intentOf({ slo: {} }), initialized: false });
    world.leaders.set("orders", undefined);
    await world.live(330);
    expect(badSeconds(world)).toBe(0);
    world.stop();
  });

  test("one cluster whose agents hang makes no other wait", async () => {
    const world = new World("orders", "carts");
    for (let ordinal = 0; ordinal < 3; ordinal += 1) world.member(`carts-${ordinal}`).answers = "never";
    await world.live(330);
    expect(world.asked.get("orders-0")).toBeGreaterThanOrEqual(32);
    expect(world.asked.get("carts-0")).toBe(1);
    expect(badSeconds(world)).toBe(0);
    world.stop();
  });

  test("leaves clusters without objectives alone, and forgets those that are gone", async () => {
    const world = new World("orders");
    world.add("plain", {});
    await world.live(330);
    expect(world.asked.get("plain-0")).toBeUndefined();
    expect([...world.measurer.budgets()].map(({ key }) => key)).toEqual(["shop/orders"]);
    world.clusters.delete("orders");
    await world.live(5);
    const asked = world.asked.get("orders-0");
    await world.live(30);
    expect(world.asked.get("orders-0")).toBe(asked);
    expect([...world.measurer.budgets()]).toEqual([]);
    expect(world.measurer.of("shop/orders")).toBeUndefined();
    world.stop();
  });
});

describe("an operator that starts anew", () => {
  test("knows of the bad time before it, and opens nothing before it has seen enough", async () => {
    const world = new World("orders");
    await world.live(330);
    await world.live(120, "bad");
    await world.live(70);
    const before = badSeconds(world);
    expect(before).toBeGreaterThanOrEqual(120);
    world.configMaps.set("orders-budget", { data: { [BUDGET_KEY]: world.measurer.of("shop/orders")?.record } });
    const next = world.newMeasurer();
    await world.live(30);
    expect(next.of("shop/orders")?.budgets).toBeUndefined();
    await world.live(310);
    expect(badSeconds(world, "orders", next)).toBe(before);
    world.stop();
  });

  test("does not take the agents' past for the present", async () => {
    const world = new World("orders");
    world.stop();
    for (let second = 0; second < 100; second += 1) world.member("orders-0").metrics.writeSlices.inc({ result: "bad" });
    const late = new World();
    for (const [name, member] of world.members) late.members.set(name, member);
    for (const [name, cluster] of world.clusters) late.clusters.set(name, cluster);
    late.leaders.set("orders", 0);
    await late.live(330);
    expect(badSeconds(late)).toBe(0);
    late.stop();
  });
});

describe("a Prometheus that does not answer about objectives", () => {
  test("is told of once when it begins and once when it ends, and counted every time", async () => {
    const world = new World("orders");
    let answers = false;
    world.newMeasurer({
      query: () => (answers ? Promise.resolve([]) : Promise.reject(new Error("connection refused"))),
      measure: () => Promise.resolve({ missing: "nobody asks" }),
    });
    await world.live(130);
    answers = true;
    await world.live(120);
    const told = world.answers.map(({ failed, isNews }) => [failed > 0, isNews]);
    expect(told.slice(0, 2)).toEqual([
      [true, true],
      [true, false],
    ]);
    expect(told.filter(([, isNews]) => isNews)).toEqual([
      [true, true],
      [false, true],
    ]);
    expect(world.answers[0]).toMatchObject({ key: "shop/orders", error: new Error("connection refused") });
    world.stop();
  });
});

describe("a revision on trial", () => {
  const analysis = [
    { name: "down", measure: "EngineDownPercent", max: "0" },
    { name: "latency", measure: "LatencyP95Milliseconds", maxRatio: "2", overSeconds: 60 },
    { name: "users", query: "up", max: "1" },
  ];

  function onTrial(): World {
    const world = new World();
    world.add("orders", { update: { strategy: "Canary", canary: { analysis } } });
    return world;
  }

  const rollout = (phase: string) => ({ revision: "r2", phase, updated: ["orders-2"] });
  const verdicts = (world: World) =>
    world.measurer.of("shop/orders")?.trial?.verdicts.map(({ name, verdict }) => `${name} ${verdict}`);

  function setPhase(world: World, phase: string | undefined): void {
    const cluster = world.clusters.get("orders");
    if (cluster === undefined) throw new Error("there is a cluster");
    world.clusters.set("orders", { ...cluster, ...(phase === undefined ? {} : { rollout: rollout(phase) }) });
  }

  test("is judged once it has been measured for long enough, against followers that are not updated", async () => {
    const world = onTrial();
    await world.live(20);
    expect(world.measurer.of("shop/orders")).toBeUndefined(); // nothing to judge, nobody is asked
    setPhase(world, "Baking");
    await world.live(40);
    expect(verdicts(world)).toEqual(["down NoData", "latency NoData", "users NoData"]);
    await world.live(60);
    expect(verdicts(world)).toEqual(["down Pass", "latency Pass", "users NoData"]);
    expect(world.measurer.of("shop/orders")?.trial).toMatchObject({ revision: "r2" });
    expect(world.measurer.of("shop/orders")?.trial?.verdicts[2]?.message).toContain("set QUORATE_PROMETHEUS_URL");
    world.stop();
  });

  test("fails by latency that its control group does not have, and tells the planner at once", async () => {
    const world = onTrial();
    setPhase(world, "Baking");
    await world.live(100);
    const told = world.changes.length;
    for (let second = 0; second < 60; second += 1) {
      const { metrics } = world.member("orders-2");
      for (let i = 0; i < 3; i += 1) metrics.actionSeconds.observe({ action: "observe", result: "ok" }, 0.09);
      await world.live(1);
    }
    expect(verdicts(world)).toEqual(["down Pass", "latency Fail", "users NoData"]);
    expect(world.changes.length).toBe(told + 1);
    world.stop();
  });

  test("is forgotten when the roll ends, and with it what was measured", async () => {
    const world = onTrial();
    setPhase(world, "Baking");
    await world.live(100);
    setPhase(world, "RolledBack");
    await world.live(10);
    expect(world.measurer.of("shop/orders")).toBeUndefined();
    world.stop();
  });
});
