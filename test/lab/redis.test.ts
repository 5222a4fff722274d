/** Redis under the operator: planned changes lose nothing; unplanned ones nothing of what followers have confirmed to the client. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { removeNamespace } from "../../hack/scenario/example.ts";
import { inject } from "../../hack/scenario/faults.ts";
import { installOperator } from "../../hack/scenario/install.ts";
import { apply, kubectl, lab } from "../../hack/scenario/lab.ts";
import { RedisClient } from "../../hack/scenario/redis-client.ts";
import type { RedisAddress } from "../../hack/scenario/redis-connection.ts";
import { pause, until } from "../../hack/scenario/shell.ts";
import { quorateSubject, readCluster } from "../../hack/scenario/subject.ts";

const NAMESPACE = "caches";
const CLUSTER = "sessions";
const PORT = 6379;
const SUBJECT = quorateSubject(NAMESPACE, CLUSTER);
/** A leader must have stayed a while, or the failover budget rightly holds the next one back. */
const CALM_MS = 15_000;

let manifest = "";

async function untilReady(): Promise<void> {
  await until("three members in sync", 240_000, async () => {
    const { status } = (await readCluster(NAMESPACE, CLUSTER)) ?? {};
    const ready = status?.conditions?.find((condition) => condition.type === "Ready")?.status;
    return ready === "True" && status?.readyMembers === 3 ? true : undefined;
  });
}

async function route(): Promise<RedisAddress | undefined> {
  const address = "jsonpath={.endpoints[0].addresses[0]}";
  const host = await kubectl("-n", NAMESPACE, "get", "endpointslice", `${CLUSTER}-rw`, "-o", address);
  return host === "" ? undefined : { host, port: PORT };
}

/** What applications are given to connect with. */
async function given(key: string): Promise<string> {
  const path = `jsonpath={.data.${key.replaceAll(".", "\\.")}}`;
  const text = await kubectl("-n", NAMESPACE, "get", "secret", `${CLUSTER}-app`, "-o", path);
  return Buffer.from(text, "base64").toString();
}

/** For a client that believes the cluster's authority alone, and wants the Service's name in the certificate. */
async function tlsRoute(): Promise<RedisAddress | undefined> {
  const found = await route();
  if (found === undefined) return undefined;
  const tls = { ca: await given("ca.crt"), servername: `${CLUSTER}-rw.${NAMESPACE}.svc` };
  return { ...found, port: Number(await given("tls-port")), tls };
}

/** Runs `change` under a client that waits for so many followers. */
async function expectNothingLost(
  what: string,
  followers: number,
  change: () => Promise<void>,
  where = route,
): Promise<void> {
  const client = new RedisClient(where, await given("password"), followers);
  client.start();
  await until("the first acknowledged keys", 60_000, () => Promise.resolve(client.acked > 20 ? true : undefined));
  await change();
  const { acked } = client;
  await until("writes to go on", 60_000, () => Promise.resolve(client.acked > acked + 20 ? true : undefined));
  const verdict = await client.finish();
  process.stdout.write(`${what}: ${JSON.stringify(verdict)}\n`);
  expect(verdict.lost).toBe(0);
  await pause(CALM_MS);
}

beforeAll(async () => {
  await lab("up");
  await installOperator();
  await kubectl("create", "namespace", NAMESPACE).catch(() => undefined);
  const example = await readFile(join(import.meta.dirname, "../../examples/redis/cluster.yaml"), "utf8");
  manifest = example.replace("namespace: demo", `namespace: ${NAMESPACE}`);
});

afterAll(() => removeNamespace(NAMESPACE));

describe("redis under a client that counts", () => {
  test("a mode that it cannot keep is held back, with the field and the fix", async () => {
    await apply(manifest.replace("mode: Async", "mode: Quorum"));
    const message = await until("the guard", 60_000, async () => {
      const { status } = (await readCluster(NAMESPACE, CLUSTER)) ?? {};
      return status?.blocked?.find(({ guard }) => guard === "DurabilitySupported")?.message;
    });
    expect(message).toContain("Set spec.durability.mode to one of Async");
    await apply(manifest);
    await untilReady();
  });

  test("switchover, by a client that waits for nobody", () =>
    expectNothingLost("switchover", 0, async () => {
      const { heal } = await inject("switchover", SUBJECT);
      await heal();
      await untilReady();
    }));

  test("switchover, by a client that insists on TLS and waits for both followers, which copy by nothing else", () =>
    expectNothingLost(
      "switchover with TLS",
      2,
      async () => {
        const { heal } = await inject("switchover", SUBJECT);
        await heal();
        await untilReady();
        const { pod } = await SUBJECT.leader();
        const command = [
          "redis-cli",
          "-s",
          "/run/redis.sock",
          "--user",
          "quorate",
          "client",
          "list",
          "type",
          "replica",
        ];
        const script = `REDISCLI_AUTH=$(cat /quorate-credentials/quorate) ${command.join(" ")}`;
        const text = await kubectl("-n", NAMESPACE, "exec", pod, "-c", "engine", "--", "bash", "-c", script);
        expect([...text.matchAll(/ laddr=\S*:(\d+) /g)].map(([, port]) => port)).toEqual(["6380", "6380"]);
      },
      tlsRoute,
    ));

  test.each(["engine-kill", "container-kill", "pod-delete"] as const)(
    "%s, by a client that waits for one follower",
    (fault) =>
      expectNothingLost(fault, 1, async () => {
        const { heal } = await inject(fault, SUBJECT);
        await heal();
        await untilReady();
      }),
  );

  test("a node that is cut off for a while", () =>
    expectNothingLost("node-cut", 1, async () => {
      const { heal } = await inject("node-cut", SUBJECT);
      await pause(10_000);
      await heal();
      await untilReady();
    }));

  test("a roll over all members", () =>
    expectNothingLost("roll", 0, async () => {
      await apply(manifest.replace("cpu: 100m", "cpu: 110m"));
      await until("the roll to be over", 240_000, async () => {
        const { status } = (await readCluster(NAMESPACE, CLUSTER)) ?? {};
        return status?.rollout?.phase === "Complete" ? true : undefined;
      });
      await untilReady();
    }));
});
