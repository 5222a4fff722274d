// What is there beside the operator when somebody types what documentation says.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { dump, load } from "js-yaml";

const ROOT = join(import.meta.dirname, "../..");

/** The cluster that most pages speak of, as its owner has it in a file, without a namespace. */
export async function readersOwn(): Promise<string> {
  const example = load(await readFile(join(ROOT, "examples/postgres/cluster.yaml"), "utf8")) as {
    readonly metadata: { readonly name: string };
    readonly spec: { readonly storage: { readonly data: object } };
  };
  const { storage } = example.spec;
  const data = { ...storage.data, className: "grows" };
  const slo = { dataPlane: { availabilityPercent: "99.9" } };
  const spec = { ...example.spec, storage: { ...storage, data }, slo };
  return dump({ ...example, metadata: { name: example.metadata.name }, spec });
}

/** The prices that docs/cli.md has for an example. */
export async function pricesOfPage(): Promise<string> {
  const page = await readFile(join(ROOT, "docs/cli.md"), "utf8");
  const text = /^```yaml\n(currency: [^]*?)^```/m.exec(page)?.[1];
  if (text === undefined) throw new Error("docs/cli.md has no prices");
  return text;
}

/** What a Prometheus has seen of that cluster in the last hour, as lines of OpenMetrics. */
export function pastHour(): readonly string[] {
  const nowSeconds = Math.floor(Date.now() / 1000);
  return Array.from({ length: 60 }, (_, at) => at).flatMap((at) =>
    ["orders-0", "orders-1", "orders-2"].flatMap((member) => {
      const line = (name: string, value: number) =>
        `quorate_member_${name}{namespace="shop",cluster="orders",member="${member}"} ${value} ${nowSeconds - (59 - at) * 60}`;
      return [
        line("cpu_seconds_total", at * 6),
        line("memory_bytes", 2 ** 28),
        line("volume_size_bytes", 2 ** 31),
        line("volume_free_bytes", 2 ** 30),
        line("engine_up", 1),
        line("expected_members", 3),
      ];
    }),
  );
}

/** A Namespace, as a manifest. */
export function namespaceOf(name: string): string {
  return dump({ apiVersion: "v1", kind: "Namespace", metadata: { name } });
}

/** What people have who read those pages: their namespaces, a StorageClass, Argo CD's settings, an account, an operator's pod. */
export async function surroundings(): Promise<string> {
  const deployment = load(await readFile(join(ROOT, "deploy/operator/deployment.yaml"), "utf8")) as {
    readonly spec: { readonly template: { readonly metadata: object; readonly spec: object } };
  };
  const { template } = deployment.spec;
  const objects = [
    ...["shop", "argocd"].map((name) => ({ apiVersion: "v1", kind: "Namespace", metadata: { name } })),
    {
      apiVersion: "storage.k8s.io/v1",
      kind: "StorageClass",
      metadata: { name: "grows" },
      provisioner: "example.com/none",
      allowVolumeExpansion: true,
    },
    { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "argocd-cm", namespace: "argocd" } },
    { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "ann", namespace: "shop" } },
    {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { ...template.metadata, name: "quorate-operator-0", namespace: "quorate-system" },
      spec: { ...template.spec, nodeName: "n1" },
    },
    usageOf("PodMetrics", { name: "orders-0-0", namespace: "shop", labels: { "quorate.io/cluster": "orders" } }),
    usageOf("PodMetrics", { name: "quorate-operator-0", namespace: "quorate-system" }),
    usageOf("NodeMetrics", { name: "n1" }),
  ];
  return objects.map((object) => dump(object)).join("---\n");
}

function usageOf(kind: "PodMetrics" | "NodeMetrics", metadata: object): object {
  const usage = { cpu: "10m", memory: "64Mi" };
  const times = { timestamp: new Date().toISOString(), window: "10s" };
  const measured = kind === "PodMetrics" ? { containers: [{ name: "engine", usage }] } : { usage };
  return { apiVersion: "metrics.k8s.io/v1beta1", kind, metadata, ...times, ...measured };
}

/** The kinds that a metrics server has, as a manifest. */
export function usageKinds(): string {
  const kinds = [
    { plural: "pods", kind: "PodMetrics", scope: "Namespaced" },
    { plural: "nodes", kind: "NodeMetrics", scope: "Cluster" },
  ].map(({ plural, kind, scope }) => ({
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: {
      name: `${plural}.metrics.k8s.io`,
      annotations: { "api-approved.kubernetes.io": "unapproved, of a test" },
    },
    spec: {
      group: "metrics.k8s.io",
      scope,
      names: { plural, kind, listKind: `${kind}List` },
      versions: [
        {
          name: "v1beta1",
          served: true,
          storage: true,
          schema: { openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } },
        },
      ],
    },
  }));
  return kinds.map((kind) => dump(kind)).join("---\n");
}
