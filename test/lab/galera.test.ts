/** Members that all write, under the operator: killed one by one and all at once, cut off, rolled, added and taken away. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { removeNamespace } from "../../hack/scenario/example.ts";
import { inject } from "../../hack/scenario/faults.ts";
import { installOperator } from "../../hack/scenario/install.ts";
import { apply, kubectl, lab } from "../../hack/scenario/lab.ts";
import { until } from "../../hack/scenario/shell.ts";
import { CREATE_TABLES, SqlClient, sqlSession } from "../../hack/scenario/sql-client.ts";
import { quorateSubject, readCluster } from "../../hack/scenario/subject.ts";

const NAMESPACE = "shops";
const CLUSTER = "shop";
const PORT = 3306;
const SUBJECT = quorateSubject(NAMESPACE, CLUSTER);

let manifest = "";
let password = "";
let runs = 0;

async function untilSize(members: number): Promise<void> {
  await until(`${members} members in sync`, 400_000, async () => {
    const { status } = (await readCluster(NAMESPACE, CLUSTER)) ?? {};
    const ready = status?.conditions?.find((condition) => condition.type === "Ready")?.status;
    return ready === "True" && status?.readyMembers === members && status.members?.length === members
      ? true
      : undefined;
  });
}

async function addressOf(ordinal: number) {
  const pod = `${CLUSTER}-${ordinal}-0`;
  return { host: await kubectl("-n", NAMESPACE, "get", "pod", pod, "-o", "jsonpath={.status.podIP}"), port: PORT };
}

/** What a member answers, once it has everything that was acknowledged before. */
async function ask(ordinal: number, statement: string): Promise<readonly string[]> {
  const session = sqlSession(await addressOf(ordinal), password);
  try {
    const { stdout, stderr } = await session.run(`SET SESSION wsrep_sync_wait = 1; ${statement}`, 60_000);
    if (stderr.length > 0) throw new Error(stderr.join("\n"));
    return stdout;
  } finally {
    session.close();
  }
}

/** Runs `change` under a client of each of the first three members. */
async function expectNothingLost(what: string, change: () => Promise<void>): Promise<void> {
  const before = Number((await ask(0, "SELECT n FROM total;"))[0]);
  const run = ++runs;
  const clients = [0, 1, 2].map((at) => new SqlClient(() => addressOf(at), password, `${run}-${at}`));
  for (const client of clients) client.start();
  const untilAll = (least: readonly number[]) =>
    until("writes at every member", 120_000, () =>
      Promise.resolve(clients.every(({ acked }, at) => acked > (least[at] ?? 0) + 10) ? true : undefined),
    );
  await untilAll([]);
  await change();
  await untilAll(clients.map(({ acked }) => acked));
  const verdicts = await Promise.all(
    clients.map((client, at) =>
      client.finish(async (writer) =>
        (await ask((at + 1) % 3, `SELECT seq FROM written WHERE writer = '${writer}';`)).map(Number),
      ),
    ),
  );
  process.stdout.write(`${what}: ${JSON.stringify(verdicts)}\n`);
  for (const verdict of verdicts) expect(verdict).toMatchObject({ lost: 0, unexpected: 0 });
  const added = Number((await ask(0, "SELECT n FROM total;"))[0]) - before;
  const sure = verdicts.reduce((sum, one) => sum + one.added, 0);
  expect(added).toBeGreaterThanOrEqual(sure);
  expect(added).toBeLessThanOrEqual(sure + verdicts.reduce((sum, one) => sum + one.maybeAdded, 0));
}

async function podsEnd(...ordinals: number[]): Promise<void> {
  const pods = ordinals.map((ordinal) => `${CLUSTER}-${ordinal}-0`);
  await kubectl("-n", NAMESPACE, "delete", "pod", ...pods, "--force", "--grace-period=0");
}

beforeAll(async () => {
  await lab("up");
  await installOperator();
  await kubectl("create", "namespace", NAMESPACE).catch(() => undefined);
  const example = await readFile(join(import.meta.dirname, "../../examples/galera/cluster.yaml"), "utf8");
  manifest = example
    .replace("namespace: demo", `namespace: ${NAMESPACE}`)
    .replace("memory: 1Gi", "memory: 256Mi")
    .replace("size: 10Gi", "size: 1Gi");
  await apply(manifest);
  await untilSize(3);
  const secret = ["-n", NAMESPACE, "get", "secret", `${CLUSTER}-app`, "-o", "jsonpath={.data.password}"];
  password = Buffer.from(await kubectl(...secret), "base64").toString();
  await ask(0, CREATE_TABLES);
});

afterAll(() => removeNamespace(NAMESPACE));

describe("under clients that write to all members", () => {
  test.each(["engine-kill", "container-kill", "pod-delete", "switchover"] as const)("%s", (fault) =>
    expectNothingLost(fault, async () => {
      const { heal } = await inject(fault, SUBJECT);
      await heal();
      await untilSize(3);
    }),
  );

  test("a node that is cut off for a while", () =>
    expectNothingLost("node-cut", async () => {
      const { heal } = await inject("node-cut", SUBJECT);
      await new Promise((resolve) => setTimeout(resolve, 10_000));
      await heal();
      await untilSize(3);
    }));

  test("all pods at once", () =>
    expectNothingLost("all pods", async () => {
      await podsEnd(0, 1, 2);
      await untilSize(3);
    }));

  test("a roll over all members", () =>
    expectNothingLost("roll", async () => {
      await apply(manifest.replace("members: 3", 'members: 3\n  parameters: {gcs.fc_limit: "64"}'));
      await until("the roll to be over", 400_000, async () => {
        const { status } = (await readCluster(NAMESPACE, CLUSTER)) ?? {};
        return status?.rollout?.phase === "Complete" ? true : undefined;
      });
      await untilSize(3);
    }));

  test("3 → 5 → 3 members", () =>
    expectNothingLost("sizes", async () => {
      for (const members of [5, 3]) {
        await kubectl("-n", NAMESPACE, "scale", `clusterspec/${CLUSTER}`, `--replicas=${members}`);
        await untilSize(members);
      }
    }));
});
