// kubectl quorate why
import type { Command } from "commander";
import { ClusterOperation } from "../../api/cluster-operation.ts";
import { API_VERSION } from "../../api/names.ts";
import { listAll } from "../../kube/list.ts";
import type { KubeObject } from "../../kube/object.ts";
import { renderWhy, type ToldEvent } from "../why.ts";
import { inSession, readCluster, type Session } from "./session.ts";

/** Adds the command. */
export function addWhy(program: Command): void {
  program
    .command("why")
    .argument("<name>", "ClusterSpec")
    .description("Say why a cluster is as it is: what is not well, what holds a change back, and how to let it pass.")
    .action((name: string, _options: object, command: Command) =>
      inSession(command, async (session) => {
        const [cluster, operations, events] = await Promise.all([
          readCluster(session, name),
          readOperations(session, name),
          readEvents(session, name),
        ]);
        session.print(renderWhy({ cluster, operations, events, nowMs: Date.now() }, session.palette));
      }),
    );
}

/** The ClusterOperations of a cluster. */
export async function readOperations({ api, namespace }: Session, cluster: string): Promise<ClusterOperation[]> {
  const selection = { apiVersion: API_VERSION, kind: "ClusterOperation", namespace };
  const { items } = await listAll<KubeObject>(api, { ...selection, fieldSelector: `spec.clusterName=${cluster}` });
  return items.map((item) => ClusterOperation.parse(item));
}

interface EventObject extends KubeObject {
  readonly type?: string;
  readonly reason?: string;
  readonly note?: string;
  readonly eventTime?: string;
  readonly deprecatedLastTimestamp?: string;
  readonly series?: { readonly lastObservedTime?: string };
  readonly regarding?: { readonly kind?: string; readonly name?: string };
}

/** Events about the cluster and what belongs to it. */
export async function readEvents({ api, namespace }: Session, cluster: string): Promise<ToldEvent[]> {
  const { items } = await listAll<EventObject>(api, { apiVersion: "events.k8s.io/v1", kind: "Event", namespace });
  return items
    .filter(({ regarding }) => belongsTo(cluster, regarding?.name ?? ""))
    .map(({ type = "Normal", reason = "", note = "", regarding, series, metadata, ...times }) => {
      const first = times.eventTime ?? times.deprecatedLastTimestamp ?? metadata.creationTimestamp ?? "";
      const atMs = Date.parse(series?.lastObservedTime ?? first) || 0;
      return { type, reason, note, object: `${regarding?.kind ?? ""} ${regarding?.name ?? ""}`.trim(), atMs };
    });
}

/** Whether an object is the cluster, one of its members, or something of theirs, by its name. */
function belongsTo(cluster: string, name: string): boolean {
  const rest = name.slice(cluster.length);
  return name.startsWith(cluster) && /^$|^-[0-9]+(-|$)|^-(rw|ro|r|members|intent|engine)$/.test(rest);
}
