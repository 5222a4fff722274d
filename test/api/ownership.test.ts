// Ten minutes of kubectl, Helm and a GitOps controller, each of which applies its own ClusterSpec again and again while the operator
// works: in the end no object is of another version than in the beginning.
import { execFile } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { minimalCluster } from "./crd-cases.ts";
import { binary } from "./harness.ts";
import { admin, atRest, clusterRef, eventually, NAMESPACE, plane, read, runMember, writes } from "./operator-world.ts";

const run = promisify(execFile);
const DURATION_MS = 600_000;
/** GitOps controllers look every few minutes: this is the same, sooner. */
const EVERY_MS = 2_000;
const SPEC = { resources: { requests: { memory: "1Gi" } }, parameters: { work_mem: "8MB" }, members: 3 };

/** Who applies, by the name of what they apply. */
const TOOLS: Readonly<Record<string, (file: string) => Promise<unknown>>> = {
  "by-kubectl": (file) => plane.kubectl("apply", "-f", file),
  "by-kubectl-server-side": (file) => plane.kubectl("apply", "--server-side", "-f", file),
  "by-gitops": (file) =>
    plane.kubectl("apply", "--server-side", "--force-conflicts", "--field-manager=gitops", "-f", file),
  "by-helm": async (file) => {
    const args = ["--kubeconfig", plane.kubeconfig, "--namespace", NAMESPACE, "--history-max", "2"];
    await run(binary("helm"), ["upgrade", "--install", "owned", join(file, "../chart"), ...args]);
  },
};

/** Writes what a tool applies. @returns its file. */
async function prepare(name: string): Promise<string> {
  const folder = join(plane.folder, name);
  await mkdir(join(folder, "chart/templates"), { recursive: true });
  const text = JSON.stringify(minimalCluster(SPEC, name));
  await writeFile(join(folder, "cluster.json"), text);
  await writeFile(join(folder, "chart/Chart.yaml"), "apiVersion: v2\nname: owned\nversion: 0.1.0\n");
  await writeFile(join(folder, "chart/templates/cluster.yaml"), text);
  return join(folder, "cluster.json");
}

async function versionOf(name: string): Promise<string | undefined> {
  return (await admin.get(clusterRef(name)))?.metadata.resourceVersion;
}

test("nobody takes a field from anybody", { timeout: DURATION_MS + 120_000 }, async () => {
  const files = new Map<string, string>();
  for (const [name, apply] of Object.entries(TOOLS)) {
    const file = await prepare(name);
    files.set(name, file);
    await apply(file);
    await eventually(() => read("apps/v1", "StatefulSet", `${name}-2`)); // the last child of a new cluster
    for (const ordinal of [0, 1, 2]) await runMember(`${name}-${ordinal}`, ordinal === 0 ? { role: "leader" } : {});
  }
  await pause(6_000); // news that are not urgent are written after five seconds
  await atRest();
  const before = await Promise.all([...files.keys()].map(versionOf));
  const written = writes().length;

  const endMs = performance.now() + DURATION_MS;
  const rounds = await Promise.all(
    [...files].map(async ([name, file]) => {
      let count = 0;
      for (; performance.now() < endMs; count += 1) {
        await TOOLS[name]?.(file);
        await pause(EVERY_MS);
      }
      return count;
    }),
  );
  expect(Math.min(...rounds)).toBeGreaterThan(DURATION_MS / EVERY_MS / 10);
  expect(await Promise.all([...files.keys()].map(versionOf))).toEqual(before);
  expect(writes().slice(written)).toEqual([]);
  process.stdout.write(`  applied ${rounds.join(", ")} times\n`);
});
