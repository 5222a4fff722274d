// The measurer of members without agents, and of objectives that only Prometheus knows about; time is moved by the test.
import { describe, expect, test } from "vitest";
import { BUDGET_KEY } from "../../../src/build/budget-record.ts";
import { Measurer } from "../../../src/observe/measurer.ts";
import type { PrometheusSample } from "../../../src/observe/prometheus.ts";
import type { Stores } from "../../../src/observe/stores.ts";
import { BURN_UNITS, UNITS_PER_WINDOW } from "../../../src/slo/objectives.ts";
import { UNITS_LABEL } from "../../../src/slo/queries.ts";
import { judgeBudgets } from "../../../src/slo/verdict.ts";
import { FakeClock } from "../fake-clock.ts";
import { intentOf } from "../plan/fixture.ts";

const KEY = "shop/front";

/** Answers about objectives; what it throws is a Prometheus that fails. */
type Prometheus = (query: string) => readonly PrometheusSample[];

/** One cluster of topology Stateless and an operator that measures it. */
class Fleet {
  readonly clock = new FakeClock();
  readonly slices = { good: 0, bad: 0 };
  readonly asked: string[] = [];
  ready = 3;
  /** Pods that are ready and on their way out: no Service leads to them. */
  leaving = 0;
  spec: object;
  initialized = true;
  podsAgeMs = 0;
  record: string | undefined;
  prometheus: Prometheus | undefined;
  readonly #stop = new AbortController();
  measurer: Measurer;

  constructor({ slo = {}, prometheus }: { readonly slo?: object; readonly prometheus?: Prometheus } = {}) {
    this.spec = { topology: "Stateless", members: 3, slo };
    this.prometheus = prometheus;
    this.measurer = this.start();
  }

  /** Another operator takes over. */
  start(): Measurer {
    const measurer = new Measurer({
      stores: this.#stores(),
      clock: this.clock,
      random: () => 0.5,
      prometheus:
        this.prometheus === undefined
          ? undefined
          : {
              query: async (query) => {
                this.asked.push(query);
                return this.prometheus?.(query) ?? [];
              },
              measure: () => Promise.resolve({ missing: "nobody asks" }),
            },
      onChange: () => undefined,
      onAsked: () => undefined,
      onSlice: (key, isServed) => {
        if (key !== KEY) throw new Error(`nobody asked about ${key}`);
        this.slices[isServed ? "good" : "bad"] += 1;
      },
      readAgent: () => Promise.reject(new Error("there are no agents")),
    });
    void measurer.run(this.#stop.signal);
    this.measurer = measurer;
    return measurer;
  }

  async live(seconds: number): Promise<void> {
    await this.clock.run(seconds * 1000, 1000);
  }

  stop(): void {
    this.#stop.abort();
  }

  get measured(): ReturnType<Measurer["of"]> {
    return this.measurer.of(KEY);
  }

  /** Seconds that were bad, by the budget of 99.9 % of 30 days. */
  get badSeconds(): number {
    const budget = this.measured?.budgets?.find(({ name }) => name === "Availability");
    return Math.round((1 - (budget?.remaining ?? Number.NaN)) * 2592);
  }

  get verdict(): string {
    const { status, reason, message } = judgeBudgets(this.measured?.budgets, this.measured?.missing ?? "");
    return `${status} ${reason}: ${message}`;
  }

  #stores(): Pick<Stores, "of" | "ageMs"> {
    const object = () => ({
      metadata: { namespace: "shop", name: "front", uid: "uid-front" },
      spec: intentOf(this.spec),
      status: { initialized: this.initialized },
    });
    const pod = (at: number) => ({
      metadata: { namespace: "shop", uid: `pod-${at}`, name: `front-stable-${at}`, labels: {} },
      view: {
        createdMs: 0,
        ready: at < this.ready + this.leaving,
        ...(at >= this.ready ? { deletingSinceMs: 1 } : {}),
      },
      measuring: { address: `10.0.0.${at}`, restarts: 0 },
    });
    const kinds: Readonly<Record<string, object>> = {
      ClusterSpec: { all: () => [object()], get: object },
      Pod: { ofCluster: () => Array.from({ length: 12 }, (_, at) => pod(at)) },
      Engine: { get: () => undefined },
      ConfigMap: { get: () => (this.record === undefined ? undefined : { data: { [BUDGET_KEY]: this.record } }) },
    };
    return { of: (kind: string) => kinds[kind], ageMs: () => this.podsAgeMs } as unknown as Pick<
      Stores,
      "of" | "ageMs"
    >;
  }
}

describe("a cluster without agents", () => {
  test("keeps its objective while enough members are ready", async () => {
    const fleet = new Fleet();
    await fleet.live(330);
    fleet.ready = 2; // an eviction may take one away
    await fleet.live(120);
    expect(fleet.badSeconds).toBe(0);
    expect(fleet.slices.bad).toBe(0);
    expect(fleet.slices.good).toBeGreaterThan(400);
    expect(fleet.measured?.record).toBeUndefined();
    fleet.stop();
  });

  test("misses it second by second while too few are", async () => {
    const fleet = new Fleet();
    await fleet.live(330);
    fleet.ready = 1;
    fleet.leaving = 2;
    await fleet.live(40);
    fleet.ready = 3;
    await fleet.live(60);
    expect(fleet.slices.bad).toBeGreaterThanOrEqual(39);
    expect(fleet.slices.bad).toBeLessThanOrEqual(41);
    expect(fleet.badSeconds).toBe(fleet.slices.bad);
    fleet.stop();
  });

  test("says nothing before it was looked at for five minutes", async () => {
    const fleet = new Fleet();
    await fleet.live(280);
    expect(fleet.verdict).toContain("Unknown NoData");
    expect(fleet.verdict).toContain("not yet measured for five minutes");
    await fleet.live(50);
    expect(fleet.verdict).toBe("True WithinBudget: Error budget left: Availability 100%.");
    fleet.stop();
  });

  test.each([
    { why: "before its first member was ready", change: { initialized: false } },
    { why: "while it is stopped", change: { spec: { topology: "Stateless", members: 3, slo: {}, stopped: true } } },
  ])("misses nothing $why", async ({ change }) => {
    const fleet = new Fleet();
    Object.assign(fleet, change, { ready: 0 });
    await fleet.live(400);
    expect(fleet.badSeconds).toBe(0);
    expect(fleet.slices).toEqual({ good: 0, bad: 0 });
    fleet.stop();
  });

  test("misses nothing while more members than before are asked for and start", async () => {
    const fleet = new Fleet();
    await fleet.live(330);
    fleet.spec = { ...fleet.spec, members: 10 };
    await fleet.live(100);
    fleet.ready = 10;
    await fleet.live(10);
    expect(fleet.badSeconds).toBe(0);
    fleet.ready = 8; // what was reached counts
    await fleet.live(30);
    expect(fleet.badSeconds).toBeGreaterThan(20);
    fleet.stop();
  });

  test("is not judged by pods of which nobody has heard for long", async () => {
    const fleet = new Fleet();
    await fleet.live(330);
    fleet.podsAgeMs = 121_000;
    fleet.ready = 0;
    await fleet.live(90);
    expect(fleet.slices.bad).toBe(0);
    expect(fleet.verdict).toContain("Unknown NoData");
    expect(fleet.verdict).toContain("has not heard of pods");
    fleet.stop();
  });

  test("is known to the next operator by what was bad, which does not wait for it to be bad again", async () => {
    const fleet = new Fleet();
    await fleet.live(330);
    fleet.ready = 0;
    await fleet.live(100);
    fleet.ready = 3;
    await fleet.live(70);
    const before = fleet.badSeconds;
    fleet.record = fleet.measured?.record;
    fleet.start();
    await fleet.live(30);
    expect(fleet.measured?.budgets).toBeUndefined();
    await fleet.live(300);
    expect(fleet.badSeconds).toBe(before);
    expect(before).toBeGreaterThanOrEqual(99);
    fleet.stop();
  });
});

describe("an objective of the user's own", () => {
  const slo = {
    objectives: [{ name: "checkout", targetPercent: "99", badQuery: "bad[$(WINDOW)]", totalQuery: "all[$(WINDOW)]" }],
  };
  const units = [...BURN_UNITS, UNITS_PER_WINDOW];
  /** A share over all windows but the whole, over which it is a tenth; of some no value. */
  const answering =
    (share: number, without: readonly number[] = []): Prometheus =>
    (query) =>
      units
        .filter((one) => query.includes("bad[") && query.includes(`"${one}", ""`) && !without.includes(one))
        .map((one) => ({
          labels: { [UNITS_LABEL]: String(one) },
          value: one === UNITS_PER_WINDOW ? share / 10 : share,
        }));
  const budgetOf = ({ measured }: Fleet) => measured?.budgets?.find(({ name }) => name === "checkout");

  test.each([
    {
      share: 0,
      remaining: 1,
      alert: "None",
      says: "True WithinBudget: Error budget left: Availability 100%, checkout 100%.",
    },
    {
      share: 0.05,
      remaining: 0.5,
      alert: "Ticket",
      says: "False BudgetBurning: The error budget burns too fast: checkout (Ticket).",
    },
    { share: 0.2, remaining: -1, alert: "Page", says: "False BudgetExhausted: The error budget of checkout is spent." },
  ])("of which a share of $share is bad", async ({ share, remaining, alert, says }) => {
    const fleet = new Fleet({ slo, prometheus: answering(share) });
    await fleet.live(330);
    expect(budgetOf(fleet)).toMatchObject({ remaining: expect.closeTo(remaining), alert });
    expect(fleet.verdict).toBe(says);
    const own = fleet.asked.filter((one) => one.includes("bad["));
    expect(own[0]).toContain("(sum(bad[5m]) or vector(0)) / clamp_min(sum(all[5m]), 1e-12)");
    fleet.stop();
  });

  test("is asked over its whole window, which may be very many figures, every ten minutes and not every minute", async () => {
    const fleet = new Fleet({ slo, prometheus: answering(0) });
    await fleet.live(1260);
    const over = (range: string) => fleet.asked.filter((one) => one.includes(`bad[${range}]`)).length;
    expect(over("5m")).toBeGreaterThanOrEqual(20);
    expect(over("30d")).toBe(3);
    fleet.stop();
  });

  test("of which no bad event was ever counted is kept, and it is said that the query may be wrong", async () => {
    const all = answering(0);
    const silent: Prometheus = (query) =>
      query.includes('(sum(all[30d]) unless sum(bad[30d])), "quorate_units", "no-bad-series"')
        ? [...all(query), { labels: { [UNITS_LABEL]: "no-bad-series" }, value: 12 }]
        : all(query);
    const fleet = new Fleet({ slo, prometheus: silent });
    await fleet.live(330);
    expect(fleet.verdict).toBe("True WithinBudget: Error budget left: Availability 100%, checkout 100%.");
    expect(fleet.measured?.remarks).toBe(
      "checkout: badQuery has had no series over 30d: either nothing was bad, or it asks for what there is not",
    );
    fleet.prometheus = all;
    await fleet.live(660);
    expect(fleet.measured?.remarks).toBeUndefined();
    fleet.stop();
  });

  test.each([
    {
      why: "nobody can be asked",
      prometheus: undefined,
      says: "the operator has no Prometheus to ask: set QUORATE_PROMETHEUS_URL",
    },
    {
      why: "a window has no value",
      prometheus: answering(0, [1 / 12]),
      says: "Prometheus has no value of it over 5m",
    },
    {
      why: "the query is refused",
      prometheus: () => {
        throw new Error("Prometheus refused the query: bad_data: parse error");
      },
      says: "Prometheus refused the query: bad_data: parse error",
    },
  ])(
    "is not known where $why: the gate is closed, and availability is told all the same",
    async ({ prometheus, says }) => {
      const fleet = new Fleet({ slo, ...(prometheus === undefined ? {} : { prometheus }) });
      await fleet.live(330);
      expect(fleet.verdict).toBe(
        `Unknown NoData: The objectives of spec.slo cannot be judged: objective checkout has no data: ${says}.`,
      );
      expect(fleet.measured?.budgets?.map(({ name }) => name)).toEqual(["Availability"]);
      fleet.stop();
    },
  );

  test("outlives a Prometheus that fails for a moment, and no longer than five minutes", async () => {
    const fleet = new Fleet({ slo, prometheus: answering(0) });
    await fleet.live(330);
    fleet.prometheus = () => {
      throw new Error("connection refused");
    };
    await fleet.live(200);
    expect(fleet.verdict).toContain("True WithinBudget");
    await fleet.live(200);
    expect(fleet.verdict).toContain("checkout has no data: connection refused");
    fleet.prometheus = answering(0);
    await fleet.live(70);
    expect(fleet.verdict).toContain("True WithinBudget");
    fleet.stop();
  });

  test("is asked anew when it says something else, and the old answer is no answer to it", async () => {
    const fleet = new Fleet({ slo, prometheus: answering(0) });
    await fleet.live(330);
    fleet.prometheus = (query) => {
      if (query.includes("typo")) throw new Error("Prometheus refused the query");
      return answering(0)(query);
    };
    const [objective] = slo.objectives;
    fleet.spec = { ...fleet.spec, slo: { objectives: [{ ...objective, totalQuery: "typo[$(WINDOW)]" }] } };
    await fleet.live(70);
    expect(fleet.verdict).toContain("checkout has no data: Prometheus refused the query");
    fleet.stop();
  });
});
