// The number of members under a load that comes and goes: it must follow, and must not swing with it.
import { describe, expect, test } from "vitest";
import { Autoscaling } from "../../../src/api/stateless.ts";
import { buildAutoscaler } from "../../../src/build/autoscaler.ts";
import { contextOf } from "./fixture.ts";
import { autoscale, type Scaling, turns } from "./autoscaler-world.ts";

const HOUR = 3600;
const MINUTE = 60;
const LOW_CORES = 1;
const HIGH_CORES = 10;
const REQUEST = "500m";
/** Members that the high load needs at 60 % of 500m each. */
const ENOUGH = Math.ceil(HIGH_CORES / 0.3);

/** What Kubernetes does where nobody says anything. */
const KUBERNETES_DEFAULTS = {
  scaleOut: { stabilizationSeconds: 0, percent: 100, members: 4, periodSeconds: 15 },
  scaleIn: { stabilizationSeconds: 300, percent: 100, members: 100, periodSeconds: 15 },
};

function run(periodSeconds: number, hours: number, spec: object = {}): readonly Scaling[] {
  const context = contextOf({ topology: "Stateless", members: 3 });
  const manifest = buildAutoscaler(context, Autoscaling.parse({ maxMembers: 50, ...spec }));
  const load = (second: number) => (second % periodSeconds < periodSeconds / 2 ? HIGH_CORES : LOW_CORES);
  return autoscale(manifest, REQUEST, hours * HOUR, load);
}

describe("a load like a square wave", () => {
  test.each([1, 2, 5, 10, 15, 19])("with a period of %i minutes: members come once and stay", (minutes) => {
    const changes = run(minutes * MINUTE, 6);
    expect(turns(changes)).toBe(0);
    expect(changes.at(-1)?.to).toBe(ENOUGH);
    expect(changes.length).toBeLessThanOrEqual(6);
    expect(changes.at(-1)?.second).toBeLessThan(20 * MINUTE);
  });

  test("with a period of hours: out and in again once each time, never back and forth", () => {
    const changes = run(4 * HOUR, 16);
    expect(turns(changes)).toBe(7); // four times out, four times in
  });

  test.each([12, 15])("with a period of %i minutes would make Kubernetes' own defaults swing", (minutes) => {
    expect(turns(run(minutes * MINUTE, 6, KUBERNETES_DEFAULTS))).toBeGreaterThan(20);
  });
});

test("a load that comes is answered within two minutes, whatever the number was before", () => {
  const [changes] = [run(2 * HOUR, 1)];
  expect(changes.find(({ to }) => to >= ENOUGH)?.second).toBeLessThanOrEqual(2 * MINUTE);
});

test("members go one in five a minute at the most", () => {
  const away = run(4 * HOUR, 4).filter(({ from, to }) => to < from);
  expect(away.length).toBeGreaterThan(5);
  for (const { from, to } of away) expect(from - to).toBeLessThanOrEqual(Math.max(1, Math.ceil(from * 0.2)));
});

test("there are never fewer than are to be warm, and never more than may be", () => {
  const small = run(5 * MINUTE, 2, { maxMembers: 8 });
  expect(Math.max(...small.map(({ to }) => to))).toBe(8);
  const idle = autoscale(
    buildAutoscaler(contextOf({ topology: "Stateless", members: 3 }), Autoscaling.parse({ maxMembers: 8 })),
    REQUEST,
    HOUR,
    () => 0.01,
  );
  expect(idle).toEqual([]);
});

test("a load that is steady within a tenth changes nothing", () => {
  const manifest = buildAutoscaler(
    contextOf({ topology: "Stateless", members: 3 }),
    Autoscaling.parse({ maxMembers: 50 }),
  );
  const changes = autoscale(manifest, REQUEST, 6 * HOUR, (second) => 6 + 0.25 * Math.sin(second / 40));
  expect(changes.filter(({ second }) => second > 20 * MINUTE)).toEqual([]);
});
