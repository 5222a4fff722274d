import { expect, test } from "vitest";
import { epochOf, RouteWriter, type SliceObject } from "../../../src/agent/cluster/routes.ts";
import { ANNOTATION_EPOCH } from "../../../src/api/names.ts";
import type { KubeApi } from "../../../src/kube/api.ts";
import { ApiStatusError, fromApiError } from "../../../src/kube/api-error.ts";
import type { Stored } from "../../../src/kube/object.ts";

const SELF = { pod: "orders-0-0", podUid: "u", address: "10.0.0.1", node: "n1" };

/** One slice behind the requests that routes need, with the API server's rule for an outdated resourceVersion. */
class SliceServer {
  readonly requests: string[] = [];
  slice: Stored<SliceObject>;
  #version = 1;

  constructor(epoch: number) {
    this.slice = {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: {
        name: "orders-rw",
        namespace: "shop",
        uid: "s",
        resourceVersion: "1",
        annotations: { [ANNOTATION_EPOCH]: String(epoch) },
      },
      addressType: "IPv4",
      endpoints: [],
    };
  }

  get writer(): RouteWriter {
    return this.writerOf();
  }

  writerOf(tlsPort?: number): RouteWriter {
    const api = {
      get: () => {
        this.requests.push("GET");
        return Promise.resolve(this.slice);
      },
      update: (next: Stored<SliceObject>) => {
        this.requests.push("PUT");
        if (next.metadata.resourceVersion !== this.slice.metadata.resourceVersion) {
          const conflict = new ApiStatusError(409, {
            kind: "Status",
            reason: "Conflict",
            message: "the object has been modified",
          });
          return Promise.reject(fromApiError(conflict, "EndpointSlice shop/orders-rw", true));
        }
        this.touch(next);
        return Promise.resolve(this.slice);
      },
    };
    return new RouteWriter(api as unknown as KubeApi, "shop", "orders-rw", tlsPort);
  }

  /** Stores a new version. */
  touch(next: Stored<SliceObject> = this.slice): void {
    const resourceVersion = String(++this.#version);
    this.slice = { ...next, metadata: { ...next.metadata, resourceVersion } };
  }
}

test("what was read ahead saves the first write its read, and no later one", async () => {
  const server = new SliceServer(4);
  const { writer } = server;
  await writer.prepare(5);
  expect(await writer.write([SELF], 5, () => true)).toBe("written");
  expect(server.requests).toEqual(["GET", "PUT"]);
  expect(epochOf(server.slice)).toBe(5);
  expect(await writer.write([], 5, () => true)).toBe("written");
  expect(server.requests).toEqual(["GET", "PUT", "GET", "PUT"]);
});

test("what changed since it was read ahead is read again", async () => {
  const server = new SliceServer(4);
  const { writer } = server;
  await writer.prepare(5);
  server.touch();
  expect(await writer.write([SELF], 5, () => true)).toBe("written");
  expect(server.requests).toEqual(["GET", "PUT", "GET", "PUT"]);
});

test("a leader that was overtaken after it had read ahead does not write", async () => {
  const server = new SliceServer(4);
  const { writer } = server;
  await writer.prepare(5);
  server.touch({ ...server.slice, metadata: { ...server.slice.metadata, annotations: { [ANNOTATION_EPOCH]: "6" } } });
  expect(await writer.write([SELF], 5, () => true)).toBe("outranked");
  expect(epochOf(server.slice)).toBe(6);
});

test("what was read ahead for another epoch is not used", async () => {
  const server = new SliceServer(4);
  const { writer } = server;
  await writer.prepare(5);
  expect(await writer.write([SELF], 7, () => true)).toBe("written");
  expect(server.requests).toEqual(["GET", "GET", "PUT"]);
});

test("a slice that lacks the port of clients with TLS gets it, once, and keeps its others", async () => {
  const server = new SliceServer(3);
  const plain = { name: "client", port: 6379, protocol: "TCP" };
  server.touch({ ...server.slice, ports: [plain] });
  expect(await server.writerOf(6380).write([SELF], 4, () => true)).toBe("written");
  expect(server.slice.ports).toEqual([plain, { name: "client-tls", port: 6380, protocol: "TCP" }]);
  expect(await server.writerOf(6380).write([SELF], 4, () => true)).toBe("unchanged");
  expect(await server.writerOf().write([SELF], 4, () => true)).toBe("unchanged");
});
