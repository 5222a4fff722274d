// kubectl quorate engine test
import { access, constants, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { type Command, Option } from "commander";
import { load } from "js-yaml";
import { parseEngine } from "../../api/parse.ts";
import { Topology } from "../../api/topology.ts";
import { CHECK_NAMES, type CheckResult, topologyOf, tryEngine, untried } from "../../conformance/conformance.ts";
import { testPasswords } from "../../conformance/credentials.ts";
import type { HostSoftware } from "../../conformance/host-cluster.ts";
import { programFolder } from "../../program-files.ts";
import type { Palette } from "../palette.ts";
import { EXIT, palette } from "./session.ts";

interface TestOptions {
  readonly only?: readonly string[];
  readonly topology?: Topology;
  readonly client?: string;
  readonly init?: string;
}

/** Adds the command below `engine`. */
export function addEngineTest(engine: Command): void {
  engine
    .command("test")
    .argument("<file>", "an Engine object with its files, as node engines/assemble.ts writes it")
    .addOption(
      new Option("--topology <topology>", "which of the Engine's topologies; the first when absent").choices(
        Topology.options,
      ),
    )
    .addOption(new Option("--only <checks...>", "names of checks to run").choices(CHECK_NAMES))
    .option(
      "--client <program>",
      "program that writes and reads keys, run with the word write or read and keys on standard input, a line each; write stores each with itself as its value and prints those that were acknowledged, read prints those that it finds. Without one nobody looks for keys, in backups or, in topology Sharded, after slots have moved",
    )
    .option(
      "--init <program>",
      "the quorate-init that the rule about the fence starts engines by; the one beside this program when absent. Without one nobody tries the fence",
    )
    .description(
      "Try an Engine against the contract, with members as processes of this machine: run it where the engine's programs are, for example in its image. Says at the end what was not tried. Exits with 2 when a rule is broken.",
    )
    .action((file: string, options: TestOptions) => testEngine(file, options));
}

async function testEngine(file: string, options: TestOptions): Promise<void> {
  const { spec } = parseEngine(load(await readFile(file, "utf8")));
  const user = { uid: spec.runAs.user, gid: spec.runAs.group };
  const client = options.client === undefined ? {} : { client: resolve(options.client) };
  const init = await initProgram(options.init);
  const software: HostSoftware = {
    spec,
    user,
    passwords: testPasswords(spec.accounts),
    programs: {},
    ...client,
    ...init,
  };
  const colours = palette();
  for await (const result of tryEngine(software, options)) {
    process.stdout.write(
      describeResult(result, colours)
        .map((line) => `${line}\n`)
        .join(""),
    );
    if (result.problem !== undefined) process.exitCode = EXIT.no;
  }
  const notes = untried(topologyOf(spec, options.topology), software, spec.actions);
  process.stdout.write(notes.map((note) => `${colours.dim(`not tried: ${note}`)}\n`).join(""));
}

/** quorate-init as it was asked for, or as it lies beside this program. @throws {Error} when what was asked for cannot be run. */
async function initProgram(asked: string | undefined): Promise<Pick<HostSoftware, "init">> {
  const init = resolve(asked ?? join(programFolder(), "quorate-init"));
  try {
    await access(init, constants.X_OK);
    return { init };
  } catch (error) {
    if (asked === undefined) return {};
    throw new Error(`--init ${asked}: no program that can be run`, { cause: error });
  }
}

/** A line for a rule that is kept; what is wrong, and what the engine printed, for one that is not. */
export function describeResult(
  { name, rule, problem, logs = [] }: CheckResult,
  { green, red, dim }: Palette,
): string[] {
  if (problem === undefined) return [`${green("✓")} ${name}: ${rule}`];
  return [`${red("✗")} ${name}: ${rule}`, `  ${problem}`, ...logs.map((line) => dim(`  │ ${line}`))];
}
