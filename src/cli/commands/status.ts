// kubectl quorate status
import cliTruncate from "cli-truncate";
import { type Command, Option } from "commander";
import { createLogUpdate } from "log-update";
import { ClusterSpec } from "../../api/cluster-spec.ts";
import { API_VERSION } from "../../api/names.ts";
import { listAll } from "../../kube/list.ts";
import type { KubeObject, Stored } from "../../kube/object.ts";
import { renderTree } from "../tree.ts";
import { type Format, formatted, inSession, type Session, storedCluster, withoutManagers } from "./session.ts";

const WATCH_MS = 1000;

interface StatusOptions {
  readonly watch?: boolean;
  readonly output?: Format;
}

/** Adds the command. */
export function addStatus(program: Command): void {
  program
    .command("status")
    .argument("[name]", "ClusterSpec; all of the namespace when left out")
    .option("-w, --watch", "draw again every second until Ctrl-C")
    .addOption(new Option("-o, --output <format>", "print the objects instead").choices(["json", "yaml"]))
    .description("Draw clusters as trees: members with role, state and lag; what is going on; what is blocked.")
    .action((name: string | undefined, options: StatusOptions, command: Command) =>
      inSession(command, (session) => showStatus(session, name, options)),
    );
}

async function showStatus(session: Session, name: string | undefined, options: StatusOptions): Promise<void> {
  if (options.output !== undefined) {
    const objects = (await clusters(session, name)).map(withoutManagers);
    const result =
      name === undefined ? { apiVersion: API_VERSION, kind: "ClusterSpecList", items: objects } : objects[0];
    session.print(formatted(options.output, result ?? {}));
    return;
  }
  if (options.watch !== true) {
    session.print(await drawn(session, name));
    return;
  }
  const draw = process.stdout.isTTY ? createLogUpdate(process.stdout) : undefined;
  while (!session.signal.aborted) {
    const lines = await drawn(session, name);
    if (draw === undefined) session.print(lines);
    else draw(lines.join("\n"));
    await pause(WATCH_MS, session.signal);
  }
  draw?.done();
}

/** Waits, or ends at once when `signal` aborts. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end, { once: true });
    function end(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    }
  });
}

async function clusters(session: Session, name: string | undefined): Promise<readonly Stored<KubeObject>[]> {
  if (name !== undefined) return [await storedCluster(session, name)];
  const { api, namespace } = session;
  return (await listAll<KubeObject>(api, { apiVersion: API_VERSION, kind: "ClusterSpec", namespace })).items;
}

/** The trees, cut to the width of the terminal; whole when there is none. */
async function drawn(session: Session, name: string | undefined): Promise<string[]> {
  const found = await clusters(session, name);
  if (found.length === 0) return [`no ClusterSpecs in namespace ${session.namespace}`];
  const lines = found.flatMap((cluster, index) => [
    ...(index === 0 ? [] : [""]),
    ...renderTree(ClusterSpec.parse(cluster), session.palette),
  ]);
  const { columns, isTTY } = process.stdout;
  return isTTY ? lines.map((line) => cliTruncate(line, columns)) : lines;
}
