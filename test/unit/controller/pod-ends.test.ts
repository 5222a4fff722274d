import { expect, test } from "vitest";
import { podEndOf } from "../../../src/controller/pod-ends.ts";
import type { KubeObject, Stored } from "../../../src/kube/object.ts";
import { WATCHED } from "../../../src/observe/kinds.ts";

const pods = WATCHED.find(({ name }) => name === "pods");

function pod(status: object): Stored<KubeObject> {
  const labels = { "quorate.io/cluster": "orders", "quorate.io/member": "orders-0" };
  const metadata = { name: "orders-0-0", namespace: "shop", uid: "u", resourceVersion: "1", labels };
  const object = { apiVersion: "v1", kind: "Pod", metadata, spec: {}, status };
  const projected = pods?.project(object);
  if (projected === undefined) throw new Error("pods are watched");
  return projected;
}

const container = (state: object, lastState: object = {}) => ({ containerStatuses: [{ state, lastState }] });
const running = container({ running: {} });
const killed = (at: string) => ({ terminated: { reason: "OOMKilled", exitCode: 137, finishedAt: at } });

function endOf(before: object, after: object) {
  return podEndOf({ kind: "Pod", change: { type: "Updated", previous: pod(before), object: pod(after) } });
}

test("memory that ran out is counted when the container ends, and not again when it is back", () => {
  const dead = container(killed("2030-01-01T00:00:00Z"));
  const back = container({ running: {} }, killed("2030-01-01T00:00:00Z"));
  expect(endOf(running, dead)).toEqual({ key: "shop/orders", reason: "OOMKilled" });
  expect(endOf(dead, back)).toBeUndefined();
  expect(endOf(running, back)).toEqual({ key: "shop/orders", reason: "OOMKilled" });
  expect(endOf(back, container(killed("2030-01-01T00:05:00Z")))).toBeDefined();
});

test("an eviction is counted once", () => {
  const evicted = { phase: "Failed", reason: "Evicted" };
  expect(endOf(running, evicted)).toEqual({ key: "shop/orders", reason: "Evicted" });
  expect(endOf(evicted, evicted)).toBeUndefined();
});

test("an end of another kind, or one from before the operator looked, is none of these", () => {
  expect(endOf(running, container({ terminated: { reason: "Error", exitCode: 1 } }))).toBeUndefined();
  const object = pod(container(killed("2030-01-01T00:00:00Z")));
  expect(podEndOf({ kind: "Pod", change: { type: "Added", object } })).toBeUndefined();
});
