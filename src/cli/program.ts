/** All commands of `kubectl quorate`. */
import { Command } from "commander";
import { addAdvise } from "./commands/advise.ts";
import { addChaos } from "./commands/chaos.ts";
import { addCompletion } from "./commands/completion.ts";
import { addDiagnose } from "./commands/diagnose.ts";
import { addEngineNew } from "./commands/engine-new.ts";
import { addEngineTest } from "./commands/engine-test.ts";
import { addForcePromote } from "./commands/force-promote.ts";
import { addLogs } from "./commands/logs.ts";
import { addOperation, addRollout, addSwitchover } from "./commands/operation.ts";
import { addPlan } from "./commands/plan.ts";
import { addPreflight } from "./commands/preflight.ts";
import { addRules } from "./commands/rules.ts";
import { addStatus } from "./commands/status.ts";
import { addWait } from "./commands/wait.ts";
import { addWhy } from "./commands/why.ts";
import { VERSION } from "../version.ts";

/** The program with all its commands, ready to parse. */
export function buildProgram(): Command {
  const program = new Command("kubectl-quorate")
    .usage("[options] [command]")
    .version(VERSION, "--version", "print the version of the plugin, which should be the operator's")
    .description("Look at quorate's clusters and operate them.")
    .option("--kubeconfig <file>", "kubeconfig to use")
    .option("--context <name>", "context to use")
    .option("-n, --namespace <name>", "namespace to look in")
    .addHelpText("after", "\nExit codes: 0 done; 1 it could not be done; 2 it could, and the answer is no.")
    .showSuggestionAfterError();

  for (const add of [
    addStatus,
    addWhy,
    addWait,
    addPlan,
    addSwitchover,
    addRollout,
    addOperation,
    addForcePromote,
    addLogs,
    addDiagnose,
    addPreflight,
    addAdvise,
    addChaos,
    addRules,
    addEngine,
    addCompletion,
  ]) {
    add(program);
  }
  return program;
}

function addEngine(program: Command): void {
  const engine = program.command("engine").description("Work on an Engine.");
  addEngineNew(engine);
  addEngineTest(engine);
}
