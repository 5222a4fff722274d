// The part of a kubelet that the API server asks for logs, without nodes or containers.
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import type { KubeClient } from "../../src/kube/client.ts";
import type { KubeObject } from "../../src/kube/object.ts";
import type { ControlPlane } from "./harness.ts";

interface NodeObject extends KubeObject {
  readonly status: object;
}

/** A Node whose kubelet answers with `logs`, by the names of pods, or by pod/container where that is not the engine's. Close it at the end. */
export async function startKubelet(
  plane: ControlPlane,
  api: KubeClient,
  node: string,
  logs: ReadonlyMap<string, string>,
): Promise<Server> {
  const [key, cert] = await Promise.all([plane.pem("server.key"), plane.pem("server.crt")]);
  const server = createServer({ key, cert }, (request, response) => {
    const [, verb, , pod = "", container] = new URL(request.url ?? "/", "https://kubelet").pathname.split("/");
    const of = container === "engine" ? pod : `${pod}/${container}`;
    const text = verb === "containerLogs" ? logs.get(of) : undefined;
    response.writeHead(text === undefined ? 404 : 200).end(text ?? "no such container");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  await api.create<KubeObject>({ apiVersion: "v1", kind: "Node", metadata: { name: node } });
  const { port } = server.address() as AddressInfo;
  const status = {
    addresses: [{ type: "InternalIP", address: "127.0.0.1" }],
    daemonEndpoints: { kubeletEndpoint: { Port: port } },
    conditions: [{ type: "Ready", status: "True" }],
  };
  await api.mergePatch<NodeObject>(
    { apiVersion: "v1", kind: "Node", name: node },
    { status },
    { subresource: "status" },
  );
  return server;
}
