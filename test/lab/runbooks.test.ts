/** Runbooks that need pods which run: a fault is made, the page is followed, and the cluster is well in the end. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { patchSpec } from "../../hack/scenario/change.ts";
import { applyExample, removeNamespace } from "../../hack/scenario/example.ts";
import { installOperator } from "../../hack/scenario/install.ts";
import { KUBECONFIG, KUBECTL, kubectl, lab } from "../../hack/scenario/lab.ts";
import { commandsOf, runbooks, Terminal } from "../../hack/scenario/runbook.ts";
import { until } from "../../hack/scenario/shell.ts";
import { quorateSubject, readCluster } from "../../hack/scenario/subject.ts";

const NAMESPACE = "runbooks";
const CLUSTER = "walked";
const SUBJECT = quorateSubject(NAMESPACE, CLUSTER);
const NODES = ["n1", "n2", "n3"];

/** The lab has no metrics server and no Prometheus operator, and a program that never ended has no earlier log. */
const NOT_HERE = [/ top /, / podmonitors /, / --previous /];
/** Each is the end of a story of its own. */
const CHANGES = [/ switchover /, / patch /, / restart /];

let folder: string;
let terminal: Terminal;

async function untilWell(): Promise<void> {
  await until("three members that are ready", 240_000, async () => {
    const { conditions = [], readyMembers } = (await readCluster(NAMESPACE, CLUSTER))?.status ?? {};
    const ready = conditions.find(({ type }) => type === "Ready")?.status;
    return ready === "True" && readyMembers === 3 ? true : undefined;
  });
}

async function why(): Promise<string> {
  return terminal.paste(`kubectl quorate -n ${NAMESPACE} why ${CLUSTER}`);
}

beforeAll(async () => {
  await lab("up");
  await installOperator();
  await applyExample({ namespace: NAMESPACE, cluster: CLUSTER, members: 3 });
  await patchSpec(NAMESPACE, CLUSTER, { slo: {} }); // pages about objectives are for clusters that have some
  await untilWell();
  folder = await mkdtemp(join(tmpdir(), "quorate-runbooks-"));
  terminal = await Terminal.open(folder, KUBECTL[0] ?? "kubectl", KUBECONFIG);
});

afterAll(async () => {
  for (const node of NODES) await kubectl("uncordon", node);
  await removeNamespace(NAMESPACE);
  await rm(folder, { recursive: true, force: true });
});

test("every command can be pasted as it is", async () => {
  const pages = await Promise.all((await runbooks()).map((name) => commandsOf(name, NAMESPACE, CLUSTER)));
  const lines = [...new Set(pages.flat())].filter(
    (line) => ![...NOT_HERE, ...CHANGES].some((one) => one.test(`${line} `)),
  );
  const refused: string[] = [];
  for (const line of lines) await terminal.paste(line).catch((error: Error) => refused.push(error.message));
  expect(refused).toEqual([]);
});

test("QuorateNoLeader: failover is off because somebody said so; it is set on, and a member leads", async () => {
  await kubectl("-n", NAMESPACE, "patch", "qcs", CLUSTER, "--type=merge", "-p", '{"spec":{"paused":true}}');
  const { pod } = await SUBJECT.leader();
  await kubectl("-n", NAMESPACE, "delete", "pod", pod, "--grace-period=0", "--force");
  await until("a cluster that says that it is paused", 60_000, async () =>
    (await why()).includes("paused") ? true : undefined,
  );
  await kubectl("-n", NAMESPACE, "patch", "qcs", CLUSTER, "--type=merge", "-p", '{"spec":{"paused":false}}');
  await untilWell();
  expect(await why()).not.toContain("paused");
});

test("QuorateQuorumLost: its members brought back are all it takes", async () => {
  for (const node of NODES) await kubectl("cordon", node); // members that are deleted do not come back
  const { pod: leader } = await SUBJECT.leader();
  const followers = ["0", "1", "2"].map((ordinal) => `${CLUSTER}-${ordinal}-0`).filter((pod) => pod !== leader);
  await kubectl("-n", NAMESPACE, "delete", "pod", ...followers, "--grace-period=0", "--force");
  await until("a cluster that is not ready", 120_000, async () => {
    const { conditions = [] } = (await readCluster(NAMESPACE, CLUSTER))?.status ?? {};
    return conditions.find(({ type }) => type === "Ready")?.status === "True" ? undefined : true;
  });
  for (const node of NODES) await kubectl("uncordon", node);
  await untilWell();
  expect((await readCluster(NAMESPACE, CLUSTER))?.status?.leader).toBeDefined();
});
