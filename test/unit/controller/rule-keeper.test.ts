// Rules of clusters, kept in an API server that may refuse some: those of one must not stop those of another.
import { expect, test } from "vitest";
import { RuleKeeper, type RuleKeeperOptions } from "../../../src/controller/rule-keeper.ts";
import { RetryableError } from "../../../src/errors.ts";
import { createLogger } from "../../../src/telemetry/logger.ts";
import { FakeClock } from "../fake-clock.ts";
import { intentOf } from "../plan/fixture.ts";

interface Rules {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly groups: readonly { readonly rules: readonly { readonly expr: string }[] }[] };
}

/** An API server that has PrometheusRules, and refuses some. */
class World {
  readonly clock = new FakeClock();
  /** Expressions of the rules that were written, by their name. */
  readonly applied = new Map<string, string>();
  readonly logged: Record<string, unknown>[] = [];
  refused: readonly string[] = [];
  lists = 0;
  readonly #stop = new AbortController();

  constructor(specs: Readonly<Record<string, object>>, { isServed = true } = {}) {
    const objects = Object.entries(specs).map(([name, spec]) => ({
      metadata: { namespace: "shop", name, uid: `uid-${name}` },
      spec: intentOf({ slo: {}, ...spec }),
    }));
    const options = {
      api: {
        list: () => {
          this.lists += 1;
          if (isServed) return Promise.resolve({ items: [], resourceVersion: "1" });
          return Promise.reject(new RetryableError("no such kind", { reason: "KindNotServed" }));
        },
        apply: (rules: Rules) => this.#apply(rules),
        delete: () => Promise.resolve(),
      },
      stores: { of: () => ({ all: () => objects, getByUid: () => undefined }) },
      clock: this.clock,
      log: createLogger({
        program: "test",
        version: "0",
        destination: { write: (line) => void this.logged.push(JSON.parse(line) as Record<string, unknown>) },
      }),
      settings: {},
    };
    void new RuleKeeper(options as unknown as RuleKeeperOptions).run(this.#stop.signal);
  }

  async #apply({ metadata, spec }: Rules): Promise<void> {
    if (this.refused.includes(metadata.name)) throw new Error("admission webhook denied the request: parse error");
    const expressions = spec.groups.flatMap(({ rules }) => rules.map(({ expr }) => expr));
    this.applied.set(metadata.name, expressions.join("\n"));
  }

  stop(): void {
    this.#stop.abort();
  }
}

test("rules that are refused keep no other cluster's from being written, are told of once, and are tried again", async () => {
  const world = new World({ carts: {}, orders: {} });
  world.refused = ["carts-objectives"];
  await world.clock.run(35_000, 1000);
  expect([...world.applied.keys()]).toEqual(["orders-objectives"]);
  expect(world.logged).toEqual([expect.objectContaining({ level: "warn", namespace: "shop", cluster: "carts" })]);
  expect(world.lists).toBe(1); // nobody asks every few seconds for what somebody must put right first
  world.refused = [];
  await world.clock.run(60_000, 1000);
  expect([...world.applied.keys()]).toContain("carts-objectives");
  world.stop();
});

test("where the kind is not served nobody is told, and nothing is written", async () => {
  const world = new World({ carts: {} }, { isServed: false });
  await world.clock.run(35_000, 1000);
  expect(world.logged).toEqual([]);
  expect(world.applied.size).toBe(0);
  world.stop();
});

test("rules are about what is measured of a cluster: by agents, by the operator, or by the user's own queries", async () => {
  const objectives = [{ name: "answered", targetPercent: "99", badRatioQuery: "mine[$(WINDOW)]" }];
  const world = new World({ orders: {}, front: { topology: "Stateless", slo: { objectives } } });
  await world.clock.run(1_000, 1000);
  expect(world.applied.get("orders-objectives")).toContain("quorate_member_write_slices_total");
  const front = world.applied.get("front-objectives");
  expect(front).toContain("quorate_cluster_serving_slices_total");
  expect(front).toContain("max(mine[3d])");
  expect(front).not.toContain("quorate_member_");
  world.stop();
});
