/** What came of a checklist, for a terminal. Pure. */
import type { Finding } from "../checklist/checklist.ts";
import type { Palette } from "./palette.ts";

/** The findings as lines under a heading, and the sum. */
export function renderFindings(heading: string, findings: readonly Finding[], palette: Palette): string[] {
  const marks = {
    Pass: palette.green("✓"),
    Warn: palette.yellow("!"),
    Fail: palette.red("✗"),
    Unknown: palette.dim("?"),
  };
  const lines = findings.flatMap(({ id, title, result, found, fix }) => [
    `${marks[result]} ${title} ${palette.dim(`[${id}]`)}: ${found}`,
    ...(fix === undefined ? [] : [`    ${palette.bold(fix)}`]),
  ]);
  const count = (wanted: Finding["result"]) => findings.filter(({ result }) => result === wanted).length;
  const sum = `${count("Pass")} passed, ${count("Warn")} warnings, ${count("Fail")} failed, ${count("Unknown")} unknown`;
  return [palette.bold(heading), ...lines, sum];
}
