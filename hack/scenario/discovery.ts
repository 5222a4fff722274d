/**
 * Tells a Prometheus of pods and nodes by HTTP, in the words of its own Kubernetes discovery, which Debian builds it without. What is
 * chosen of them, and how it is named, is left to Prometheus.
 */
import { createServer } from "node:http";
import { listen } from "../../src/listener.ts";
import { kubectl } from "./lab.ts";
import { labelOf } from "./pod-monitor.ts";

const KUBELET_PORT = 10250;

/** Targets that have the same labels. */
interface TargetGroup {
  readonly targets: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}

interface PodObject {
  readonly metadata: {
    readonly namespace: string;
    readonly name: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly spec: {
    readonly nodeName?: string;
    readonly containers: readonly {
      readonly name: string;
      readonly ports?: readonly { readonly name?: string; readonly containerPort: number }[];
    }[];
  };
  readonly status: { readonly phase?: string; readonly podIP?: string };
}

interface NodeObject {
  readonly metadata: { readonly name: string };
  readonly status: { readonly addresses?: readonly { readonly type: string; readonly address: string }[] };
}

/** Discovery that is there to be asked. */
export interface Discovery {
  /** Below it `pods` and `nodes`. */
  readonly url: string;
  close(): Promise<void>;
}

/** Starts it on loopback. */
export async function startDiscovery(): Promise<Discovery> {
  const server = createServer((request, response) => {
    targetsOf(request.url ?? "").then(
      (groups) => response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(groups)),
      (error: Error) => response.writeHead(500).end(error.message), // Prometheus goes on with what it knew
    );
  });
  const listener = await listen(server, 0, "127.0.0.1");
  return { url: `http://127.0.0.1:${listener.port}`, close: () => listener.close() };
}

async function targetsOf(path: string): Promise<readonly TargetGroup[]> {
  if (path === "/nodes") return (await list<NodeObject>("nodes")).flatMap(nodeTargets);
  return (await list<PodObject>("pods")).flatMap(podTargets);
}

async function list<T>(resource: string): Promise<readonly T[]> {
  const text = await kubectl("get", resource, "--all-namespaces", "--request-timeout=20s", "-o", "json");
  return (JSON.parse(text) as { readonly items: readonly T[] }).items;
}

/** One for each port that a container declares. */
function podTargets({ metadata, spec, status }: PodObject): readonly TargetGroup[] {
  const { podIP } = status;
  if (podIP === undefined) return [];
  const labels = Object.entries(metadata.labels ?? {}).flatMap(([key, value]) => [
    [`__meta_kubernetes_pod_label_${labelOf(key)}`, value],
    [`__meta_kubernetes_pod_labelpresent_${labelOf(key)}`, "true"],
  ]);
  const ofPod = {
    ...(Object.fromEntries(labels) as Readonly<Record<string, string>>),
    __meta_kubernetes_namespace: metadata.namespace,
    __meta_kubernetes_pod_name: metadata.name,
    __meta_kubernetes_pod_node_name: spec.nodeName ?? "",
    __meta_kubernetes_pod_phase: status.phase ?? "",
  };
  return spec.containers.flatMap(({ name, ports = [] }) =>
    ports.map((port) => ({
      targets: [`${podIP}:${port.containerPort}`],
      labels: {
        ...ofPod,
        __meta_kubernetes_pod_container_name: name,
        __meta_kubernetes_pod_container_port_name: port.name ?? "",
      },
    })),
  );
}

function nodeTargets({ metadata, status }: NodeObject): readonly TargetGroup[] {
  const address = status.addresses?.find(({ type }) => type === "InternalIP")?.address;
  return address === undefined ? [] : [{ targets: [`${address}:${KUBELET_PORT}`], labels: { node: metadata.name } }];
}
