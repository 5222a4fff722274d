/** Growing, shrinking, draining and deleting a real cluster under a client that counts. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { applyExample, removeNamespace } from "../../hack/scenario/example.ts";
import { installOperator } from "../../hack/scenario/install.ts";
import { kubectl, lab } from "../../hack/scenario/lab.ts";
import { until } from "../../hack/scenario/shell.ts";
import { quorateSubject, readCluster } from "../../hack/scenario/subject.ts";
import { WriterRun } from "../../hack/scenario/writer-run.ts";
import { expectNothingLost } from "./oracle.ts";

const NAMESPACE = "members";
const CLUSTER = "sizes";
const SUBJECT = quorateSubject(NAMESPACE, CLUSTER);

async function untilSize(members: number): Promise<void> {
  await until(`${members} members in sync`, 240_000, async () => {
    const cluster = await readCluster(NAMESPACE, CLUSTER);
    const ready = cluster?.status?.conditions?.find((condition) => condition.type === "Ready")?.status;
    const { readyMembers, members: present } = cluster?.status ?? {};
    return ready === "True" && readyMembers === members && present?.length === members ? true : undefined;
  });
}

async function claims(): Promise<string[]> {
  const text = await kubectl("-n", NAMESPACE, "get", "persistentvolumeclaims", "-o", "name");
  return text.trim().split("\n").toSorted();
}

beforeAll(async () => {
  await lab("up");
  await installOperator();
  await applyExample({ namespace: NAMESPACE, cluster: CLUSTER, members: 1 });
  await untilSize(1);
});

afterAll(() => removeNamespace(NAMESPACE));

describe("the number of members", () => {
  test("1 → 3 → 5 → 3 under a client: nothing acknowledged is lost, volumes stay", async () => {
    const writer = new WriterRun({ ...SUBJECT.writer, name: "writer-size", seconds: 0 });
    await writer.start();
    for (const members of [3, 5, 3]) {
      await kubectl("-n", NAMESPACE, "scale", `clusterspec/${CLUSTER}`, `--replicas=${members}`);
      await untilSize(members);
    }
    const verdict = await writer.finish();
    process.stdout.write(`largest write gap while scaling ${verdict.largestGapMs} ms\n`);
    expectNothingLost(verdict);
    expect(await claims()).toEqual([0, 1, 2, 3, 4].map((n) => `persistentvolumeclaim/${CLUSTER}-${n}-data`));
  });

  test("a second node is not drained while the first member is away", async () => {
    const { node: first } = await SUBJECT.leader();
    const nodes = ["n1", "n2", "n3"].filter((node) => node !== first);
    const [second = ""] = nodes;
    const only = `--pod-selector=quorate.io/cluster=${CLUSTER}`;
    const drain = (node: string, seconds: number): Promise<string> =>
      kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", `--timeout=${seconds}s`, only);
    try {
      await drain(first, 120); // its volume is local: the member cannot start elsewhere
      await expect(drain(second, 8)).rejects.toThrow(/disruption budget|timeout/);
      expect((await SUBJECT.leader()).node).not.toBe(first);
    } finally {
      await kubectl("uncordon", first);
      await kubectl("uncordon", second);
    }
    await untilSize(3);
  });
});

describe("deletion", () => {
  test("keeps volumes and passwords; the same ClusterSpec applied again leads from them", async () => {
    const rowsOf = async (): Promise<string> => {
      const { pod } = await SUBJECT.leader();
      const query = [
        "psql",
        "-XqAt",
        "-h",
        "/run",
        "-U",
        "postgres",
        "-d",
        "app",
        "-c",
        "select count(*) from quorate_writes",
      ];
      return (await kubectl("-n", NAMESPACE, "exec", pod, "-c", "engine", "--", ...query)).trim();
    };
    const rows = await rowsOf();
    expect(Number(rows)).toBeGreaterThan(100);
    const before = await claims();
    await kubectl("-n", NAMESPACE, "delete", "clusterspec", CLUSTER);
    await until("the pods to go", 120_000, async () => {
      const pods = await kubectl("-n", NAMESPACE, "get", "pods", "-l", `quorate.io/cluster=${CLUSTER}`, "-o", "name");
      return pods === "" ? true : undefined;
    });
    expect(await claims()).toEqual(before);
    await applyExample({ namespace: NAMESPACE, cluster: CLUSTER });
    await untilSize(3);
    expect(await rowsOf()).toBe(rows);
  });
});
