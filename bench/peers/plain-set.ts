/** What a peer consists of: a StatefulSet as people write it who have no operator, and what Kubernetes alone can do with it. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { load } from "js-yaml";
import { apply, kubectl } from "../../hack/scenario/lab.ts";
import type { PodsOf } from "../../hack/scenario/pod-addresses.ts";
import { until } from "../../hack/scenario/shell.ts";
import { type LeaderPod, podsBySelector } from "../../hack/scenario/subject.ts";
import { Engine } from "../../src/api/engine.ts";

/** Of the account `app`, and of whatever else a peer has: nobody but the benchmark reaches it. */
export const PASSWORD = "bench-password";

/** One container of each pod; it finds `/data`, which is kept, and the files under `/files`. */
export interface PlainContainer {
  readonly name: string;
  readonly command: readonly string[];
  readonly resources: object;
  readonly readinessProbe?: object;
}

/** What differs from one peer to the next. */
export interface PlainSetOptions {
  readonly namespace: string;
  /** Of StatefulSet, Service and pods. */
  readonly name: string;
  readonly image: string;
  readonly replicas: number;
  readonly port: number;
  readonly containers: readonly PlainContainer[];
  /** Scripts, by name. */
  readonly files: Readonly<Record<string, string>>;
}

/** Parameters that the Engine of that name sets where the user sets none: peers get the same. */
export async function engineDefaults(name: string): Promise<Readonly<Record<string, string>>> {
  const text = await readFile(join(import.meta.dirname, "../../engines", `${name}.yaml`), "utf8");
  return Engine.parse(load(text)).spec.parameters.defaults;
}

/** A StatefulSet with a volume for each pod and names for all of them, spread over the nodes. */
export class PlainSet {
  readonly #options: PlainSetOptions;
  #replicas: number;

  constructor(options: PlainSetOptions) {
    this.#options = options;
    this.#replicas = options.replicas;
  }

  /** How many pods there shall be. */
  get replicas(): number {
    return this.#replicas;
  }

  get pods(): PodsOf {
    const { namespace, name, port } = this.#options;
    return { namespace, selector: `app=${name}`, port };
  }

  /** Applies the manifests and waits until all pods are Ready. */
  async create(): Promise<void> {
    const { namespace, name, port, files } = this.#options;
    await kubectl("create", "namespace", namespace).catch(() => undefined);
    const items = [
      {
        apiVersion: "v1",
        kind: "Service",
        metadata: { name, namespace },
        spec: { clusterIP: "None", publishNotReadyAddresses: true, selector: { app: name }, ports: [{ port }] },
      },
      { apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace }, data: files },
      this.#statefulSet(),
    ];
    await apply(JSON.stringify({ apiVersion: "v1", kind: "List", items }));
    await this.untilReady(180_000);
  }

  async remove(): Promise<void> {
    await kubectl("delete", "namespace", this.#options.namespace, "--ignore-not-found", "--timeout=180s");
  }

  /** Waits until all pods are of the newest revision and Ready. */
  async untilReady(timeoutMs: number): Promise<void> {
    const { namespace, name } = this.#options;
    await until(`${name} to be ready`, timeoutMs, async () => {
      const json = await kubectl("-n", namespace, "get", "statefulset", name, "-o", "json");
      const { metadata, status } = JSON.parse(json) as {
        readonly metadata: { readonly generation: number };
        readonly status: Partial<
          Record<"observedGeneration" | "replicas" | "readyReplicas" | "updatedReplicas", number>
        >;
      };
      const counts = [status.replicas, status.readyReplicas, status.updatedReplicas];
      const isAll = counts.every((count) => count === this.#replicas);
      return isAll && status.observedGeneration === metadata.generation ? true : undefined;
    });
  }

  /** Replaces one pod after the other, each once the one before is Ready. */
  async roll(): Promise<void> {
    const { namespace, name } = this.#options;
    await kubectl("-n", namespace, "rollout", "restart", `statefulset/${name}`);
    await this.untilReady(300_000);
  }

  async scale(replicas: number): Promise<void> {
    const { namespace, name } = this.#options;
    this.#replicas = replicas;
    await kubectl("-n", namespace, "scale", `statefulset/${name}`, `--replicas=${replicas}`);
    await this.untilReady(300_000);
  }

  /** What a program prints in a pod. */
  exec(pod: string, ...argv: readonly string[]): Promise<string> {
    return kubectl("-n", this.#options.namespace, "exec", pod, "--", ...argv);
  }

  /** The pods with their nodes. */
  list(): Promise<LeaderPod[]> {
    return podsBySelector(this.#options.namespace, this.pods.selector);
  }

  /** The pod of that name. */
  async pod(name: string): Promise<LeaderPod | undefined> {
    return (await this.list()).find(({ pod }) => pod === name);
  }

  /** What the first pod that answers prints. */
  async execAnywhere(...argv: readonly string[]): Promise<string> {
    let last: unknown;
    for (const { pod } of await this.list()) {
      try {
        return await this.exec(pod, ...argv);
      } catch (error) {
        last = error;
      }
    }
    throw last instanceof Error ? last : new Error(`${this.#options.name} has no pod`);
  }

  #statefulSet(): object {
    const { namespace, name, image, containers } = this.#options;
    const labels = { app: name };
    return {
      apiVersion: "apps/v1",
      kind: "StatefulSet",
      metadata: { name, namespace },
      spec: {
        replicas: this.#replicas,
        podManagementPolicy: "Parallel",
        serviceName: name,
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: {
            automountServiceAccountToken: false,
            securityContext: { runAsUser: 999, runAsGroup: 999, fsGroup: 999, fsGroupChangePolicy: "OnRootMismatch" },
            topologySpreadConstraints: [
              {
                maxSkew: 1,
                topologyKey: "kubernetes.io/hostname",
                whenUnsatisfiable: "ScheduleAnyway",
                labelSelector: { matchLabels: labels },
              },
            ],
            containers: containers.map((container) => ({
              ...container,
              image,
              imagePullPolicy: "IfNotPresent",
              volumeMounts: [
                { name: "data", mountPath: "/data" },
                { name: "files", mountPath: "/files" },
              ],
            })),
            volumes: [{ name: "files", configMap: { name, defaultMode: 0o755 } }],
          },
        },
        volumeClaimTemplates: [
          {
            metadata: { name: "data" },
            spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "2Gi" } } },
          },
        ],
      },
    };
  }
}
