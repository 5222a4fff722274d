// Maintenance windows: over clock changes, leap days and each other; and what makes a window impossible.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MaintenanceWindow } from "../../../src/api/objectives.ts";
import { isOpen, nextOpening, windowProblem } from "../../../src/plan/maintenance.ts";

function window(cron: string, fields: Partial<MaintenanceWindow> = {}): MaintenanceWindow {
  return MaintenanceWindow.parse({ name: "w", cron, durationMinutes: 60, ...fields });
}

const at = (text: string): number => Date.parse(text);
const opening = (windows: readonly MaintenanceWindow[], after: string): string | undefined => {
  const next = nextOpening(windows, at(after));
  return next === undefined ? undefined : `${next.window.name} ${new Date(next.atMs).toISOString().slice(0, 16)}`;
};

describe("a window", () => {
  test.each([
    { now: "2026-11-28T01:59:59.999Z", open: false },
    { now: "2026-11-28T02:00:00Z", open: true },
    { now: "2026-11-28T03:59:59.999Z", open: true },
    { now: "2026-11-28T04:00:00Z", open: false },
    { now: "2026-11-27T03:00:00Z", open: false },
  ])("on Saturdays at 03:00 in Paris, for two hours, is open at $now: $open", ({ now, open }) => {
    expect(isOpen(window("0 3 * * 6", { timeZone: "Europe/Paris", durationMinutes: 120 }), at(now))).toBe(open);
  });

  test.each([
    {
      why: "an hour that the clock skips opens right after it",
      after: "2026-03-28T12:00:00Z",
      opens: "2026-03-29T01:00",
    },
    { why: "the day after is as ever", after: "2026-03-29T12:00:00Z", opens: "2026-03-30T00:30" },
    { why: "an hour that comes twice opens at the first", after: "2026-10-24T12:00:00Z", opens: "2026-10-25T00:30" },
    { why: "and not again at the second", after: "2026-10-25T00:30:00Z", opens: "2026-10-26T01:30" },
  ])("at 02:30 in Paris: $why", ({ after, opens }) => {
    expect(opening([window("30 2 * * *", { timeZone: "Europe/Paris" })], after)).toBe(`w ${opens}`);
  });

  test("keeps its length over a clock change", () => {
    const night = window("0 1 * * *", { timeZone: "Europe/Paris", durationMinutes: 240 });
    expect(isOpen(night, at("2026-03-29T03:59:00Z"))).toBe(true); // 05:59 there, 3 h 59 min after 01:00
    expect(isOpen(night, at("2026-03-29T04:00:00Z"))).toBe(false);
  });

  test("on a leap day waits for the next leap year", () => {
    const leap = window("0 3 29 2 *");
    expect(opening([leap], "2026-01-01T00:00:00Z")).toBe("w 2028-02-29T03:00");
    expect(windowProblem(leap)).toBeUndefined();
  });

  test("that opens again before it closes stays open", () => {
    const long = window("0 * * * *", { durationMinutes: 90 });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 10 * 86_400 }), (second) =>
        isOpen(long, at("2026-03-25T00:00:00Z") + second * 1000),
      ),
    );
  });
});

describe("several windows", () => {
  const early = window("0 2 * * *", { name: "early" });
  const late = window("30 2 * * *", { name: "late" });

  test("that overlap are open while one is", () => {
    const open = (now: string) => [early, late].some((one) => isOpen(one, at(now)));
    expect(["01:59", "02:15", "02:45", "03:15", "03:30"].map((time) => open(`2026-11-25T${time}:00Z`))).toEqual([
      false, true, true, true, false,
    ]); // biome-ignore format: one row
  });

  test("say which opens first", () => {
    expect(opening([late, early], "2026-11-25T12:00:00Z")).toBe("early 2026-11-26T02:00");
    expect(opening([late, early], "2026-11-25T02:00:00Z")).toBe("late 2026-11-25T02:30");
  });
});

test("a window is open exactly from each opening for its duration", () => {
  const minute = fc.integer({ min: 0, max: 59 });
  const zone = fc.constantFrom("UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu");
  fc.assert(
    fc.property(
      minute,
      zone,
      fc.integer({ min: 5, max: 600 }),
      fc.integer({ min: 0, max: 365 * 1440 }),
      (m, timeZone, durationMinutes, offset) => {
        const daily = window(`${m} 2 * * *`, { timeZone, durationMinutes });
        const next = nextOpening([daily], at("2026-01-01T00:00:00Z") + offset * 60_000);
        if (next === undefined) throw new Error("a daily window always opens again");
        expect(isOpen(daily, next.atMs - 1)).toBe(false);
        expect(isOpen(daily, next.atMs)).toBe(true);
        expect(isOpen(daily, next.atMs + durationMinutes * 60_000 - 1)).toBe(true);
        expect(isOpen(daily, next.atMs + durationMinutes * 60_000)).toBe(false);
      },
    ),
    { numRuns: 300 },
  );
});

describe("a problem names the field and the fix", () => {
  test.each([
    {
      why: "unknown zone",
      bad: window("0 3 * * *", { timeZone: "Mars/Olympus" }),
      says: "timeZone Mars/Olympus is not known",
    },
    { why: "no such day", bad: window("0 3 30 2 *"), says: "cron '0 3 30 2 *' never comes true" },
    { why: "a range downwards", bad: window("0 3 * * 5-1"), says: "cron '0 3 * * 5-1' is not a schedule" },
    { why: "an hour too many", bad: window("0 24 * * *"), says: "cron '0 24 * * *' is not a schedule" },
  ])("$why", ({ bad, says }) => {
    expect(windowProblem(bad)).toContain(`spec.maintenanceWindows (w).${says}`);
  });
});
