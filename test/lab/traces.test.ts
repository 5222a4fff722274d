/** One trace over operator, agents and engines that run where they belong, by way of a real OpenTelemetry Collector on the host. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { patchSpec } from "../../hack/scenario/change.ts";
import { type Collector, startCollector } from "../../hack/scenario/collector.ts";
import { applyExample, removeNamespace } from "../../hack/scenario/example.ts";
import { installOperator } from "../../hack/scenario/install.ts";
import { kubectl, lab, LAB_HOST } from "../../hack/scenario/lab.ts";
import { setOperator } from "../../hack/scenario/prometheus.ts";
import { until } from "../../hack/scenario/shell.ts";
import { readCluster } from "../../hack/scenario/subject.ts";

const NAMESPACE = "traces";
const CLUSTER = "traced";

let collector: Collector;

/** Waits until the change of this generation has been carried out. */
async function untilSettled(): Promise<void> {
  await until("three members at the revision of the spec", 300_000, async () => {
    const { metadata, status } = (await readCluster(NAMESPACE, CLUSTER)) ?? {};
    const isSeen = metadata?.generation !== undefined && status?.observedGeneration === metadata.generation;
    const reconciling = status?.conditions?.find(({ type }) => type === "Reconciling")?.status;
    return isSeen && reconciling !== "True" && status.readyMembers === 3 ? true : undefined;
  });
}

async function traceIdOfIntent(): Promise<string> {
  const path = "jsonpath={.metadata.annotations.quorate\\.io/traceparent}";
  const traceparent = await kubectl("-n", NAMESPACE, "get", "configmap", `${CLUSTER}-intent`, "-o", path);
  return traceparent.split("-")[1] ?? "";
}

beforeAll(async () => {
  collector = await startCollector(LAB_HOST);
  await lab("up");
  await installOperator();
  await setOperator(`QUORATE_TRACES_URL=${collector.url}`);
  await applyExample({ namespace: NAMESPACE, cluster: CLUSTER, members: 3 });
  await untilSettled();
}, 1_800_000);

afterAll(async () => {
  await removeNamespace(NAMESPACE);
  await setOperator("QUORATE_TRACES_URL-");
  await collector?.stop();
});

test("a roll is one trace, from the change to what each engine was told", { timeout: 900_000 }, async () => {
  await patchSpec(NAMESPACE, CLUSTER, { pods: { annotations: { "example.com/rolled": "once" } } });
  await until("the operator to take the change up", 60_000, async () => {
    const { metadata, status } = (await readCluster(NAMESPACE, CLUSTER)) ?? {};
    return metadata?.generation === status?.observedGeneration ? true : undefined;
  });
  await untilSettled();
  const traceId = await traceIdOfIntent();
  const ofChange = () => collector.inbox.spans.filter((span) => span.traceId === traceId);
  await until("a leader that was promoted", 30_000, () =>
    Promise.resolve(ofChange().find(({ name }) => name === "engine promote")),
  );
  const spans = ofChange();
  const root = spans.filter(({ parentSpanId }) => parentSpanId === "");
  expect(root.map(({ name }) => name)).toEqual(["ClusterSpec changed"]);
  const members = new Set(spans.flatMap(({ resource }) => resource.get("member") ?? []));
  expect([...members].toSorted()).toEqual([`${CLUSTER}-0`, `${CLUSTER}-1`, `${CLUSTER}-2`]);
  const names = spans.map(({ name }) => name);
  expect(names).toEqual(
    expect.arrayContaining(["reconcile", "Apply StatefulSet", "apply statefulsets", "StartEngine"]),
  );
  // Every span hangs below one that arrived.
  const known = new Set(spans.map(({ spanId }) => spanId));
  expect(spans.filter(({ parentSpanId }) => parentSpanId !== "" && !known.has(parentSpanId))).toEqual([]);
});
