/**
 * Sows each mistake of mutants.ts into a copy of the operator and runs the simulator on it: which oracle finds it, and after how many
 * seconds. A mistake that survives is an oracle that is missing. `--only TEXT`: those whose names hold the text.
 */
import { execFile } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Mutant, MUTANTS } from "./mutants.ts";

const ROOT = join(import.meta.dirname, "../..");
const COPIED = ["src", "test/sim", "test/unit/plan/fixture.ts"];

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

/** What the simulator prints about the first broken promise; undefined when it finds none. */
function findingIn(folder: string, args: readonly string[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    const argv = [join(folder, "test/sim/run.ts"), ...args, "--raw"];
    execFile(process.execPath, argv, { maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
      const found = /✗ (.+)/.exec(stdout + stderr)?.[1];
      resolve(error === null ? undefined : (found ?? `?: ${stderr.slice(0, 300)}`));
    });
  });
}

const { values } = parseArgs({ options: { only: { type: "string", default: "" } } });
let survivors = 0;
for (const mutant of MUTANTS.filter(({ name }) => name.includes(values.only))) {
  const startMs = performance.now();
  const folder = sow(mutant);
  const finding = await findingIn(folder, mutant.args);
  rmSync(folder, { recursive: true });
  if (finding === undefined) survivors += 1;
  const seconds = ((performance.now() - startMs) / 1000).toFixed(0);
  process.stdout.write(`${finding === undefined ? "SURVIVED" : "killed"}  ${mutant.name} (${seconds} s)\n`);
  if (finding !== undefined) process.stdout.write(`          by ${finding.slice(0, 160)}\n`);
}
process.stdout.write(`${MUTANTS.length} mistakes, ${survivors} survived\n`);
process.exitCode = survivors === 0 ? 0 : 1;
