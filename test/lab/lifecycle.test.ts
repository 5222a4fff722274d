/** What people do to a real cluster in its life, under a client that counts: restart, reload, stop and start, drain, upgrade. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { applyExample, removeNamespace } from "../../hack/scenario/example.ts";
import { installOperator } from "../../hack/scenario/install.ts";
import { apply, kubectl, lab } from "../../hack/scenario/lab.ts";
import { setOperator } from "../../hack/scenario/prometheus.ts";
import { until } from "../../hack/scenario/shell.ts";
import { podBySelector, quorateSubject, readCluster } from "../../hack/scenario/subject.ts";
import { WriterRun } from "../../hack/scenario/writer-run.ts";
import { expectNothingLost } from "./oracle.ts";

const NAMESPACE = "lifecycle";
const CLUSTER = "life";
const SUBJECT = quorateSubject(NAMESPACE, CLUSTER);

beforeAll(async () => {
  await lab("up");
  await installOperator();
  await applyExample({ namespace: NAMESPACE, cluster: CLUSTER });
  await SUBJECT.untilHealthy(300_000);
});

afterAll(() => removeNamespace(NAMESPACE));

async function set(cluster: string, spec: object): Promise<void> {
  await kubectl("-n", NAMESPACE, "patch", "qcs", cluster, "--type=merge", "-p", JSON.stringify({ spec }));
}

async function conditionOf(cluster: string, type: string): Promise<string | undefined> {
  const status = (await readCluster(NAMESPACE, cluster))?.status;
  return status?.conditions?.find((condition) => condition.type === type)?.reason;
}

async function untilBlocked(cluster: string, guard: string): Promise<void> {
  await until(`${guard} to hold ${cluster} back`, 120_000, async () => {
    const { blocked = [] } = (await readCluster(NAMESPACE, cluster))?.status ?? {};
    return blocked.some((block) => block.guard === guard) ? true : undefined;
  });
}

async function uids(kind: string, cluster: string): Promise<string[]> {
  const path = "jsonpath={range .items[*]}{.metadata.uid}{' '}{end}";
  const text = await kubectl("-n", NAMESPACE, "get", kind, "-l", `quorate.io/cluster=${cluster}`, "-o", path);
  return text.trim().split(" ").filter(Boolean).toSorted();
}

/** What the engine of every member says its parameter is. */
async function settings(parameter: string): Promise<string[]> {
  const ask = ["psql", "-XAt", "-h", "/run", "-U", "postgres", "-d", "postgres", "-c", `SHOW ${parameter}`];
  return Promise.all(
    [0, 1, 2].map(async (ordinal) => {
      const pod = `${CLUSTER}-${ordinal}-0`;
      return (await kubectl("-n", NAMESPACE, "exec", pod, "-c", "engine", "--", ...ask)).trim();
    }),
  );
}

/** Runs `change` under a client that counts. @returns the largest time without an acknowledged write. */
async function whileWriting(name: string, change: () => Promise<void>): Promise<number> {
  const writer = new WriterRun({ ...SUBJECT.writer, name, seconds: 0 });
  await writer.start();
  await change();
  const verdict = await writer.finish();
  process.stdout.write(`${name}: largest write gap ${verdict.largestGapMs} ms\n`);
  expectNothingLost(verdict);
  return verdict.largestGapMs;
}

describe("a cluster of three", () => {
  test("restarts every engine: one switchover, no pod replaced, nothing lost", async () => {
    const pods = await uids("pods", CLUSTER);
    const epoch = (await readCluster(NAMESPACE, CLUSTER))?.status?.epoch ?? 0;
    await whileWriting("writer-restart", async () => {
      await apply(
        JSON.stringify({
          apiVersion: "quorate.io/v1alpha1",
          kind: "ClusterOperation",
          metadata: { name: "restart-all", namespace: NAMESPACE },
          spec: { clusterName: CLUSTER, type: "Restart" },
        }),
      );
      await until("the end of the restart", 240_000, async () => {
        const path = "jsonpath={.status.phase}: {.status.message}";
        const status = await kubectl("-n", NAMESPACE, "get", "qco", "restart-all", "-o", path);
        if (/^(Refused|Failed)/.test(status)) expect.unreachable(status);
        return status.startsWith("Done") ? true : undefined;
      });
    });
    await SUBJECT.untilHealthy(60_000);
    expect((await readCluster(NAMESPACE, CLUSTER))?.status?.epoch).toBe(epoch + 1);
    expect(await uids("pods", CLUSTER)).toEqual(pods);
  });

  test("takes a reloadable parameter without a restart, and tells of one that is refused", async () => {
    const pods = await uids("pods", CLUSTER);
    await set(CLUSTER, { parameters: { work_mem: "9MB" } });
    await until("the new value everywhere", 60_000, async () =>
      (await settings("work_mem")).every((value) => value === "9MB") ? true : undefined,
    );
    await set(CLUSTER, { parameters: { work_mem: "plenty" } });
    await untilBlocked(CLUSTER, "ParametersTaken");
    expect(await settings("work_mem")).toEqual(["9MB", "9MB", "9MB"]);
    await set(CLUSTER, { parameters: { work_mem: "10MB" } });
    await until("the corrected value everywhere", 60_000, async () =>
      (await settings("work_mem")).every((value) => value === "10MB") ? true : undefined,
    );
    expect(await uids("pods", CLUSTER)).toEqual(pods);
  });

  test("stops and starts again with every row, the same volumes and the same leader", async () => {
    const claims = await uids("persistentvolumeclaims", CLUSTER);
    const { member: leader } = await SUBJECT.leader();
    await whileWriting("writer-stop", async () => {
      await set(CLUSTER, { stopped: true });
      await until("the end of all members", 180_000, async () =>
        (await conditionOf(CLUSTER, "Ready")) === "Stopped" ? true : undefined,
      );
      expect(await uids("pods", CLUSTER)).toEqual([]);
      await set(CLUSTER, { stopped: false });
      await SUBJECT.untilHealthy(240_000);
    });
    expect(await uids("persistentvolumeclaims", CLUSTER)).toEqual(claims);
    expect((await SUBJECT.leader()).member).toBe(leader);
  });

  test("is left alone by another version of the operator, which says what it would change", async () => {
    const pods = await uids("pods", CLUSTER);
    await setOperator("QUORATE_AGENT_IMAGE=quorate/agent:next");
    try {
      await until("the pending change", 120_000, async () =>
        (await conditionOf(CLUSTER, "PendingChange")) === "OnApproval" ? true : undefined,
      );
      expect(await uids("pods", CLUSTER)).toEqual(pods);
    } finally {
      await setOperator("QUORATE_AGENT_IMAGE=quorate/agent:dev");
    }
    await until("the end of the pending change", 120_000, async () =>
      (await conditionOf(CLUSTER, "PendingChange")) === undefined ? true : undefined,
    );
  });

  test("leaves claims as they are when their class cannot grow", async () => {
    await set(CLUSTER, { storage: { data: { size: "3Gi" } } });
    await untilBlocked(CLUSTER, "VolumeExpandable");
    expect(await conditionOf(CLUSTER, "Stalled")).toBeUndefined();
  });
});

test("a single member with Surge leaves a drained node with one switchover", async () => {
  const solo = quorateSubject(NAMESPACE, "solo");
  await applyExample({ namespace: NAMESPACE, cluster: "solo", members: 1 });
  await set("solo", { disruption: { singleMember: "Surge" } });
  await solo.untilHealthy(240_000);
  const { node, member } = await solo.leader();
  const writer = new WriterRun({ ...solo.writer, name: "writer-surge", seconds: 0 });
  await writer.start();
  try {
    await kubectl("cordon", node);
    await until("a leader elsewhere, alone", 240_000, async () => {
      const pods = await uids("pods", "solo");
      const now = await podBySelector(NAMESPACE, "quorate.io/cluster=solo,quorate.io/role=leader");
      return pods.length === 1 && now !== undefined && now.node !== node ? now : undefined;
    });
    await kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=120s");
  } finally {
    await kubectl("uncordon", node);
  }
  const verdict = await writer.finish();
  process.stdout.write(`writer-surge: largest write gap ${verdict.largestGapMs} ms\n`);
  expect(verdict.lost).toBe(0);
  expect((await solo.leader()).member).not.toBe(member);
});
