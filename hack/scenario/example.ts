/** The example cluster of the README, under other names: what tests and benchmarks break. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { dump, load } from "js-yaml";
import { apply, kubectl } from "./lab.ts";

const MANIFEST = join(import.meta.dirname, "../../examples/postgres/cluster.yaml");

/** What a scenario changes of the example. */
export interface ExampleCluster {
  readonly namespace: string;
  readonly cluster: string;
  /** 3 when absent. */
  readonly members?: number;
  /** Fast when absent. */
  readonly profile?: "Fast" | "Standard";
  /** More of `.spec`: each field in place of the example's. */
  readonly spec?: Readonly<Record<string, unknown>>;
}

/** The example's manifest, a ClusterSpec and what it needs, for that namespace and name. */
export async function exampleManifest({ namespace, cluster, members, profile, spec }: ExampleCluster): Promise<string> {
  const changes: readonly (readonly [string, string])[] = [
    ["name: orders", `name: ${cluster}`],
    ["namespace: demo", `namespace: ${namespace}`],
    ["members: 3", `members: ${members ?? 3}`],
    ["profile: Fast", `profile: ${profile ?? "Fast"}`],
  ];
  let manifest = await readFile(MANIFEST, "utf8");
  for (const [from, to] of changes) {
    if (!manifest.includes(from)) throw new Error(`${MANIFEST} has no line ${from}`);
    manifest = manifest.replace(from, to);
  }
  if (spec === undefined) return manifest;
  const example = load(manifest) as { readonly spec: object };
  return dump({ ...example, spec: { ...example.spec, ...spec } });
}

/** Applies the example in a namespace that is made when it is missing; returns before the cluster is whole. */
export async function applyExample(example: ExampleCluster): Promise<void> {
  await kubectl("create", "namespace", example.namespace).catch(() => undefined);
  await apply(await exampleManifest(example));
}

/** Removes a namespace with all clusters in it; resolves once their pods are gone, so that what comes next has the machine. */
export async function removeNamespace(namespace: string): Promise<void> {
  await kubectl("delete", "namespace", namespace, "--ignore-not-found", "--timeout=180s");
}
