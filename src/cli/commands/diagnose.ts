// kubectl quorate diagnose: everything that somebody else needs to help, and no secret.
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Command } from "commander";
import { dump } from "js-yaml";
import { LABEL_CLUSTER, nameOf } from "../../api/names.ts";
import { isForbidden } from "../../kube/api-error.ts";
import type { Selection } from "../../kube/api.ts";
import { listAll } from "../../kube/list.ts";
import type { KubeObject } from "../../kube/object.ts";
import { judge } from "../../checklist/checklist.ts";
import { INCIDENT } from "../../checklist/incident.ts";
import { merged } from "../log-lines.ts";
import { PLAIN } from "../palette.ts";
import { renderWhy } from "../why.ts";
import { renderFindings } from "../findings.ts";
import { gatherFacts } from "./gather-facts.ts";
import { memberPods, readLogs } from "./logs.ts";
import { inSession, readCluster, type Session, storedCluster, withoutManagers } from "./session.ts";
import { readEvents, readOperations } from "./why.ts";

const TAIL = 2000;

/** Kinds that are collected by the cluster's label. Secrets are not among them, and are never read. */
const COLLECTED: readonly (readonly [apiVersion: string, kind: string])[] = [
  ["v1", "Pod"],
  ["v1", "Service"],
  ["v1", "ConfigMap"],
  ["v1", "PersistentVolumeClaim"],
  ["apps/v1", "StatefulSet"],
  ["apps/v1", "ControllerRevision"],
  ["policy/v1", "PodDisruptionBudget"],
  ["discovery.k8s.io/v1", "EndpointSlice"],
  ["coordination.k8s.io/v1", "Lease"],
  ["networking.k8s.io/v1", "NetworkPolicy"],
];

/** Adds the command. */
export function addDiagnose(program: Command): void {
  program
    .command("diagnose")
    .argument("<name>", "ClusterSpec")
    .option("-d, --directory <folder>", "where to write; quorate-<name>-<time> when left out")
    .description(
      "Go through the incident checklist, and write a folder with objects, events and logs for whoever helps. It holds no Secret.",
    )
    .action((name: string, options: { readonly directory?: string }, command: Command) =>
      inSession(command, (session) => diagnose(session, name, options.directory)),
    );
}

async function diagnose(session: Session, name: string, directory: string | undefined): Promise<void> {
  const cluster = await readCluster(session, name);
  const findings = judge(INCIDENT, await gatherFacts(session, cluster));
  session.print(renderFindings(`${name}: what to look at first`, findings, session.palette));
  const folder = directory ?? `quorate-${name}-${new Date().toISOString().replaceAll(/[-:]|\..*/g, "")}`;
  await mkdir(join(folder, "objects"), { recursive: true });
  const write = (file: string, text: string) => writeFile(join(folder, file), text);
  const [operations, events] = await Promise.all([readOperations(session, name), readEvents(session, name)]);
  await write("checklist.txt", `${renderFindings(name, findings, PLAIN).join("\n")}\n`);
  await write("why.txt", `${renderWhy({ cluster, operations, events, nowMs: Date.now() }, PLAIN).join("\n")}\n`);
  await write("objects/ClusterSpec.yaml", dump(withoutManagers(await storedCluster(session, name))));
  await write("objects/ClusterOperation.yaml", dump(operations, { noRefs: true }));
  const missing = [...(await writeObjects(session, name, write)), ...(await writeLogs(session, name, write))];
  session.print(["", `written to ${folder}/`, ...missing.map((what) => `  not in it: ${what}`)]);
}

type Write = (file: string, text: string) => Promise<void>;

/** @returns what could not be read. */
async function writeObjects({ api, namespace }: Session, name: string, write: Write): Promise<readonly string[]> {
  const missing: string[] = [];
  for (const [apiVersion, kind] of COLLECTED) {
    const selection: Selection = { apiVersion, kind, namespace, labelSelector: `${LABEL_CLUSTER}=${name}` };
    try {
      const { items } = await listAll<KubeObject>(api, selection);
      // The Engine's scripts are the same for all, and long.
      const own = items.filter(({ metadata }) => metadata.name !== nameOf.engineFiles(name));
      await write(
        `objects/${kind}.yaml`,
        own.map((item) => dump(withoutManagers(item), { noRefs: true })).join("---\n"),
      );
    } catch (error) {
      if (!isForbidden(error)) throw error;
      missing.push(`${kind}s: you may not list them`);
    }
  }
  return missing;
}

async function writeLogs(session: Session, name: string, write: Write): Promise<readonly string[]> {
  try {
    const pods = await memberPods(session, name);
    const lines = merged(await readLogs(session, pods, { tail: TAIL }));
    await write("members.log", lines.map(({ time, member, text }) => `${time} ${member} ${text}\n`).join(""));
    return [];
  } catch (error) {
    return [`logs: ${error instanceof Error ? error.message : String(error)}`];
  }
}
