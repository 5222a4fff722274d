// docs/change.md is written by hand but for what the planner's data says better: the lists of
// guards and of interlocks.
import { GUARDS } from "../../src/plan/guards.ts";
import { INTERLOCKS } from "../../src/plan/interlock.ts";
import { withPart } from "./page-part.ts";

/** The page with its generated parts as they should be. @throws {Error} when the page lost a marker. */
export function withGeneratedParts(page: string): string {
  return withPart(withPart(page, "guards", guardTable()), "interlocks", interlockTable());
}

function guardTable(): string {
  const rows = Object.entries(GUARDS).map(([name, { holds, override }]) => `| \`${name}\` | ${holds} | ${override} |`);
  return ["| guard | holds when | to let the step pass |", "| --- | --- | --- |", ...rows].join("\n");
}

function interlockTable(): string {
  const rows = INTERLOCKS.map(({ change, by, runs, why }) => `| ${change} | ${by} | ${runs.toLowerCase()} | ${why} |`);
  return ["| change | by | runs | why there |", "| --- | --- | --- | --- |", ...rows].join("\n");
}
