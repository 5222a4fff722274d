import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { EXPERIMENT_NAMES, EXPERIMENTS, promiseOf } from "../../../src/chaos/experiments.ts";
import { GAME_DAY_NAMES } from "../../../src/chaos/game-days.ts";
import { CHAOS_GUARDS } from "../../../src/chaos/guards.ts";
import { cluster } from "./chaos-world.ts";

const PAGE = readFileSync(join(import.meta.dirname, "../../../docs/chaos.md"), "utf8");

test("the page has a row for every guard rail and game day, and names every experiment", () => {
  const rows = [...CHAOS_GUARDS.map(({ id }) => id), ...GAME_DAY_NAMES].map((name) => `| \`${name}\` |`);
  expect(rows.filter((row) => !PAGE.includes(row))).toEqual([]);
  expect(EXPERIMENT_NAMES.filter((name) => !PAGE.includes(`\`${name}\``))).toEqual([]);
});

test("what it says of the time without a leader is what is promised", () => {
  const promised = (["Fast", "Standard"] as const).map((profile) => {
    const { spec } = cluster({ failover: { profile } });
    return Math.round(promiseOf(EXPERIMENTS["kill-leader"], spec, 1).leaderlessMs / 1000);
  });
  expect(PAGE).toContain(`${promised[0]} s with \`failover.profile\` Fast, ${promised[1]} s with Standard`);
});
