// What an Engine cannot keep is refused before anything is built, with the field and the value that would do.
import { expect, test } from "vitest";
import { ServiceLevel } from "../../../src/api/objectives.ts";
import { preflight } from "../../../src/plan/preflight.ts";
import { engine } from "./fixture.ts";
import { Simulator } from "./simulator.ts";

test("a durability that the Engine cannot keep", () => {
  const seen = new Simulator({ members: 3 }).observe();
  if (seen.cluster === undefined) throw new Error("no cluster");
  const weak = { ...seen, engine: { ...engine, durabilityModes: ["Async" as const] } };
  expect(preflight(weak, seen.cluster)).toMatchObject({
    ok: false,
    blocked: [
      {
        guard: "DurabilitySupported",
        message: expect.stringContaining("cannot keep durability Quorum. Set spec.durability.mode to one of Async."),
        override: expect.stringContaining('{"spec":{"durability":{"mode":"Async"}}}'),
      },
    ],
  });
  expect(preflight(seen, seen.cluster)).toMatchObject({ ok: true });
});

test("an objective about requests that the Engine does not count", () => {
  const observed = new Simulator({ members: 3 }).observe();
  if (observed.cluster === undefined) throw new Error("no cluster");
  const { countRequests, ...actions } = { countRequests: engine.actions.observe, ...engine.actions };
  const seen = { ...observed, engine: { ...engine, actions } };
  const slo = ServiceLevel.parse({ dataPlane: { requestErrorPercent: "0.1" } });
  const cluster = { ...observed.cluster, intent: { ...observed.cluster.intent, slo } };
  expect(preflight(seen, cluster)).toMatchObject({
    ok: false,
    blocked: [
      {
        guard: "RequestsCounted",
        message: expect.stringContaining("does not count clients' requests"),
        override: expect.stringContaining('{"spec":{"slo":{"dataPlane":{"requestErrorPercent":null}}}}'),
      },
    ],
  });
  const counting = { ...engine, actions: { ...actions, countRequests } };
  expect(preflight({ ...seen, engine: counting }, cluster)).toMatchObject({ ok: true });
});

test("a backup that the Engine cannot begin with: the cluster does not begin empty instead", () => {
  const observed = new Simulator({ members: 3 }).observe();
  if (observed.cluster === undefined) throw new Error("no cluster");
  const { restore: _, ...actions } = engine.actions;
  const restore = { path: "shop/orders/20261128T000000Z-nightly" };
  const cluster = { ...observed.cluster, intent: { ...observed.cluster.intent, restore } };
  expect(preflight({ ...observed, engine: { ...engine, actions } }, cluster)).toMatchObject({
    ok: false,
    blocked: [{ guard: "RestoreSupported", override: expect.stringContaining('{"spec":{"restore":null}}') }],
  });
  expect(preflight(observed, cluster)).toMatchObject({ ok: true });
});
