/**
 * Sows each mistake of mutants.ts into a copy of operator and agents and runs a simulator on it: which oracle finds it, and after how many
 * seconds. A mistake that survives is an oracle that is missing. `--only TEXT`: those whose names hold the text. `--write`: the table in
 * docs/reliability.md is made anew from what was found.
 */
import { execFile } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { withPart } from "../../hack/generate/page-part.ts";
import { type Mutant, MUTANTS } from "./mutants.ts";

const ROOT = join(import.meta.dirname, "../..");
const PAGE = join(ROOT, "docs/reliability.md");
const LONGEST_CELL = 110;
const COPIED = ["src", "test/sim", "test/unit/plan"];
const PROGRAMS = {
  operator: "test/sim/run.ts",
  agents: "test/sim/agents/run.ts",
  planner: "test/unit/plan/run-pairs.ts",
} as const;

/** A copy of what the simulator runs, with the mistake in it. @throws {Error} when its place is not there exactly once. */
function sow({ name, file, find, replace, also }: Mutant): string {
  const folder = mkdtempSync(join(tmpdir(), "quorate-mutant-"));
  for (const part of COPIED) cpSync(join(ROOT, part), join(folder, part), { recursive: true });
  writeFileSync(join(folder, "package.json"), '{"type":"module"}');
  symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
  for (const change of also === undefined ? [{ file, find, replace }] : [{ file, find, replace }, also]) {
    const path = join(folder, "src", change.file);
    const source = readFileSync(path, "utf8");
    if (source.split(change.find).length !== 2) {
      throw new Error(`${change.file} does not hold the place of “${name}” once`);
    }
    writeFileSync(
      path,
      source.replace(change.find, () => change.replace),
    );
  }
  return folder;
}

/** How a run on a mistake ended. */
interface Finding {
  readonly mutant: Mutant;
  /** The first broken promise; undefined when there was none. */
  readonly oracle: string | undefined;
  readonly what: string;
}

/** Runs the simulator on the copy. A run that ends without a broken promise and without success found nothing, either. */
function judge(folder: string, mutant: Mutant): Promise<Finding> {
  return new Promise((resolve) => {
    const argv = [join(folder, PROGRAMS[mutant.of ?? "operator"]), ...mutant.args, "--raw"];
    execFile(process.execPath, argv, { maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
      const [, oracle, what = ""] = /✗ ([A-Z][A-Za-z0-9]*): (.+)/.exec(stdout + stderr) ?? [];
      const why = error === null ? "nothing was found" : `it ended by itself: ${stderr.trim().slice(-300)}`;
      resolve({ mutant, oracle, what: oracle === undefined ? why : what });
    });
  });
}

/** The table of docs/reliability.md. */
function tableOf(findings: readonly Finding[]): string {
  const cell = (text: string): string =>
    (text.split(";", 1)[0] ?? "").replaceAll("|", "\\|").replaceAll(/\s+/g, " ").slice(0, LONGEST_CELL);
  const rows = findings.map(
    ({ mutant, oracle = "survived", what }) =>
      `| ${mutant.name} | ${mutant.of ?? "operator"} | ${oracle} | ${cell(what)} |`,
  );
  const survivors = findings.filter(({ oracle }) => oracle === undefined).length;
  const sum = `${findings.length} mistakes were sown, ${findings.length - survivors} found.`;
  return [sum, "", "| mistake | simulator of | found by | as |", "| --- | --- | --- | --- |", ...rows].join("\n");
}

const { values } = parseArgs({
  options: { only: { type: "string", default: "" }, write: { type: "boolean", default: false } },
});
const findings: Finding[] = [];
for (const mutant of MUTANTS.filter(({ name }) => name.includes(values.only))) {
  const startMs = performance.now();
  const folder = sow(mutant);
  const finding = await judge(folder, mutant);
  rmSync(folder, { recursive: true });
  findings.push(finding);
  const seconds = ((performance.now() - startMs) / 1000).toFixed(0);
  process.stdout.write(`${finding.oracle === undefined ? "SURVIVED" : "killed"}  ${mutant.name} (${seconds} s)\n`);
  process.stdout.write(`          ${finding.oracle ?? "?"}: ${finding.what.slice(0, 160)}\n`);
}
const survivors = findings.filter(({ oracle }) => oracle === undefined).length;
process.stdout.write(`${findings.length} mistakes, ${survivors} survived\n`);
if (values.write) writeFileSync(PAGE, withPart(readFileSync(PAGE, "utf8"), "mutants", tableOf(findings)));
process.exitCode = survivors === 0 ? 0 : 1;
