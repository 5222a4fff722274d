// Rules of clusters with objectives, on an API server that has the Prometheus Operator's kinds.
import { mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, test, vi } from "vitest";
import { commandsOf, Terminal } from "../../hack/scenario/runbook.ts";
import { binary, monitoringKinds } from "./harness.ts";
import { NAMESPACE, ref, runningCluster } from "./operator-world.ts";
import {
  admin,
  type Any,
  clusterRef,
  createCluster,
  plane,
  read,
  startOperator,
  withoutOperator,
} from "./operator-world.ts";

const RULES = "monitoring.coreos.com/v1";
const WAIT = { timeout: 40_000, interval: 250 };

interface Rules extends Any {
  readonly spec: {
    readonly groups: readonly { readonly name: string; readonly rules: readonly { readonly expr: string }[] }[];
  };
}

beforeAll(async () => {
  await plane.kubectl("apply", "--server-side", "-f", monitoringKinds());
  await plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s");
});

const rulesOf = (cluster: string) => admin.get<Rules>(ref(RULES, "PrometheusRule", `${cluster}-objectives`));
const slo = (availabilityPercent: string) => ({ slo: { dataPlane: { availabilityPercent } } });
const thresholds = (rules: Rules | undefined) =>
  (rules?.spec.groups ?? []).flatMap((group) => group.rules.map(({ expr }) => expr)).join(" ");

test("they come with the objectives, follow them, and go when they go", { timeout: 180_000 }, async () => {
  const created = await createCluster("orders", slo("99.9"));
  await createCluster("carts");
  const first = await vi.waitFor(async () => {
    const found = await rulesOf("orders");
    expect(found).toBeDefined();
    return found;
  }, WAIT);
  expect(first?.metadata.ownerReferences).toEqual([
    expect.objectContaining({ kind: "ClusterSpec", name: "orders", uid: created.metadata.uid, controller: true }),
  ]);
  expect(thresholds(first)).toContain("> 0.0144");
  expect(await rulesOf("carts")).toBeUndefined();

  await admin.mergePatch(clusterRef("orders"), { spec: slo("99") });
  await vi.waitFor(async () => expect(thresholds(await rulesOf("orders"))).toContain("> 0.144"), WAIT);

  // What somebody changed meanwhile is put right by whoever looks next.
  await withoutOperator();
  await admin.mergePatch(ref(RULES, "PrometheusRule", "orders-objectives"), { spec: { groups: [] } });
  await startOperator();
  await vi.waitFor(async () => expect(thresholds(await rulesOf("orders"))).toContain("> 0.144"), WAIT);

  await admin.mergePatch(clusterRef("orders"), { spec: { slo: null } });
  await vi.waitFor(async () => expect(await rulesOf("orders")).toBeUndefined(), WAIT);
  expect((await read("quorate.io/v1alpha1", "ClusterSpec", "orders")).metadata.uid).toBe(created.metadata.uid);
});

test("QuorateMembersUnseen and QuorateBudgetUnknown: there is no PodMonitor for members; it is applied, and chooses them", {
  timeout: 120_000,
}, async () => {
  await runningCluster("unseen", slo("99.9"));
  const folder = await mkdtemp(join(plane.folder, "terminal-"));
  const terminal = await Terminal.open(folder, binary("kubectl"), plane.kubeconfig);
  const look = async () => {
    const lines = await Promise.all(
      ["QuorateMembersUnseen", "QuorateBudgetUnknown"].map((name) => commandsOf(name, NAMESPACE, "unseen")),
    );
    return (await Promise.all([...new Set(lines.flat())].map((line) => terminal.paste(line)))).join("\n");
  };
  expect(await look()).not.toContain("quorate-members");
  await plane.kubectl("apply", "--server-side", "-k", join(import.meta.dirname, "../../deploy/observability"));
  expect(await look()).toContain("quorate-members");
  const chosen = await terminal.paste(
    "kubectl get pods -A -l app.kubernetes.io/managed-by=quorate,quorate.io/cluster -o name",
  );
  expect(chosen.split("\n").filter((pod) => pod.includes("unseen"))).toHaveLength(3);
});
