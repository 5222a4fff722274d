// The gates: what they hold back, what they say, and what lets a step pass.
import { describe, expect, test } from "vitest";
import { ANNOTATION_URGENT_UNTIL } from "../../../src/build/labels.ts";
import { type GatedWorld, windowBlock } from "../../../src/plan/gates.ts";
import { Simulator } from "./simulator.ts";

const SATURDAY = { name: "saturday", cron: "0 3 * * 6", timeZone: "Europe/Paris", durationMinutes: 120 };

/** The settled cluster at a moment. */
function worldAt(now: string, spec: object, annotations: Record<string, string> = {}): GatedWorld {
  const simulator = new Simulator({ ...spec });
  simulator.settle();
  simulator.nowMs = Date.parse(now);
  simulator.annotations = annotations;
  const seen = simulator.observe();
  if (seen.cluster === undefined) throw new Error("there is a cluster");
  return { seen, cluster: seen.cluster };
}

describe("windowBlock", () => {
  const wednesday = "2026-11-25T12:00:00Z";
  const spec = { maintenanceWindows: [SATURDAY] };

  test("holds nothing back without windows, nor while one is open", () => {
    expect(windowBlock(worldAt(wednesday, {}), "a rollout")).toBeUndefined();
    expect(windowBlock(worldAt("2026-11-28T03:00:00Z", spec), "a rollout")).toBeUndefined();
  });

  test("says what waits, which window opens next and how to pass", () => {
    expect(windowBlock(worldAt(wednesday, spec), "a rollout")).toEqual({
      guard: "WindowOpen",
      object: "orders",
      message:
        "No maintenance window is open for a rollout. saturday opens next, at 2026-11-28T02:00Z, for 120 minutes.",
      override: `kubectl annotate -n shop clusterspec/orders ${ANNOTATION_URGENT_UNTIL}="$(date -u -d '+1 hour' +%FT%TZ)" --overwrite`,
      nextTryMs: Date.parse("2026-11-28T02:00:00Z"),
    });
  });

  test("says the same until the window opens, so that nothing is written meanwhile", () => {
    expect(windowBlock(worldAt("2026-11-28T01:59:59Z", spec), "it")).toEqual(
      windowBlock(worldAt(wednesday, spec), "it"),
    );
  });

  test.each([
    { until: "2026-11-25T13:00:00Z", says: undefined },
    { until: "2026-11-25T12:00:00Z", says: "for 120 minutes." },
    { until: "2026-11-27T12:00:00Z", says: "is more than a day ahead and is ignored." },
    { until: "soon", says: "is not a time such as 2030-01-31T12:00:00Z and is ignored." },
  ])("with urgency until $until: $says", ({ until, says }) => {
    const block = windowBlock(worldAt(wednesday, spec, { [ANNOTATION_URGENT_UNTIL]: until }), "a rollout");
    if (says === undefined) expect(block).toBeUndefined();
    else expect(block?.message.endsWith(says)).toBe(true);
  });

  test("an impossible window stops the cluster's changes and says which field to correct", () => {
    const simulator = new Simulator({ maintenanceWindows: [{ ...SATURDAY, timeZone: "Mars/Olympus" }] });
    expect(simulator.plan()).toMatchObject({ stalled: true, blocked: [{ guard: "WindowsValid" }] });
  });
});
