/** `kubectl quorate`: looks at clusters, foretells changes, and asks for what is done once. */
import { Command } from "commander";
import { addCompletion } from "./cli/commands/completion.ts";
import { addDiagnose } from "./cli/commands/diagnose.ts";
import { addLogs } from "./cli/commands/logs.ts";
import { addOperation, addRollout, addSwitchover } from "./cli/commands/operation.ts";
import { addPlan } from "./cli/commands/plan.ts";
import { addPreflight } from "./cli/commands/preflight.ts";
import { addRules } from "./cli/commands/rules.ts";
import { EXIT } from "./cli/commands/session.ts";
import { addStatus } from "./cli/commands/status.ts";
import { addWhy } from "./cli/commands/why.ts";

const program = new Command("kubectl-quorate")
  .usage("[options] [command]")
  .description("Look at quorate's clusters and operate them.")
  .option("--kubeconfig <file>", "kubeconfig to use")
  .option("--context <name>", "context to use")
  .option("-n, --namespace <name>", "namespace to look in")
  .addHelpText("after", "\nExit codes: 0 done; 1 it could not be done; 2 it could, and the answer is no.")
  .showSuggestionAfterError();

for (const add of [
  addStatus,
  addWhy,
  addPlan,
  addSwitchover,
  addRollout,
  addOperation,
  addLogs,
  addDiagnose,
  addPreflight,
  addRules,
  addCompletion,
]) {
  add(program);
}

try {
  await program.parseAsync();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = EXIT.error;
}
