import { describe, expect, test } from "vitest";
import { ReceivingWatch } from "../../../src/agent/receiving.ts";
import { buildReport, type ReportParts } from "../../../src/agent/report.ts";
import { stateOf } from "../../../src/plan/facts.ts";
import type { MemberView } from "../../../src/plan/observation.ts";

describe("a follower that receives nothing", () => {
  test("is cut off after half a minute, and no more once it receives", () => {
    const watch = new ReceivingWatch();
    const seen = [
      [true, 0],
      [true, 29_999],
      [true, 30_000],
      [false, 31_000],
      [true, 32_000],
      [true, 61_999],
      [true, 62_000],
    ] as const;
    expect(seen.map(([isMissing, atMs]) => watch.isCutOff(isMissing, atMs))).toEqual([
      false,
      false,
      true,
      false,
      false,
      false,
      true,
    ]);
  });

  test.each([
    ["follower", "Running", true, "Stalled"],
    ["follower", "Running", false, "Running"],
    ["follower", "Cloning", true, "Cloning"],
    ["leader", "Running", true, "Running"],
  ] as const)("a %s that is %s, cut off: %s, is shown as %s", (role, state, isCutOff, shown) => {
    const view = { role, epoch: 2, leader: "a", state, reason: null, syncNames: [], ack: 0 };
    const report = buildReport({
      view,
      intentGeneration: 1,
      observation: undefined,
      leaderPosition: null,
      leaderSince: null,
      switchover: null,
      accountsMissing: undefined,
      isCutOff,
      leaseGone: false,
      common: { agentVersion: "1", restart: null, rebuild: null, hook: null },
    } satisfies ReportParts);
    expect(report).toMatchObject({ state: shown, reason: shown === "Stalled" ? "NotReceiving" : null });
    const said = stateOf({ pod: { report } } as unknown as MemberView);
    expect(said.includes("order a Rebuild")).toBe(shown === "Stalled");
  });
});
