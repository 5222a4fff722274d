/** A real group of etcd under the operator: it grows and shrinks, loses members, rolls, restarts, and loses its majority for good. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { removeNamespace } from "../../hack/scenario/example.ts";
import { inject } from "../../hack/scenario/faults.ts";
import { installOperator } from "../../hack/scenario/install.ts";
import { KeyClient } from "../../hack/scenario/key-client.ts";
import { apply, kubectl, lab } from "../../hack/scenario/lab.ts";
import { podAddresses } from "../../hack/scenario/pod-addresses.ts";
import { until } from "../../hack/scenario/shell.ts";
import { quorateSubject, readCluster } from "../../hack/scenario/subject.ts";

const NAMESPACE = "groups";
const CLUSTER = "settings";
const PORT = 2379;
const SUBJECT = quorateSubject(NAMESPACE, CLUSTER);

let manifest = "";

async function untilSize(members: number): Promise<void> {
  await until(`${members} members in sync`, 240_000, async () => {
    const { status } = (await readCluster(NAMESPACE, CLUSTER)) ?? {};
    const ready = status?.conditions?.find((condition) => condition.type === "Ready")?.status;
    return ready === "True" && status?.readyMembers === members && status.members?.length === members
      ? true
      : undefined;
  });
}

async function keyClient(): Promise<KeyClient> {
  const secret = ["-n", NAMESPACE, "get", "secret", `${CLUSTER}-credentials`, "-o", "jsonpath={.data.app}"];
  return new KeyClient(
    podAddresses({ namespace: NAMESPACE, selector: `quorate.io/cluster=${CLUSTER}`, port: PORT }),
    Buffer.from(await kubectl(...secret), "base64").toString(),
  );
}

/** Runs `change` under a client that counts. */
async function expectNothingLost(what: string, change: () => Promise<void>): Promise<void> {
  const client = await keyClient();
  client.start();
  await until("the first acknowledged keys", 60_000, () => Promise.resolve(client.acked > 20 ? true : undefined));
  await change();
  const { acked } = client;
  await until("writes to go on", 60_000, () => Promise.resolve(client.acked > acked + 20 ? true : undefined));
  const verdict = await client.finish();
  process.stdout.write(`${what}: ${JSON.stringify(verdict)}\n`);
  expect(verdict).toMatchObject({ lost: 0, stale: 0 });
}

async function operate(purpose: string, spec: object) {
  const name = `${purpose}-${Date.now()}`;
  const metadata = { name, namespace: NAMESPACE };
  const operation = { apiVersion: "quorate.io/v1alpha1", kind: "ClusterOperation", metadata, spec };
  await apply(JSON.stringify({ ...operation, spec: { clusterName: CLUSTER, ...spec } }));
  return until(`operation ${name}`, 240_000, async () => {
    const json = await kubectl("-n", NAMESPACE, "get", "qco", name, "-o", "json");
    const { status } = JSON.parse(json) as { status?: { phase?: string; message?: string } };
    return ["Done", "Refused", "Failed"].includes(status?.phase ?? "") ? status : undefined;
  });
}

beforeAll(async () => {
  await lab("up");
  await installOperator();
  await kubectl("create", "namespace", NAMESPACE).catch(() => undefined);
  const example = await readFile(join(import.meta.dirname, "../../examples/etcd/cluster.yaml"), "utf8");
  manifest = example.replace("namespace: demo", `namespace: ${NAMESPACE}`);
  await apply(manifest.replace("members: 3", "members: 1"));
  await untilSize(1);
});

afterAll(() => removeNamespace(NAMESPACE));

describe("a group under a client that counts", () => {
  test("1 → 3 → 5 → 3 members", () =>
    expectNothingLost("sizes", async () => {
      for (const members of [3, 5, 3]) {
        await kubectl("-n", NAMESPACE, "scale", `clusterspec/${CLUSTER}`, `--replicas=${members}`);
        await untilSize(members);
      }
    }));

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

  test("a roll over all members", () =>
    expectNothingLost("roll", async () => {
      await apply(manifest.replace("members: 3", 'members: 3\n  parameters: {snapshot-count: "20000"}'));
      await until("the roll to be over", 240_000, async () => {
        const { status } = (await readCluster(NAMESPACE, CLUSTER)) ?? {};
        return status?.rollout?.phase === "Complete" ? true : undefined;
      });
      await untilSize(3);
    }));

  test("a defragmentation, one member after the other", () =>
    expectNothingLost("defragment", async () => {
      expect(await operate("defragment", { type: "Defragment" })).toMatchObject({ phase: "Done" });
    }));
});

describe("a majority that is gone for good", () => {
  test("is told; a Recover shows its plan, and goes on from the copy that was consented to", async () => {
    await kubectl("-n", NAMESPACE, "scale", `clusterspec/${CLUSTER}`, "--replicas=3");
    await untilSize(3);
    const { member: kept } = await SUBJECT.leader();
    const lost = [0, 1, 2].map((ordinal) => `${CLUSTER}-${ordinal}`).filter((name) => name !== kept);
    for (const name of lost) {
      await kubectl("-n", NAMESPACE, "delete", "pvc", `${name}-data`, "--wait=false");
      await kubectl("-n", NAMESPACE, "delete", "pod", `${name}-0`, "--force", "--grace-period=0");
    }
    await until("the loss to be told", 120_000, async () => {
      const { status } = (await readCluster(NAMESPACE, CLUSTER)) ?? {};
      return status?.blocked?.some(({ guard }) => guard === "MajorityReachable") === true ? true : undefined;
    });
    const plan = await operate("look", { type: "Recover" });
    expect(plan).toMatchObject({ phase: "Refused" });
    const consent = /"consent":"([^"]+)"/.exec(plan.message ?? "")?.[1];
    expect(consent).toMatch(new RegExp(`^${kept}@[0-9]+$`));
    expect(await operate("recover", { type: "Recover", consent })).toMatchObject({ phase: "Done" });
    await untilSize(3);
    await expectNothingLost("after the recovery", () => Promise.resolve());
  });
});
