/** Runbooks that need pods which run: a fault is made, the page is followed, and the cluster is well in the end. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { patchSpec } from "../../hack/scenario/change.ts";
import { applyExample, removeNamespace } from "../../hack/scenario/example.ts";
import { inject } from "../../hack/scenario/faults.ts";
import { installOperator } from "../../hack/scenario/install.ts";
import { KUBECONFIG, KUBECTL, kubectl, lab, podProcesses } from "../../hack/scenario/lab.ts";
import { freezePods, runWithin } from "../../hack/scenario/lasting-faults.ts";
import { commandsOf, runbooks, Terminal } from "../../hack/scenario/runbook.ts";
import { run, until } from "../../hack/scenario/shell.ts";
import { quorateSubject, readCluster } from "../../hack/scenario/subject.ts";

const NAMESPACE = "runbooks";
const CLUSTER = "walked";
const SUBJECT = quorateSubject(NAMESPACE, CLUSTER);
const NODES = ["n1", "n2", "n3"];

/** The lab has no metrics server and no Prometheus operator, and a program that never ended has no earlier log. */
const NOT_HERE = [/ top /, / podmonitors /, / --previous /];
/** Each is the end of a story of its own. */
const CHANGES = [/ switchover /, / patch /, / restart /];

const OPERATOR = ["-n", "quorate-system"];
const OPERATOR_PODS = "app.kubernetes.io/component=operator";

let folder: string;
let terminal: Terminal;

async function untilWell(): Promise<void> {
  await until("three members that are ready", 240_000, async () => {
    const { conditions = [], readyMembers } = (await readCluster(NAMESPACE, CLUSTER))?.status ?? {};
    const ready = conditions.find(({ type }) => type === "Ready")?.status;
    return ready === "True" && readyMembers === 3 ? true : undefined;
  });
}

/** Runs the commands of a runbook that can be run here. @returns what they printed. */
async function follow(runbook: string): Promise<string> {
  const lines = await commandsOf(runbook, NAMESPACE, CLUSTER);
  const said: string[] = [];
  for (const line of lines.filter((one) => !NOT_HERE.some((needs) => needs.test(`${one} `)))) {
    said.push(await terminal.paste(line));
  }
  return said.join("\n");
}

async function why(): Promise<string> {
  return terminal.paste(`kubectl quorate -n ${NAMESPACE} why ${CLUSTER}`);
}

/** Whoever leads takes a change up. @returns the generation that was taken up, and the one that was asked for. */
async function askOperator(): Promise<{ readonly taken: number | undefined; readonly asked: number | undefined }> {
  await patchSpec(NAMESPACE, CLUSTER, { services: { annotations: { "example.com/asked": String(Date.now()) } } });
  return until("an operator that takes a change up", 120_000, async () => {
    const { metadata, status } = (await readCluster(NAMESPACE, CLUSTER)) ?? {};
    const [taken, asked] = [status?.observedGeneration, metadata?.generation];
    return taken === asked ? { taken, asked } : undefined;
  });
}

beforeAll(async () => {
  await lab("up");
  await installOperator();
  const resources = { requests: { cpu: "100m", memory: "256Mi" }, limits: { memory: "256Mi" } };
  await applyExample({ namespace: NAMESPACE, cluster: CLUSTER, members: 3, spec: { resources } });
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

test("QuorateClusterDown: the nodes brought back are all it takes", async () => {
  for (const node of NODES) await kubectl("cordon", node);
  await kubectl(
    "-n",
    NAMESPACE,
    "delete",
    "pods",
    "-l",
    `quorate.io/cluster=${CLUSTER}`,
    "--grace-period=0",
    "--force",
  );
  await until("a cluster without a member", 120_000, async () =>
    (await readCluster(NAMESPACE, CLUSTER))?.status?.readyMembers === 0 ? true : undefined,
  );
  const said = await follow("QuorateClusterDown");
  expect(said).toContain("Pending");
  expect(said).toContain("SchedulingDisabled"); // which says what is to be brought back
  for (const node of NODES) await kubectl("uncordon", node);
  await untilWell();
});

test("QuorateSplitBrain: the Lease names the true leader; the pod of the other is deleted", async () => {
  const old = await SUBJECT.leader();
  const thaw = await freezePods(NAMESPACE, [old.pod]); // it cannot notice that it is replaced
  let isThawed = false;
  try {
    await until("another leader", 60_000, async () => {
      const { leader } = (await readCluster(NAMESPACE, CLUSTER))?.status ?? {};
      return leader !== undefined && leader !== old.member ? true : undefined;
    });
    const said = await follow("QuorateSplitBrain");
    const leader = /quorate\.io\/leader: (\S+)/.exec(said)?.[1] ?? "";
    expect(leader).not.toBe(old.member);
    await kubectl("-n", NAMESPACE, "delete", "pod", old.pod, "--grace-period=0", "--force");
    isThawed = true; // what was frozen has been killed
    await untilWell();
    expect((await SUBJECT.leader()).member).toBe(leader);
  } finally {
    if (!isThawed) await thaw();
  }
});

test("QuorateMemberKilled: a limit that is raised", async () => {
  const { pod } = await SUBJECT.leader();
  const hog = "tail /dev/zero"; // takes memory until somebody is ended for it
  await runWithin(NAMESPACE, pod, hog);
  await until("memory to run out", 60_000, async () =>
    (await podProcesses(NAMESPACE, pod)).some(({ command }) => command.includes(hog)) ? undefined : true,
  );
  // Version 1 of cgroups ends a process and not the container; the kubelet tells of it when that ends.
  await inject("container-kill", SUBJECT);
  const reason = "jsonpath={.status.containerStatuses[0].lastState.terminated.reason}";
  await until("a container that was ended for want of memory", 120_000, async () =>
    (await kubectl("-n", NAMESPACE, "get", "pod", pod, "-o", reason)) === "OOMKilled" ? true : undefined,
  );
  expect(await follow("QuorateMemberKilled")).toContain("OOMKilled");
  // What was done to this cluster until now has used up its budget, and it is the fix that must pass.
  const urgent = `quorate.io/urgent-until=${new Date(Date.now() + 3_600_000).toISOString()}`;
  await kubectl("-n", NAMESPACE, "annotate", "clusterspec", CLUSTER, urgent);
  await patchSpec(NAMESPACE, CLUSTER, { resources: { limits: { memory: "512Mi" } } });
  await until("members with a higher limit", 240_000, async () => {
    const { metadata, status } = (await readCluster(NAMESPACE, CLUSTER)) ?? {};
    const isTakenIn = status?.observedGeneration === metadata?.generation;
    return isTakenIn && status?.rollout?.phase === "Complete" && (status.change ?? "") === "" ? true : undefined;
  });
  await untilWell();
});

test("QuorateOperatorDown: the log's last line says which setting is wrong", async () => {
  await lab("operator", "stop");
  await kubectl(...OPERATOR, "set", "env", "deployment/quorate-operator", "QUORATE_LOG_LEVEL=loud");
  await kubectl(...OPERATOR, "scale", "deployment/quorate-operator", "--replicas=1");
  try {
    const said = await until("a line about the setting", 120_000, async () => {
      const text = await terminal.paste(`kubectl ${OPERATOR.join(" ")} logs -l ${OPERATOR_PODS} --tail=5`);
      return text.includes("QUORATE_LOG_LEVEL") ? text : undefined;
    });
    expect(said).not.toBe("");
    await follow("QuorateOperatorDown");
  } finally {
    await kubectl(...OPERATOR, "set", "env", "deployment/quorate-operator", "QUORATE_LOG_LEVEL-");
    await lab("operator", "start");
  }
  const { taken, asked } = await askOperator();
  expect(taken).toBe(asked);
});

test("QuorateOperatorBehind: an operator that stands still is replaced by the last command", async () => {
  const pod = await until("an operator that runs", 60_000, async () => {
    const path = "jsonpath={.items[*].metadata.name}";
    const names = await kubectl(...OPERATOR, "get", "pods", "-l", OPERATOR_PODS, "-o", path);
    for (const name of names.split(" ")) {
      if ((await podProcesses("quorate-system", name).catch(() => [])).length > 0) return name; // not one that has ended
    }
    return undefined;
  });
  await freezePods("quorate-system", [pod]);
  await follow("QuorateOperatorBehind");
  await run([...KUBECTL, ...OPERATOR, "rollout", "status", "deployment/quorate-operator", "--timeout=180s"], {
    timeoutMs: 200_000,
  });
  const { taken, asked } = await askOperator();
  expect(taken).toBe(asked);
});
