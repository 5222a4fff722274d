/** The Helm chart on a real cluster: installed, upgraded, uninstalled and installed again, under a client that counts. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { removeNamespace } from "../../hack/scenario/example.ts";
import { CHART, helm, installOperator, removeOperator } from "../../hack/scenario/install.ts";
import { apply, kubectl, lab } from "../../hack/scenario/lab.ts";
import { until } from "../../hack/scenario/shell.ts";
import { quorateSubject, readCluster } from "../../hack/scenario/subject.ts";
import { WriterRun } from "../../hack/scenario/writer-run.ts";

const ROOT = join(import.meta.dirname, "../..");
const SYSTEM = "quorate-system";
const NAMESPACE = "helmed";
const CLUSTER = "kept";
const SUBJECT = quorateSubject(NAMESPACE, CLUSTER);
/** The lab builds images under this tag. */
const DEV = ["--set", "image.tag=dev,agentImage.tag=dev"];
const WAIT = ["--wait", "--timeout", "5m"];

async function podUids(): Promise<string[]> {
  const path = "jsonpath={range .items[*]}{.metadata.uid}{' '}{end}";
  const text = await kubectl("-n", NAMESPACE, "get", "pods", "-l", `quorate.io/cluster=${CLUSTER}`, "-o", path);
  return text.trim().split(" ").filter(Boolean).toSorted();
}

beforeAll(async () => {
  await lab("up");
  await removeOperator();
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
