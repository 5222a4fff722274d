// The operator's ClusterRole as text: what no API server would refuse, and no reviewer should miss.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { load } from "js-yaml";
import { beforeAll, expect, test } from "vitest";
import { WATCHED } from "../../../src/observe/kinds.ts";

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

let rules: readonly Rule[];

beforeAll(async () => {
  const file = join(import.meta.dirname, "../../../deploy/rbac/clusterrole.yaml");
  ({ rules } = load(await readFile(file, "utf8")) as { rules: readonly Rule[] });
});

function verbsOn(resource: string): string[] {
  return rules.filter(({ resources }) => resources.includes(resource)).flatMap(({ verbs }) => verbs);
}

test("everything that is watched may be watched", () => {
  for (const { name } of WATCHED) expect(verbsOn(name)).toEqual(expect.arrayContaining(["list", "watch"]));
});

test("nothing is granted by a wildcard", () => {
  expect(rules.flatMap(({ apiGroups, resources, verbs }) => [...apiGroups, ...resources, ...verbs])).not.toContain("*");
});

test("rights are neither escalated nor bound nor borrowed", () => {
  const verbs = rules.flatMap((rule) => rule.verbs);
  for (const verb of ["escalate", "bind", "impersonate", "deletecollection"]) expect(verbs).not.toContain(verb);
});

test("Secrets are read by name only", () => {
  expect(verbsOn("secrets")).toEqual(["create", "delete", "get", "patch"]);
});

test("nobody's containers are entered, and no token is made", () => {
  const resources = rules.flatMap((rule) => rule.resources);
  for (const resource of ["pods/exec", "pods/attach", "pods/portforward", "serviceaccounts/token", "nodes/proxy"]) {
    expect(resources).not.toContain(resource);
  }
});

test("what users wrote is not changed", () => {
  expect(verbsOn("engines")).toEqual(["get", "list", "watch"]);
  expect(verbsOn("clusteroperations")).toEqual(["list", "watch"]);
  // Those of shards are made by the operator.
  expect(verbsOn("clusterspecs")).toEqual(["create", "delete", "get", "list", "patch", "watch"]);
});

test("each resource has one rule, with verbs in order, so that nothing hides", () => {
  const resources = rules.flatMap((rule) => rule.resources);
  expect(resources).toEqual([...new Set(resources)]);
  for (const rule of rules) {
    expect(rule.verbs).toEqual(rule.verbs.toSorted());
    expect(rule.resources).toEqual(rule.resources.toSorted());
  }
});
