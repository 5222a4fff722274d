/**
 * NetworkPolicies with somebody who enforces them: they let through what clusters, their clients, Prometheus and the API server need,
 * also while leaders change, and stop what is nobody else's. Every closed port is one that others reach at the same time.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { HEALTH_PORT, INIT_PORT, PEER_PORT } from "../../src/api/names.ts";
import { removeNamespace } from "../../hack/scenario/example.ts";
import { type Fault, inject } from "../../hack/scenario/faults.ts";
import { CHART, helm, installOperator, removeOperator } from "../../hack/scenario/install.ts";
import { KeyClient } from "../../hack/scenario/key-client.ts";
import { apply, kubectl, lab } from "../../hack/scenario/lab.ts";
import { podAddresses } from "../../hack/scenario/pod-addresses.ts";
import { type PodName, reach, type Reach } from "../../hack/scenario/reach.ts";
import { until } from "../../hack/scenario/shell.ts";
import { podsBySelector, quorateSubject, readCluster } from "../../hack/scenario/subject.ts";
import { WriterRun } from "../../hack/scenario/writer-run.ts";

const SYSTEM = "quorate-system";
const NAMESPACE = "walled";
const OUTSIDE = "outside";
const METRICS_PORT = 8080;
const WEBHOOK_PORT = 9443;
const SERVER_PORT = 8000;
/** A rule is in force on every node so long after its object has changed. */
const ENFORCED_MS = 30_000;

const STRANGER: PodName = { namespace: OUTSIDE, pod: "stranger" };
const SCRAPER: PodName = { namespace: OUTSIDE, pod: "scraper" };
const NEIGHBOUR: PodName = { namespace: NAMESPACE, pod: "neighbour" };
const AGENTS = [PEER_PORT, INIT_PORT];

/** A pod that listens, and from which connections are tried. */
async function runPod({ namespace, pod }: PodName): Promise<void> {
  const script = `require("node:net").createServer((socket) => socket.end()).listen(${SERVER_PORT}, "0.0.0.0")`;
  await apply(
    JSON.stringify({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: pod, namespace, labels: { app: pod } },
      spec: {
        terminationGracePeriodSeconds: 0,
        automountServiceAccountToken: false,
        containers: [
          { name: "node", image: "localhost/client:1", imagePullPolicy: "IfNotPresent", args: ["-e", script] },
        ],
      },
    }),
  );
  await kubectl("-n", namespace, "wait", "--for=condition=Ready", `pod/${pod}`, "--timeout=60s");
}

async function addressOf({ namespace, pod }: PodName): Promise<string> {
  return kubectl("-n", namespace, "get", "pod", pod, "-o", "jsonpath={.status.podIP}");
}

/** What a pod reaches of another, by port. */
async function reachPorts(
  from: PodName,
  to: PodName,
  ports: readonly number[],
): Promise<Readonly<Record<number, Reach>>> {
  const host = await addressOf(to);
  const found = await reach(
    from,
    ports.map((port) => `${host}:${port}`),
  );
  return Object.fromEntries(ports.map((port) => [port, found[`${host}:${port}`] ?? "no answer"]));
}

const isOpen = (found: Readonly<Record<number, Reach>>): boolean =>
  Object.values(found).every((one) => one === "connected");
const isClosed = (found: Readonly<Record<number, Reach>>): boolean =>
  Object.values(found).every((one) => one !== "connected");

/** Waits until a pod reaches all of these ports of another one, or none of them. */
async function expectPorts(
  from: PodName,
  to: PodName,
  ports: readonly number[],
  are: "open" | "closed",
): Promise<void> {
  let found: Readonly<Record<number, Reach>> = {};
  await until(`ports ${ports.join(", ")} of ${to.pod} to be ${are} to ${from.pod}`, ENFORCED_MS, async () => {
    found = await reachPorts(from, to, ports);
    return (are === "open" ? isOpen : isClosed)(found) ? true : undefined;
  }).catch((error: Error) => {
    throw new Error(`${error.message}: ${JSON.stringify(found)}`);
  });
}

async function members(cluster: string): Promise<PodName[]> {
  const pods = await podsBySelector(NAMESPACE, `quorate.io/cluster=${cluster}`);
  return pods.map(({ pod }) => ({ namespace: NAMESPACE, pod }));
}

/** Two members, the first of which leads where one does. */
async function twoMembers(cluster: string): Promise<readonly [PodName, PodName]> {
  const [leader] = await podsBySelector(NAMESPACE, `quorate.io/cluster=${cluster},quorate.io/role=leader`);
  const all = await members(cluster);
  const first = all.find(({ pod }) => pod === leader?.pod) ?? all[0];
  const second = all.find(({ pod }) => pod !== first?.pod);
  if (first === undefined || second === undefined) throw new Error(`${cluster} has no two members`);
  return [first, second];
}

async function example(path: string): Promise<string> {
  const text = await readFile(join(import.meta.dirname, "../../examples", path), "utf8");
  return text.replace("namespace: demo", `namespace: ${NAMESPACE}`);
}

async function untilReady(cluster: string): Promise<void> {
  await until(`${cluster} to be ready`, 400_000, async () => {
    const { spec, status } = (await readCluster(NAMESPACE, cluster)) ?? {};
    const ready = status?.conditions?.find(({ type }) => type === "Ready")?.status;
    const isWhole = status?.readyRatio === `${spec?.sharding?.shards}/${spec?.sharding?.shards}`;
    return ready === "True" && (status?.readyMembers === spec?.members || isWhole) ? true : undefined;
  });
}

beforeAll(async () => {
  await lab("up");
  await lab("policies", "on");
  for (const namespace of [NAMESPACE, OUTSIDE]) await kubectl("create", "namespace", namespace).catch(() => undefined);
  for (const pod of [STRANGER, SCRAPER, NEIGHBOUR]) await runPod(pod);
});

afterAll(async () => {
  await removeNamespace(NAMESPACE);
  await removeNamespace(OUTSIDE);
  await removeOperator();
  await lab("policies", "off");
  await installOperator(); // as the other tests expect it
});

test("policies are enforced here: one that allows nothing closes a pod, and its end opens it again", async () => {
  await expectPorts(SCRAPER, STRANGER, [SERVER_PORT], "open");
  const policy = { name: "nothing", namespace: OUTSIDE };
  await apply(
    JSON.stringify({
      apiVersion: "networking.k8s.io/v1",
      kind: "NetworkPolicy",
      metadata: policy,
      spec: { podSelector: { matchLabels: { app: STRANGER.pod } }, policyTypes: ["Ingress"] },
    }),
  );
  await expectPorts(SCRAPER, STRANGER, [SERVER_PORT], "closed");
  await expectPorts(STRANGER, SCRAPER, [SERVER_PORT], "open");
  await kubectl("-n", OUTSIDE, "delete", "networkpolicy", policy.name);
  await expectPorts(SCRAPER, STRANGER, [SERVER_PORT], "open");
});

describe("the operator of the chart, with metrics for one reader", () => {
  let operator: PodName;

  beforeAll(async () => {
    await removeOperator();
    const from = "networkPolicy.from[0]";
    const sets = [
      "image.tag=dev",
      "agentImage.tag=dev",
      "webhook.enabled=true",
      `${from}.namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name=${OUTSIDE}`,
      `${from}.podSelector.matchLabels.app=${SCRAPER.pod}`,
    ];
    const values = sets.flatMap((set) => ["--set", set]);
    await helm("install", "quorate", CHART, "--create-namespace", ...values, "--wait", "--timeout", "5m");
    const [pod] = await podsBySelector(SYSTEM, "app.kubernetes.io/component=operator");
    operator = { namespace: SYSTEM, pod: pod?.pod ?? "" };
  });

  test("is read by that one and by nobody else", async () => {
    await expectPorts(SCRAPER, operator, [METRICS_PORT], "open");
    await expectPorts(STRANGER, operator, [METRICS_PORT], "closed");
  });

  test("passes `helm test` all the same", async () => {
    expect(await helm("test", "quorate")).toMatch(/Phase: +Succeeded/);
  });

  test("is asked by the API server before a ClusterSpec is stored", async () => {
    const wrong = (await example("postgres/cluster.yaml")).replace('version: "15"', 'version: "99"');
    // Everything passes while the webhook does not answer.
    const refused = await until("the webhook to refuse", ENFORCED_MS, () =>
      apply(wrong).then(
        async () => void (await kubectl("-n", NAMESPACE, "delete", "qcs", "--all")),
        (error: Error) => error.message,
      ),
    );
    expect(refused).toContain("spec.engine.version: Engine postgres has no version 99");
    expect(await reachPorts(SCRAPER, operator, [WEBHOOK_PORT])).toEqual({ [WEBHOOK_PORT]: "connected" });
  });
});

/** What each kind of cluster has to show. */
interface Kind {
  readonly cluster: string;
  readonly example: string;
  readonly clients: readonly number[];
  /** Those at which its engines listen to each other all the time. */
  readonly among: readonly number[];
}

const POSTGRES: Kind = { cluster: "orders", example: "postgres/cluster.yaml", clients: [5432], among: [] };
const ETCD: Kind = { cluster: "settings", example: "etcd/cluster.yaml", clients: [2379], among: [2380] };
const RABBITMQ: Kind = { cluster: "events", example: "broker/cluster.yaml", clients: [5671, 5672], among: [25_672] };
/** Copies go by 4568 and 4569, at which nobody listens in between: without them no second member would be ready. */
const GALERA: Kind = { cluster: "shop", example: "galera/cluster.yaml", clients: [3306], among: [4567] };

/** Members reach everything of each other; others the metrics, and the ports for clients if they are allowed to. */
async function expectWalls({ cluster, clients, among }: Kind, allowed = [STRANGER, NEIGHBOUR]): Promise<void> {
  const [leader, follower] = await twoMembers(cluster);
  for (const from of [STRANGER, NEIGHBOUR]) {
    await expectPorts(from, leader, clients, allowed.includes(from) ? "open" : "closed");
    await expectPorts(from, leader, [HEALTH_PORT], "open");
    await expectPorts(from, leader, [...AGENTS, ...among], "closed");
  }
  const all = [...clients, HEALTH_PORT, ...AGENTS, ...among];
  await expectPorts(follower, leader, all, "open");
  await expectPorts(leader, follower, all, "open");
}

/** The API server reads a member's metrics on behalf of the command line, and the operator for itself. */
async function expectMetricsRead({ cluster }: Kind): Promise<void> {
  for (const { pod } of await members(cluster)) {
    const path = `/api/v1/namespaces/${NAMESPACE}/pods/${pod}:${HEALTH_PORT}/proxy/metrics`;
    expect(await kubectl("get", "--raw", path)).toContain("quorate_");
  }
  const [operator] = await podsBySelector(SYSTEM, "app.kubernetes.io/component=operator");
  const [leader] = await twoMembers(cluster);
  const from = { namespace: SYSTEM, pod: operator?.pod ?? "" };
  await expectPorts(from, leader, [HEALTH_PORT], "open");
  await expectPorts(from, leader, AGENTS, "closed");
}

const FAULTS: readonly Fault[] = ["pod-delete", "switchover"];

describe("PostgreSQL", () => {
  const subject = quorateSubject(NAMESPACE, POSTGRES.cluster);
  const epoch = async (): Promise<number | undefined> =>
    (await readCluster(NAMESPACE, POSTGRES.cluster))?.status?.epoch;

  test("becomes ready, and who is no member reaches what clients need and nothing else", async () => {
    await apply(await example(POSTGRES.example));
    await untilReady(POSTGRES.cluster);
    await expectWalls(POSTGRES);
    await expectMetricsRead(POSTGRES);
  });

  test("with a list of clients, others do not reach the engine any more", async () => {
    const from = ["quorate-writer", NEIGHBOUR.pod].map((app) => ({ podSelector: { matchLabels: { app } } }));
    const patch = JSON.stringify({ spec: { services: { from } } });
    await kubectl("-n", NAMESPACE, "patch", "qcs", POSTGRES.cluster, "--type=merge", "-p", patch);
    await expectWalls(POSTGRES, [NEIGHBOUR]);
  });

  test.each(FAULTS)(
    "%s: nothing that was acknowledged is lost, and new pods are as walled as the former",
    async (fault) => {
      const writer = new WriterRun({ ...subject.writer, name: `writer-${fault}`, seconds: 0 });
      await writer.start();
      const before = (await epoch()) ?? 0;
      await inject(fault, subject);
      await until("another leader", 60_000, async () => (((await epoch()) ?? 0) > before ? true : undefined));
      await subject.untilHealthy(180_000);
      const { acked = 0 } = writer.lastTick ?? {};
      await until("writes to go on", 60_000, async () =>
        (writer.lastTick?.acked ?? 0) > acked + 20 ? true : undefined,
      );
      const verdict = await writer.finish();
      process.stdout.write(`${fault}: largest write gap ${verdict.largestGapMs} ms, ${verdict.acked} acknowledged\n`);
      expect({ lost: verdict.lost, unexpected: verdict.unexpected }).toEqual({ lost: 0, unexpected: 0 });
      await expectWalls(POSTGRES, [NEIGHBOUR]);
    },
  );

  test("a follower that comes back with an address that no rule knows yet takes nobody for dead", async () => {
    const before = await epoch();
    const [, follower] = await twoMembers(POSTGRES.cluster);
    await kubectl("-n", NAMESPACE, "delete", "pod", follower.pod);
    await subject.untilHealthy(180_000);
    expect(await epoch()).toBe(before);
  });

  test("the ports are closed by the policy: they are open to everybody without it, and the operator brings it back", async () => {
    const [leader] = await twoMembers(POSTGRES.cluster);
    await lab("operator", "stop");
    await kubectl("-n", NAMESPACE, "delete", "networkpolicy", POSTGRES.cluster);
    await expectPorts(STRANGER, leader, AGENTS, "open");
    await lab("operator", "start");
    await expectPorts(STRANGER, leader, AGENTS, "closed");
  });
});

describe("etcd", () => {
  const subject = quorateSubject(NAMESPACE, ETCD.cluster);

  test("becomes ready, and its group is closed to others", async () => {
    await apply(await example(ETCD.example));
    await untilReady(ETCD.cluster);
    await expectWalls(ETCD);
    await expectMetricsRead(ETCD);
  });

  test("members of another cluster in the same namespace are strangers", async () => {
    const [other] = await members(POSTGRES.cluster);
    const [leader] = await twoMembers(ETCD.cluster);
    await expectPorts(other ?? STRANGER, leader, ETCD.clients, "open");
    await expectPorts(other ?? STRANGER, leader, [...AGENTS, ...ETCD.among], "closed");
  });

  test.each(FAULTS)("%s: nothing that was acknowledged is lost", async (fault) => {
    const secret = ["get", "secret", `${ETCD.cluster}-credentials`, "-o", "jsonpath={.data.app}"];
    const password = Buffer.from(await kubectl("-n", NAMESPACE, ...secret), "base64").toString();
    const pods = { namespace: NAMESPACE, selector: `quorate.io/cluster=${ETCD.cluster}`, port: 2379 };
    const client = new KeyClient(podAddresses(pods), password);
    client.start();
    await until("the first acknowledged keys", 60_000, async () => (client.acked > 20 ? true : undefined));
    await inject(fault, subject);
    await untilReady(ETCD.cluster);
    const { acked } = client;
    await until("writes to go on", 60_000, async () => (client.acked > acked + 20 ? true : undefined));
    const verdict = await client.finish();
    process.stdout.write(`etcd, ${fault}: ${JSON.stringify(verdict)}\n`);
    expect(verdict).toMatchObject({ lost: 0, stale: 0 });
    await expectWalls(ETCD);
  });
});

describe.each([RABBITMQ, GALERA])("$cluster", (kind) => {
  afterAll(() => kubectl("-n", NAMESPACE, "delete", "qcs", kind.cluster, "--timeout=120s"));

  test("forms, takes a member back that lost its volume, and is closed to others", async () => {
    await apply(await example(kind.example));
    await untilReady(kind.cluster);
    await expectWalls(kind);
    const [, member] = await twoMembers(kind.cluster);
    await kubectl("-n", NAMESPACE, "delete", "pvc", `${member.pod.replace(/-0$/, "")}-data`, "--wait=false");
    await kubectl("-n", NAMESPACE, "delete", "pod", member.pod);
    await until(`${member.pod} to be missed`, 60_000, async () =>
      (await readCluster(NAMESPACE, kind.cluster))?.status?.readyMembers === 3 ? undefined : true,
    );
    await untilReady(kind.cluster);
    await expectWalls(kind);
  });
});

describe("shards", () => {
  test("move keys between each other, and are closed to others and to each other's agents", async () => {
    const small = (await example("redis/sharded.yaml"))
      .replace("members: 3", "members: 2")
      .replace("shards: 3, batchSlots: 64, slotsPerSecond: 32", "shards: 2, batchSlots: 512, slotsPerSecond: 512");
    const from = { from: [{ podSelector: { matchLabels: { app: NEIGHBOUR.pod } } }] };
    await apply(`${small}\n  services: ${JSON.stringify(from)}\n`);
    await untilReady("cache");
    const [[first], [second]] = [await twoMembers("cache-s0"), await twoMembers("cache-s1")];
    const [clients, bus] = [[6379, 6380], [16_379]];
    await expectPorts(NEIGHBOUR, first, clients, "open");
    await expectPorts(NEIGHBOUR, first, [...AGENTS, ...bus], "closed");
    await expectPorts(STRANGER, first, [...clients, ...AGENTS, ...bus], "closed");
    await expectPorts(second, first, [...clients, ...bus], "open");
    await expectPorts(second, first, AGENTS, "closed");
    await kubectl("-n", NAMESPACE, "patch", "qcs", "cache", "--type=merge", "-p", '{"spec":{"sharding":{"shards":3}}}');
    await until("the third shard", 120_000, async () => readCluster(NAMESPACE, "cache-s2"));
    await untilReady("cache");
  });
});
