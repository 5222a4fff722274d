// A ClusterSpec that tools apply again and again while the operator works: nobody takes a field from anybody, nothing is written anew.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { KubeObject } from "../../src/kube/object.ts";
import { minimalCluster } from "./crd-cases.ts";
import { admin, atRest, clusterRef, eventually, plane, read, runMember } from "./operator-world.ts";

/** How often each tool applies; the operator is made to look at the cluster in between. */
const ROUNDS = 3;

test.each([
  ["kubectl apply", ["apply"]],
  ["server-side apply of kubectl", ["apply", "--server-side"]],
  ["server-side apply as Flux and Argo CD do it", ["apply", "--server-side", "--field-manager=gitops"]],
  [
    "a forced server-side apply as Helm does it",
    ["apply", "--server-side", "--force-conflicts", "--field-manager=helm"],
  ],
])("%s finds nothing to change, and conflicts with nobody", async (what, command) => {
  const name = `kept-${what.length}`;
  const file = join(plane.folder, `${name}.json`);
  const spec = { resources: { requests: { memory: "1Gi" } }, parameters: { work_mem: "8MB" }, members: 3 };
  await writeFile(file, JSON.stringify(minimalCluster(spec, name)));
  await plane.kubectl(...command, "-f", file);
  await eventually(() => read("apps/v1", "StatefulSet", `${name}-2`)); // the last child of a new cluster
  for (const ordinal of [0, 1, 2]) await runMember(`${name}-${ordinal}`, ordinal === 0 ? { role: "leader" } : {});
  await atRest();

  const before = await stored(name);
  for (let round = 0; round < ROUNDS; round++) {
    await plane.kubectl(...command, "-f", file);
    await runMember(`${name}-2`, { lagBucket: round % 2 === 0 ? "<1Mi" : "0" }); // status is written
  }
  await atRest(); // a status written between its two looks would be a difference to kubectl diff
  expect(await plane.kubectl("diff", ...command.slice(1), "-f", file)).toBe("");
  const after = await stored(name);
  expect(after).toEqual(before);
  expect(after.specOwners).toHaveLength(1);
});

interface Owned {
  readonly generation: number;
  readonly managedFields: readonly { readonly manager: string; readonly fieldsV1: object }[];
}

/** What somebody who applies looks at: the spec, how often it changed, and who owns fields of it. */
async function stored(name: string): Promise<{ generation: number; spec: unknown; specOwners: readonly string[] }> {
  const found = await admin.get<KubeObject & { readonly spec?: unknown }>(clusterRef(name));
  if (found === undefined) throw new Error(`ClusterSpec ${name} is gone`);
  const { generation, managedFields } = found.metadata as unknown as Owned;
  const owners = managedFields.filter(({ fieldsV1 }) => "f:spec" in fieldsV1).map(({ manager }) => manager);
  return { generation, spec: found.spec, specOwners: owners };
}
