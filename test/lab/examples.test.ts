/** Every example applies as it stands and becomes ready on a real cluster. Those of postgres are what all other tests run. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { load } from "js-yaml";
import { afterEach, beforeAll, expect, test } from "vitest";
import { removeNamespace } from "../../hack/scenario/example.ts";
import { installOperator } from "../../hack/scenario/install.ts";
import { apply, kubectl, lab } from "../../hack/scenario/lab.ts";
import { until } from "../../hack/scenario/shell.ts";
import { readCluster } from "../../hack/scenario/subject.ts";
import type { ClusterSpec } from "../../src/api/cluster-spec.ts";

const EXAMPLES = join(import.meta.dirname, "../../examples");
const NAMESPACE = "demo"; // as the examples say
const folders = (await readdir(EXAMPLES, { withFileTypes: true })).flatMap((entry) =>
  entry.isDirectory() && entry.name !== "gitops" ? [entry.name] : [],
);

beforeAll(async () => {
  await lab("up");
  await installOperator();
  await removeNamespace(NAMESPACE);
});

afterEach(() => removeNamespace(NAMESPACE));

test.each(folders)("%s", async (folder) => {
  await kubectl("create", "namespace", NAMESPACE);
  const files = await readdir(join(EXAMPLES, folder));
  if (files.includes("engine.yaml")) await apply(await readFile(join(EXAMPLES, folder, "engine.yaml"), "utf8"));
  const text = await readFile(join(EXAMPLES, folder, "cluster.yaml"), "utf8");
  await apply(text);
  const { metadata, spec } = load(text) as ClusterSpec;
  const ready = await until(`${metadata.name} to be ready`, 300_000, async () => {
    const status = (await readCluster(NAMESPACE, metadata.name))?.status;
    const condition = status?.conditions?.find(({ type }) => type === "Ready");
    return condition?.status === "True" ? status : undefined;
  });
  expect(ready.readyMembers).toBe(spec.members);
});
