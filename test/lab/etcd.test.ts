/** A real group of etcd under the operator: it grows and shrinks, loses members, rolls, restarts, and loses its majority for good. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type ConnectionOptions } from "node:tls";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { removeNamespace } from "../../hack/scenario/example.ts";
import { inject } from "../../hack/scenario/faults.ts";
import { installOperator } from "../../hack/scenario/install.ts";
import { KeyClient } from "../../hack/scenario/key-client.ts";
import { apply, kubectl, lab } from "../../hack/scenario/lab.ts";
import { podAddresses } from "../../hack/scenario/pod-addresses.ts";
import { until } from "../../hack/scenario/shell.ts";
import { quorateSubject, readCluster } from "../../hack/scenario/subject.ts";
import { binary } from "../api/harness.ts";

const NAMESPACE = "groups";
const CLUSTER = "settings";
const PORT = 2379;
const SUBJECT = quorateSubject(NAMESPACE, CLUSTER);
const run = promisify(execFile);

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

interface SecretText {
  readonly data: Readonly<Record<string, string>>;
}

/** What an application has mounted, in a folder of this host. */
async function mountConnection(account: string): Promise<string> {
  const text = await kubectl("-n", NAMESPACE, "get", "secret", `${CLUSTER}-${account}`, "-o", "json");
  const folder = await mkdtemp(join(tmpdir(), "quorate-binding-"));
  for (const [file, base64] of Object.entries((JSON.parse(text) as SecretText).data)) {
    await writeFile(join(folder, file), Buffer.from(base64, "base64"));
  }
  return folder;
}

/** Whether the server at this address is one of the cluster's, by name, to a client that shows its certificate. */
async function isServedTls(folder: string, address: string): Promise<boolean> {
  const [host = "", port = ""] = address.split(":");
  const [ca, cert, key] = await Promise.all(
    ["ca.crt", "tls.crt", "tls.key"].map((file) => readFile(join(folder, file))),
  );
  const servername = `${CLUSTER}-rw.${NAMESPACE}.svc`;
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port: Number(port), servername, ca, cert, key } as ConnectionOptions, () =>
      socket.write("GET /version HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"),
    );
    socket.on("data", (data) => resolve(data.toString().startsWith("HTTP/1.1 200")));
    socket.on("error", reject);
    socket.on("close", () => resolve(false));
  });
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

  test("clients with the certificate of their connection Secret", async () => {
    const folder = await mountConnection("app");
    const members = podAddresses({ namespace: NAMESPACE, selector: `quorate.io/cluster=${CLUSTER}`, port: 2378 });
    for (const address of await members()) {
      expect(await isServedTls(folder, address)).toBe(true);
      // Pods' addresses are in no certificate: the line before looked at the name.
      const own = [`--cert=${join(folder, "tls.crt")}`, `--key=${join(folder, "tls.key")}`];
      const client = [`--endpoints=https://${address}`, "--insecure-skip-tls-verify", "--command-timeout=5s"];
      const { stdout } = await run(binary("etcdctl"), [...client, ...own, "put", "w/by-certificate", address]);
      expect(stdout.trim()).toBe("OK");
      const none = run(binary("etcdctl"), [...client, "--user=app:wrong", "get", "w/by-certificate"]);
      await expect(none).rejects.toThrow(/certificate required|deadline exceeded|broken pipe|reset by peer/);
    }
    await rm(folder, { recursive: true });
  });

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
