// Commands for people to paste: what lets a blocked step pass, ready to run.
import type { OperationIntent } from "../api/cluster-operation.ts";
import { API_VERSION } from "../api/names.ts";
import type { ClusterView } from "./observation.ts";

type Named = Pick<ClusterView, "namespace" | "name">;

/** The command that changes `.spec` as `change` says; null takes a field away. */
export function patchCommand({ namespace, name }: Named, change: object): string {
  return `kubectl patch -n ${namespace} clusterspec/${name} --type=merge -p ${quoted({ spec: change })}`;
}

/** The command that creates a ClusterOperation for the cluster. */
export function operationCommand(
  { namespace, name }: Named,
  operation: Pick<OperationIntent, "type"> & Partial<OperationIntent>,
): string {
  const manifest = {
    apiVersion: API_VERSION,
    kind: "ClusterOperation",
    metadata: { generateName: `${name}-`, namespace },
    spec: { clusterName: name, ...operation },
  };
  return `echo ${quoted(manifest)} | kubectl create -f -`;
}

/** The command that annotates the ClusterSpec. */
export function annotateCommand({ namespace, name }: Named, annotation: string, value: string): string {
  return `kubectl annotate -n ${namespace} clusterspec/${name} ${annotation}=${value} --overwrite`;
}

/** As one word of a shell's command, whatever is in it. */
function quoted(value: object): string {
  return `'${JSON.stringify(value).replaceAll("'", `'\\''`)}'`;
}
