// What every command has: a client, a namespace, somewhere to print, and one meaning of exit codes.
import type { Command } from "commander";
import { dump } from "js-yaml";
import pc from "picocolors";
import { ClusterSpec } from "../../api/cluster-spec.ts";
import { API_VERSION } from "../../api/names.ts";
import { KubeClient } from "../../kube/client.ts";
import { kubeconfigConnection } from "../../kube/connection.ts";
import type { KubeObject, Stored } from "../../kube/object.ts";
import { PLAIN, type Palette } from "../palette.ts";

/** Exit codes beside 0: the command could not do what it was asked, or it could, and the answer is no. */
export const EXIT = { error: 1, no: 2 } as const;

/** Options that every command takes. */
export interface GlobalOptions {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly namespace?: string;
}

/** How a command's result is printed. */
export type Format = "json" | "yaml";

/** A running command. */
export interface Session {
  readonly api: KubeClient;
  readonly namespace: string;
  readonly palette: Palette;
  /** Prints lines to standard output. */
  readonly print: (lines: readonly string[]) => void;
  /** Ends when the person presses Ctrl-C. */
  readonly signal: AbortSignal;
}

const CLUSTER = { apiVersion: API_VERSION, kind: "ClusterSpec" } as const;

/** Runs `work` with a client of the kubeconfig that the options name, and closes it. */
export async function inSession(command: Command, work: (session: Session) => Promise<void>): Promise<void> {
  const options = command.optsWithGlobals<GlobalOptions>();
  const api = new KubeClient(await kubeconfigConnection(options.kubeconfig, options.context));
  const stop = new AbortController();
  const abort = () => stop.abort();
  process.once("SIGINT", abort);
  try {
    await work({
      api,
      namespace: options.namespace ?? api.namespace,
      palette: palette(),
      print: (lines) => void process.stdout.write(lines.map((line) => `${line}\n`).join("")),
      signal: stop.signal,
    });
  } finally {
    process.off("SIGINT", abort);
    api.close();
  }
}

/** Colours where the terminal has them. */
export function palette(): Palette {
  return pc.isColorSupported ? { bold: pc.bold, dim: pc.dim, green: pc.green, yellow: pc.yellow, red: pc.red } : PLAIN;
}

/** The ClusterSpec as it is stored. @throws {Error} that names it when it is not there. */
export async function storedCluster({ api, namespace }: Session, name: string): Promise<Stored<KubeObject>> {
  const found = await api.get<KubeObject>({ ...CLUSTER, namespace, name });
  if (found === undefined) throw new Error(`there is no ClusterSpec ${name} in namespace ${namespace}`);
  return found;
}

/** The ClusterSpec with every default. */
export async function readCluster(session: Session, name: string): Promise<ClusterSpec> {
  return ClusterSpec.parse(await storedCluster(session, name));
}

/** An object as `-o json` or `-o yaml` prints it, without what only the API server cares about. */
export function formatted(format: Format, object: object): string[] {
  return [
    (format === "json" ? JSON.stringify(object, null, 2) : dump(object, { noRefs: true, lineWidth: -1 })).trimEnd(),
  ];
}

/** A stored object without the list of who wrote which field. */
export function withoutManagers({ metadata, ...rest }: KubeObject): object {
  const { managedFields: _, ...kept } = metadata;
  return { ...rest, metadata: kept };
}
