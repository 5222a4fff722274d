/** The Helm chart on a real cluster: installed, upgraded, uninstalled and installed again, under a client that counts. */
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { removeNamespace } from "../../hack/scenario/example.ts";
import { installOperator } from "../../hack/scenario/install.ts";
import { apply, KUBECONFIG, kubectl, lab } from "../../hack/scenario/lab.ts";
import { run, until } from "../../hack/scenario/shell.ts";
import { quorateSubject, readCluster } from "../../hack/scenario/subject.ts";
import { WriterRun } from "../../hack/scenario/writer-run.ts";

const ROOT = join(import.meta.dirname, "../..");
const CHART = join(ROOT, "charts/quorate");
const SYSTEM = "quorate-system";
const NAMESPACE = "helmed";
const CLUSTER = "kept";
const SUBJECT = quorateSubject(NAMESPACE, CLUSTER);
/** The lab builds images under this tag. */
const DEV = ["--set", "image.tag=dev,agentImage.tag=dev"];
const WAIT = ["--wait", "--timeout", "5m"];

function helm(...args: readonly string[]): Promise<string> {
  const program = join(process.env["QUORATE_CACHE"] ?? join(homedir(), ".cache/quorate"), "bin/helm-v3.22.0");
  return run([program, "--kubeconfig", KUBECONFIG, "--namespace", SYSTEM, ...args], { timeoutMs: 330_000 });
}

/** The operator as kustomize installed it would be in Helm's way; CRDs and clusters stay. */
async function removeOperator(): Promise<void> {
  await helm("uninstall", "quorate", "--ignore-not-found", "--wait");
  for (const overlay of ["operator", "rbac", "flowschema", "admission"]) {
    await kubectl("delete", "--ignore-not-found", "--wait", "-k", join(ROOT, "deploy", overlay));
  }
  await kubectl("delete", "engines", "--all");
}

async function podUids(): Promise<string[]> {
  const path = "jsonpath={range .items[*]}{.metadata.uid}{' '}{end}";
  const text = await kubectl("-n", NAMESPACE, "get", "pods", "-l", `quorate.io/cluster=${CLUSTER}`, "-o", path);
  return text.trim().split(" ").filter(Boolean).toSorted();
}

beforeAll(async () => {
  await lab("up");
  await removeOperator();
  // What `helm show crds | kubectl apply` does, where an earlier version's are there.
  await kubectl("apply", "--server-side", "--force-conflicts", "-f", join(CHART, "crds"));
  await kubectl("create", "namespace", NAMESPACE).catch(() => undefined);
});

afterAll(async () => {
  await removeNamespace(NAMESPACE);
  await removeOperator();
  await installOperator(); // as the other tests expect it
});

test("install, create a cluster, upgrade, uninstall, install again: no pod replaced, nothing lost", async () => {
  expect(await helm("install", "quorate", CHART, "--create-namespace", ...DEV, ...WAIT)).toContain("STATUS: deployed");
  expect(await helm("test", "quorate")).toMatch(/Phase: +Succeeded/);

  const example = await readFile(join(ROOT, "examples/postgres/cluster.yaml"), "utf8");
  await apply(
    example.replace("name: orders", `name: ${CLUSTER}`).replace("namespace: demo", `namespace: ${NAMESPACE}`),
  );
  await SUBJECT.untilHealthy(300_000);
  const pods = await podUids();
  expect(pods).toHaveLength(3);

  const writer = new WriterRun({ ...SUBJECT.writer, name: "writer-helm", seconds: 0 });
  await writer.start();
  await helm("upgrade", "quorate", CHART, ...DEV, "--set", "replicas=2", ...WAIT);
  expect(
    await kubectl("-n", SYSTEM, "get", "deployment/quorate-operator", "-o", "jsonpath={.status.readyReplicas}"),
  ).toBe("2");

  await helm("uninstall", "quorate", "--wait");
  expect(await kubectl("get", "crd/clusterspecs.quorate.io", "-o", "name")).toContain("clusterspecs.quorate.io");
  expect(await podUids()).toEqual(pods);
  const before = writer.lastTick?.acked ?? 0;
  await until("writes without an operator", 30_000, async () =>
    Promise.resolve((writer.lastTick?.acked ?? 0) > before + 20 ? true : undefined),
  );

  await helm("install", "quorate", CHART, ...DEV, ...WAIT);
  await SUBJECT.untilHealthy(120_000);
  const verdict = await writer.finish();
  process.stdout.write(`helm: largest write gap ${verdict.largestGapMs} ms, ${verdict.acked} acknowledged\n`);
  expect({ lost: verdict.lost, unexpected: verdict.unexpected }).toEqual({ lost: 0, unexpected: 0 });
  expect(await podUids()).toEqual(pods);
  expect((await readCluster(NAMESPACE, CLUSTER))?.status?.epoch).toBe(1);
});
