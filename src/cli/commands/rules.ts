// kubectl quorate rules
import type { Command } from "commander";
import { fleetGroups } from "../../slo/fleet.ts";
import { type RuleGroup, RUNBOOKS } from "../../slo/rule.ts";
import { ruleGroup } from "../../slo/rules.ts";
import { formatted, inSession, readCluster, type Session } from "./session.ts";

/** Adds the command. */
export function addRules(program: Command): void {
  program
    .command("rules")
    .argument("[name]", "ClusterSpec with spec.slo; when left out, the rules that all clusters share")
    .option("--runbooks <url>", "address of the folder with the runbooks, for the links in alerts", RUNBOOKS)
    .description(
      "Print recording and alert rules as a Prometheus rule file: of a cluster's objectives, or those for all.",
    )
    .action((name: string | undefined, { runbooks }: { readonly runbooks: string }, command: Command) => {
      // What all clusters share needs no cluster to talk to.
      if (name === undefined)
        return void process.stdout.write(`${formatted("yaml", { groups: fleetGroups(runbooks) }).join("\n")}\n`);
      return inSession(command, async (session) =>
        session.print(formatted("yaml", { groups: [await objectiveRules(session, name, runbooks)] })),
      );
    });
}

async function objectiveRules(session: Session, name: string, runbooks: string): Promise<RuleGroup> {
  const { slo, topology } = (await readCluster(session, name)).spec;
  if (slo === undefined) throw new Error(`ClusterSpec ${name} has no spec.slo: state objectives first`);
  return ruleGroup({ namespace: session.namespace, cluster: name, slo, topology }, runbooks);
}
