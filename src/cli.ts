/** `kubectl quorate`: looks at clusters and asks for what is done once. */
import { Command } from "commander";
import { dump } from "js-yaml";
import pc from "picocolors";
import { ClusterSpec } from "./api/cluster-spec.ts";
import { API_VERSION } from "./api/names.ts";
import { PLAIN, type Palette, renderTree } from "./cli/tree.ts";
import { KubeClient } from "./kube/client.ts";
import { kubeconfigConnection } from "./kube/connection.ts";
import { listAll } from "./kube/list.ts";
import type { KubeObject } from "./kube/object.ts";
import { fleetGroups } from "./slo/fleet.ts";
import { type RuleGroup, RUNBOOKS_URL } from "./slo/rule.ts";
import { ruleGroup } from "./slo/rules.ts";

const CLUSTER = { apiVersion: API_VERSION, kind: "ClusterSpec" } as const;
const WATCH_MS = 1000;

interface GlobalOptions {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly namespace?: string;
}

function palette(): Palette {
  return pc.isColorSupported ? { bold: pc.bold, dim: pc.dim, green: pc.green, yellow: pc.yellow, red: pc.red } : PLAIN;
}

async function connect(options: GlobalOptions): Promise<{ api: KubeClient; namespace: string }> {
  const api = new KubeClient(await kubeconfigConnection(options.kubeconfig, options.context));
  return { api, namespace: options.namespace ?? api.namespace };
}

async function drawStatus(api: KubeClient, namespace: string, name: string | undefined): Promise<string[]> {
  const clusters: KubeObject[] = [];
  if (name === undefined) clusters.push(...(await listAll<KubeObject>(api, { ...CLUSTER, namespace })).items);
  else {
    const found = await api.get<KubeObject>({ ...CLUSTER, namespace, name });
    if (found === undefined) throw new Error(`there is no ClusterSpec ${name} in namespace ${namespace}`);
    clusters.push(found);
  }
  if (clusters.length === 0) return [`no ClusterSpecs in namespace ${namespace}`];
  return clusters.flatMap((cluster, index) => [
    ...(index === 0 ? [] : [""]),
    ...renderTree(ClusterSpec.parse(cluster), palette()),
  ]);
}

const program = new Command("kubectl-quorate")
  .description("Look at quorate's clusters and operate them.")
  .option("--kubeconfig <file>", "kubeconfig to use")
  .option("--context <name>", "context to use")
  .option("-n, --namespace <name>", "namespace to look in");

program
  .command("status")
  .argument("[name]", "ClusterSpec; all of the namespace when left out")
  .option("-w, --watch", "draw again every second")
  .description("Draw clusters as trees: members with role, state and lag; what is going on; what is blocked.")
  .action(async (name: string | undefined, options: { watch?: boolean }) => {
    const { api, namespace } = await connect(program.opts<GlobalOptions>());
    for (;;) {
      const lines = await drawStatus(api, namespace, name);
      if (options.watch === true && process.stdout.isTTY) process.stdout.write("\u001b[H\u001b[2J");
      process.stdout.write(`${lines.join("\n")}\n`);
      if (options.watch !== true) break;
      await new Promise((resolve) => setTimeout(resolve, WATCH_MS));
    }
    await api.close();
  });

program
  .command("switchover")
  .argument("<name>", "ClusterSpec")
  .option("--to <member>", "member that shall lead; the best follower when left out")
  .description("Move the leader, as planned: nothing acknowledged is lost, writes wait for less than a second.")
  .action(async (name: string, options: { to?: string }) => {
    const { api, namespace } = await connect(program.opts<GlobalOptions>());
    const operation = {
      apiVersion: API_VERSION,
      kind: "ClusterOperation",
      metadata: { name: `${name}-switchover-${Date.now()}`, namespace },
      spec: { clusterName: name, type: "Switchover", ...(options.to === undefined ? {} : { member: options.to }) },
    };
    const created = await api.create<KubeObject>(operation);
    process.stdout.write(`ClusterOperation ${created.metadata.name} created; kubectl get qco shows how it goes\n`);
    await api.close();
  });

program
  .command("rules")
  .argument("[name]", "ClusterSpec with spec.slo; when left out, the rules that all clusters share")
  .option("--runbooks <url>", "folder of the runbooks, for the links in alerts", RUNBOOKS_URL)
  .description(
    "Print recording and alert rules as a Prometheus rule file: of a cluster's objectives, or those for all.",
  )
  .action(async (name: string | undefined, options: { runbooks: string }) => {
    const groups = name === undefined ? fleetGroups(options.runbooks) : [await objectiveRules(name, options.runbooks)];
    process.stdout.write(dump({ groups }, { lineWidth: -1 }));
  });

async function objectiveRules(name: string, runbooksUrl: string): Promise<RuleGroup> {
  const { api, namespace } = await connect(program.opts<GlobalOptions>());
  const found = await api.get<KubeObject>({ ...CLUSTER, namespace, name });
  await api.close();
  if (found === undefined) throw new Error(`there is no ClusterSpec ${name} in namespace ${namespace}`);
  const { slo } = ClusterSpec.parse(found).spec;
  if (slo === undefined) throw new Error(`ClusterSpec ${name} has no spec.slo: state objectives first`);
  return ruleGroup({ namespace, cluster: name }, slo, runbooksUrl);
}

try {
  await program.parseAsync();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
