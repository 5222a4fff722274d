/**
 * The agents of a real cluster replaced in place, under a client that counts, by an operator of another version: it runs in this process,
 * beside the lab's own that is told to stand aside.
 */
import { pino } from "pino";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type AgentBundle, NODE_MAJOR } from "../../src/agent-bundle.ts";
import { ANNOTATION_MEMBER_STATUS } from "../../src/api/names.ts";
import { MemberReport } from "../../src/api/agent-wire.ts";
import { Controller } from "../../src/controller/controller.ts";
import { KubeClient } from "../../src/kube/client.ts";
import { kubeconfigConnection } from "../../src/kube/connection.ts";
import { applyExample, removeNamespace } from "../../hack/scenario/example.ts";
import { installOperator } from "../../hack/scenario/install.ts";
import { kubectl, KUBECONFIG, lab, podProcesses } from "../../hack/scenario/lab.ts";
import { until } from "../../hack/scenario/shell.ts";
import { quorateSubject, readCluster } from "../../hack/scenario/subject.ts";
import { WriterRun } from "../../hack/scenario/writer-run.ts";
import { bundleOfProgram, bundleOfVersion } from "../members/bundles.ts";
import { expectNothingLost } from "./oracle.ts";
import { ClusterRegistry } from "../../src/telemetry/cluster-registry.ts";

const NAMESPACE = "agents";
const CLUSTER = "fresh";
const SUBJECT = quorateSubject(NAMESPACE, CLUSTER);
const PODS = [0, 1, 2].map((ordinal) => `${CLUSTER}-${ordinal}-0`);

beforeAll(async () => {
  await lab("up");
  await installOperator();
  await applyExample({ namespace: NAMESPACE, cluster: CLUSTER });
  await SUBJECT.untilHealthy(300_000);
  const inPlace = { spec: { update: { agents: "InPlace" } } };
  await kubectl("-n", NAMESPACE, "patch", "qcs", CLUSTER, "--type=merge", "-p", JSON.stringify(inPlace));
});

afterAll(async () => {
  await scaleOperator(1);
  await removeNamespace(NAMESPACE);
});

async function scaleOperator(replicas: number): Promise<void> {
  const deployment = ["-n", "quorate-system", "deployment/quorate-operator"];
  await kubectl("scale", ...deployment, `--replicas=${replicas}`);
  await kubectl("rollout", "status", ...deployment, "--timeout=120s");
  const pods = ["-n", "quorate-system", "-l", "app.kubernetes.io/component=operator"];
  // Two operators would take each other's offers back.
  if (replicas === 0) await kubectl("wait", "pods", "--for=delete", ...pods, "--timeout=60s");
}

/** Runs an operator with that agent while `work` is done. */
async function withOperator(bundle: AgentBundle, version: string, work: () => Promise<void>): Promise<void> {
  await scaleOperator(0);
  const api = new KubeClient(await kubeconfigConnection(KUBECONFIG));
  const stop = new AbortController();
  const controller = new Controller({
    api,
    settings: { agentImage: "quorate/agent:dev", agent: { hash: bundle.hash, version, nodeMajor: NODE_MAJOR } },
    agentBundle: bundle,
    registry: new ClusterRegistry(),
    log: pino({ level: "warn" }),
    namespace: NAMESPACE,
    instance: "test",
  });
  const running = Promise.all([controller.watch(stop.signal), controller.lead(stop.signal)]);
  try {
    await work();
  } finally {
    stop.abort();
    await running;
    api.close();
  }
}

async function reportOf(pod: string): Promise<MemberReport | undefined> {
  const path = `jsonpath={.metadata.annotations.${ANNOTATION_MEMBER_STATUS.replaceAll(".", "\\.")}}`;
  const text = await kubectl("-n", NAMESPACE, "get", "pod", pod, "-o", path);
  return text === "" ? undefined : MemberReport.parse(JSON.parse(text));
}

/** What must not change: pods, their first processes and their engines'. */
async function untouched(): Promise<readonly unknown[]> {
  return Promise.all(
    PODS.map(async (pod) => {
      const processes = await podProcesses(NAMESPACE, pod);
      const main = processes.filter((one) => SUBJECT.isFirstProcess(one) || /^\S*postgres -D/.test(one.command));
      const uid = await kubectl("-n", NAMESPACE, "get", "pod", pod, "-o", "jsonpath={.metadata.uid}");
      return [uid, main.map(({ pid }) => pid).toSorted((a, b) => a - b)];
    }),
  );
}

/** Does `work` under a client: nothing of the cluster but its agents changes. */
async function whileWriting(name: string, work: () => Promise<void>): Promise<void> {
  const before = [await untouched(), (await SUBJECT.leader()).member];
  const writer = new WriterRun({ ...SUBJECT.writer, name, seconds: 0 });
  await writer.start();
  await work();
  const verdict = await writer.finish();
  process.stdout.write(`${name}: largest write gap ${verdict.largestGapMs} ms\n`);
  expectNothingLost(verdict);
  expect([await untouched(), (await SUBJECT.leader()).member]).toEqual(before);
}

test("every member gets the agent of the new operator, and nothing else changes", async () => {
  const next = await bundleOfVersion("0.1.99");
  await withOperator(next, "0.1.99", () =>
    whileWriting("writer-agents", async () => {
      await until("the new agent everywhere", 180_000, async () => {
        const reports = await Promise.all(PODS.map(reportOf));
        return reports.every((report) => report?.agent?.hash === next.hash) ? true : undefined;
      });
      await SUBJECT.untilHealthy(60_000);
    }),
  );
  expect((await Promise.all(PODS.map(reportOf))).map((report) => report?.agentVersion)).toEqual(
    PODS.map(() => "0.1.99"),
  );
});

test("one that does not work stays with one member, which goes on with its image's, and the status says so", async () => {
  const broken = await bundleOfProgram("throw new Error('broken')");
  await withOperator(broken, "0.1.100", () =>
    whileWriting("writer-broken-agent", async () => {
      await until("the guard", 120_000, async () => {
        const { blocked = [] } = (await readCluster(NAMESPACE, CLUSTER))?.status ?? {};
        return blocked.some(({ guard }) => guard === "AgentTaken") ? true : undefined;
      });
      await SUBJECT.untilHealthy(60_000);
    }),
  );
  const refused = (await Promise.all(PODS.map(reportOf))).filter((report) => report?.agent?.refused !== undefined);
  expect(refused.map((report) => report?.agent?.refused?.hash)).toEqual([broken.hash]);
});
