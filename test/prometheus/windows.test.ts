// Each fault in a maintenance window, open or closed: tickets that work brings about are kept quiet, everything else is told.
import { describe, expect, test } from "vitest";
import { FAULTS, firing, MUTED_IN_WINDOWS, WELL, windowOpen } from "./faults.ts";

const MUTED: readonly string[] = MUTED_IN_WINDOWS;

describe("in a maintenance window", { timeout: 60_000 }, () => {
  test.each(FAULTS)("that is open: $alert", async ({ alert, fault, at, also = [] }) => {
    const told = [alert, ...also].filter((name) => !MUTED.includes(name));
    expect((await firing({ ...WELL, ...fault, ...windowOpen(true) }, at)).toSorted()).toEqual(told.toSorted());
  });

  test.each(FAULTS.filter(({ alert }) => MUTED.includes(alert)))(
    "that is closed: $alert",
    async ({ alert, fault, at, also = [] }) => {
      const told = [alert, ...also].toSorted();
      expect((await firing({ ...WELL, ...fault, ...windowOpen(false) }, at)).toSorted()).toEqual(told);
    },
  );
});
