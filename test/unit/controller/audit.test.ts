import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { auditOf } from "../../../src/controller/audit.ts";
import type { KubeObject, Stored } from "../../../src/kube/object.ts";
import { WATCHED } from "../../../src/observe/kinds.ts";
import type { AnyChange } from "../../../src/observe/stores.ts";

const SINCE_MS = Date.parse("2030-01-01T00:00:00Z");

/** An object as the operator keeps it. */
function kept(kind: string, metadata: object = {}, spec: object = {}): Stored<KubeObject> {
  const watched = WATCHED.find(({ selection }) => selection.kind === kind);
  if (watched === undefined) throw new Error(`${kind} is watched`);
  const { apiVersion } = watched.selection;
  const named = { name: "orders", namespace: "shop", uid: "u", resourceVersion: "1", generation: 1 };
  const times = { creationTimestamp: "2030-01-01T00:00:05Z" };
  const managedFields = [{ manager: "kubectl-edit", time: "2030-01-01T00:00:05Z" }];
  const object = { apiVersion, kind, metadata: { ...named, ...times, managedFields, ...metadata }, spec };
  return watched.project(object);
}

const audit = (kind: string, change: AnyChange["change"]) => auditOf({ kind, change }, SINCE_MS);
const updated = (before: object, after: object, kind = "ClusterSpec") =>
  audit(kind, { type: "Updated", previous: kept(kind, before), object: kept(kind, after) });

const ABOUT = { kind: "ClusterSpec", name: "orders", namespace: "shop", cluster: "orders" };

test("a ClusterSpec that is created, and one that was there before the operator led", () => {
  const added = (creationTimestamp: string) =>
    audit("ClusterSpec", { type: "Added", object: kept("ClusterSpec", { creationTimestamp }) });
  expect(added("2030-01-01T00:00:05Z")).toEqual({
    audit: "created",
    ...ABOUT,
    generation: 1,
    manager: "kubectl-edit",
  });
  expect(added("2029-12-31T00:00:00Z")).toBeUndefined();
});

test("a spec that is changed, and by which program", () => {
  const managedFields = [
    { manager: "kubectl-edit", time: "2030-01-01T00:00:05Z" },
    { manager: "argocd-controller", time: "2030-01-01T00:01:00Z" },
    { manager: "quorate-status", time: "2030-01-01T00:02:00Z", subresource: "status" },
  ];
  expect(updated({}, { generation: 2, managedFields })).toEqual({
    audit: "changed",
    ...ABOUT,
    generation: 2,
    manager: "argocd-controller",
  });
});

test("an annotation that lets something pass, without its value", () => {
  const annotations = { "quorate.io/urgent-until": "2030-01-01T01:00:00Z", "example.com/other": "x" };
  const line = updated({ annotations: { "example.com/other": "y" } }, { annotations });
  expect(line).toMatchObject({ audit: "annotated", annotations: ["quorate.io/urgent-until"] });
  expect(JSON.stringify(line)).not.toContain("01:00:00Z");
  expect(updated({ annotations }, {})).toMatchObject({ annotations: ["quorate.io/urgent-until"] });
});

test("an operation names its cluster, and the person who asked for it", () => {
  const annotations = { "quorate.io/requested-by": "ada@example.com" };
  const object = kept("ClusterOperation", { name: "move", annotations }, { clusterName: "orders" });
  expect(audit("ClusterOperation", { type: "Added", object })).toMatchObject({
    audit: "created",
    cluster: "orders",
    requestedBy: "ada@example.com",
  });
});

test("a deletion", () => {
  const object = kept("ClusterSpec");
  expect(audit("ClusterSpec", { type: "Deleted", object, missed: false })).toEqual({
    audit: "deleted",
    ...ABOUT,
    generation: 1,
  });
});

describe("nobody asked for anything", () => {
  test("when a status was written", () => {
    expect(updated({ resourceVersion: "1" }, { resourceVersion: "2" })).toBeUndefined();
  });

  test("when a pod changed", () => {
    const pod = { apiVersion: "v1", kind: "Pod", metadata: { name: "a", uid: "u", resourceVersion: "1" } };
    expect(audit("Pod", { type: "Added", object: pod })).toBeUndefined();
  });
});

test("docs/logs.md explains every field, and its example is such a line", async () => {
  const text = await readFile(join(import.meta.dirname, "../../../docs/logs.md"), "utf8");
  const annotations = { "quorate.io/requested-by": "ada@example.com" };
  const fields = new Set(
    [updated({}, { generation: 2, annotations }), updated({}, { annotations })].flatMap((line) =>
      Object.keys(line ?? {}),
    ),
  );
  const table = (text.match(/^\| `.*$/gm) ?? []).map((row) => row.split("|")[1] ?? "").join();
  expect(new Set([...table.matchAll(/`(\w+)`/g)].map(([, field]) => field))).toEqual(fields);
  const example = JSON.parse(/^\{.*\}$/m.exec(text)?.[0] ?? "") as object;
  const ofEveryLine = ["level", "time", "program", "version", "message"];
  expect(Object.keys(example).filter((key) => !fields.has(key) && !ofEveryLine.includes(key))).toEqual([]);
});
