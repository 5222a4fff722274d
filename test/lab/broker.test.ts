/** A real message broker under the operator, as its example has it: it grows and shrinks, loses members, rolls and restarts. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { removeNamespace } from "../../hack/scenario/example.ts";
import { inject } from "../../hack/scenario/faults.ts";
import { installOperator } from "../../hack/scenario/install.ts";
import { apply, kubectl, lab } from "../../hack/scenario/lab.ts";
import { podAddresses } from "../../hack/scenario/pod-addresses.ts";
import { QueueClient } from "../../hack/scenario/queue-client.ts";
import { until } from "../../hack/scenario/shell.ts";
import { quorateSubject, readCluster } from "../../hack/scenario/subject.ts";

const NAMESPACE = "brokers";
const CLUSTER = "events";
const PORT = 5672;
const SUBJECT = quorateSubject(NAMESPACE, CLUSTER);

let manifest = "";

async function untilSize(members: number): Promise<void> {
  await until(`${members} members in sync`, 300_000, async () => {
    const { status } = (await readCluster(NAMESPACE, CLUSTER)) ?? {};
    const ready = status?.conditions?.find((condition) => condition.type === "Ready")?.status;
    return ready === "True" && status?.readyMembers === members && status.members?.length === members
      ? true
      : undefined;
  });
}

/** Runs `change` under a publisher that waits for confirms, and a consumer. */
async function expectNothingLost(what: string, change: () => Promise<void>): Promise<void> {
  const secret = ["-n", NAMESPACE, "get", "secret", `${CLUSTER}-app`, "-o", "jsonpath={.data.password}"];
  const password = Buffer.from(await kubectl(...secret), "base64").toString();
  const client = new QueueClient(
    podAddresses({ namespace: NAMESPACE, selector: `quorate.io/cluster=${CLUSTER}`, port: PORT }),
    password,
  );
  client.start();
  await until("the first confirmed messages", 90_000, () => Promise.resolve(client.confirmed > 20 ? true : undefined));
  await change();
  const { confirmed } = client;
  await until("messages to go on", 90_000, () => Promise.resolve(client.confirmed > confirmed + 20 ? true : undefined));
  const verdict = await client.finish();
  process.stdout.write(`${what}: ${JSON.stringify(verdict)}\n`);
  expect(verdict).toMatchObject({ lost: 0, missed: 0 });
}

beforeAll(async () => {
  await lab("up");
  await installOperator();
  await kubectl("create", "namespace", NAMESPACE).catch(() => undefined);
  const example = await readFile(join(import.meta.dirname, "../../examples/broker/cluster.yaml"), "utf8");
  const namespaced = example.replace("namespace: demo", `namespace: ${NAMESPACE}`);
  manifest = namespaced.replace("whenExhausted: Freeze", "whenExhausted: Warn"); // faults use the budget up
  await apply(manifest);
  await untilSize(3);
});

afterAll(() => removeNamespace(NAMESPACE));

describe("a broker under a client that counts", () => {
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
      await new Promise((resolve) => setTimeout(resolve, 40_000)); // longer than it takes to notice
      await heal();
      await untilSize(3);
    }));

  test("all pods are deleted by force", () =>
    expectNothingLost("all pods", async () => {
      const selector = `quorate.io/cluster=${CLUSTER}`;
      await kubectl("-n", NAMESPACE, "delete", "pods", "-l", selector, "--force", "--grace-period=0");
      await untilSize(3);
    }));

  test("a roll over all members", () =>
    expectNothingLost("roll", async () => {
      await apply(manifest.replace("members: 3", 'members: 3\n  parameters: {channel_max: "512"}'));
      await until("the roll to be over", 360_000, async () => {
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

test("people are told where messages wait", async () => {
  const command = ["/quorate-engine/ask", "queues", "20"];
  const answer = await kubectl("-n", NAMESPACE, "exec", `${CLUSTER}-0-0`, "--", ...command);
  expect(JSON.parse(answer)).toMatchObject({ queues: 0, ready: 0, unacknowledged: 0, most: [] });
  const status = await kubectl(
    "-n",
    NAMESPACE,
    "exec",
    `${CLUSTER}-0-0`,
    "--",
    "/quorate-engine/ctl",
    "rabbitmqctl",
    "list_vhosts",
  );
  expect(status).toContain("quorate");
});
