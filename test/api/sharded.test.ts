// Topology Sharded against a real API server. There are no agents: tests say what leaders of shards would.
import { X509Certificate } from "node:crypto";
import { beforeAll, expect, test } from "vitest";
import type { ShardStatus } from "../../src/api/cluster-status.ts";
import { API_VERSION, LABEL_SHARD_OF, nameOf } from "../../src/api/names.ts";
import { minimalCluster, minimalEngine } from "./crd-cases.ts";
import {
  admin,
  type Any,
  atRest,
  clusterRef,
  eventually,
  intentOf,
  plane,
  read,
  ref,
  runMember,
  statusOf,
  writes,
} from "./operator-world.ts";

const SLOTS = 16;

beforeAll(async () => {
  const accounts = [
    { name: "admin" },
    {
      name: "app",
      connection: { type: "tiny", uri: "tiny://$(username):$(password)@$(host)", tlsUri: "tinys://$(host)" },
    },
  ];
  const topologies = ["ActivePassive", "Sharded"];
  await admin.create(
    minimalEngine({
      ...{ topologies, slots: SLOTS, memberPort: 4321, accounts, durabilityModes: ["Async"] },
      ...{ clientTls: true, tlsPort: 4322 },
    }),
  );
});

/** What the members of a shard come to, at once; its leader says that it owns `slots`. */
async function serve(shard: string, slots: string, rest: Partial<ShardStatus> = {}): Promise<void> {
  for (const ordinal of [0, 1, 2]) {
    const member = nameOf.member(shard, ordinal);
    await eventually(() => read("apps/v1", "StatefulSet", member));
    const said = { slots, moving: "", movingTo: "", ...rest };
    await runMember(member, ordinal === 0 ? { role: "leader", shard: said } : {});
  }
}

async function requestOf(shard: string): Promise<unknown> {
  return (await intentOf(shard)).shard?.request;
}

async function running(name: string, shards: number, slots: readonly string[]): Promise<void> {
  const sharding = { shards, batchSlots: 8, slotsPerSecond: 4096 };
  const spec = { engine: { name: "tiny" }, topology: "Sharded", durability: { mode: "Async" }, sharding };
  await admin.create(minimalCluster(spec, name));
  for (const [index, owned] of slots.entries()) await serve(nameOf.shard(name, index), owned);
  await eventually(async () => expect(await statusOf(name)).toMatchObject({ readyRatio: `${shards}/${shards}` }));
  await atRest();
}

test("slots that nobody owns are given away, by requests to the leaders in their epoch", async () => {
  const sharding = { shards: 2 };
  const spec = { engine: { name: "tiny" }, topology: "Sharded", durability: { mode: "Async" }, sharding };
  await admin.create(minimalCluster(spec, "fresh"));
  await serve("fresh-s0", "");
  await serve("fresh-s1", "");
  await eventually(async () => {
    const asked = { action: "assignSlots", slots: "0-7", member: "fresh-s0-0", epoch: 1 };
    expect(await requestOf("fresh-s0")).toMatchObject(asked);
  });
  const change = "fresh-s0 takes 8 slots that nobody owns";
  await eventually(async () => expect(await statusOf("fresh")).toMatchObject({ change }));
  await serve("fresh-s0", "0-7");
  await eventually(async () => expect(await requestOf("fresh-s1")).toMatchObject({ slots: "8-15" }));
  await serve("fresh-s1", "8-15");
  await eventually(async () => {
    const { conditions = [], shards } = await statusOf("fresh");
    expect(conditions.find(({ type }) => type === "Ready")).toMatchObject({ status: "True" });
    expect(shards).toMatchObject([
      { name: "fresh-s0", slots: "0-7" },
      { slots: "8-15", leader: "fresh-s1-0" },
    ]);
    expect(await requestOf("fresh-s1")).toBeUndefined();
  });
});

test("a whole that is at rest writes nothing, and says in a line how its shards are", async () => {
  await running("calm", 2, ["0-7", "8-15"]);
  const before = writes().length;
  await admin.mergePatch(clusterRef("calm"), { metadata: { labels: { looked: "again" } } });
  await atRest();
  expect(writes().slice(before)).toEqual([]);
  expect(await plane.kubectl("get", "qcs", "calm")).toMatch(/calm\s+Sharded\s+tiny\s+2\/2/);
});

test("members of all shards share passwords, one Service, and the port of their engines", async () => {
  await running("joint", 2, ["0-7", "8-15"]);
  const { spec } = await read("apps/v1", "StatefulSet", "joint-s1-0");
  expect(JSON.stringify(spec)).toContain(`"secretName":"joint-credentials"`);
  expect(await admin.get(ref("v1", "Secret", "joint-s1-credentials"))).toBeUndefined();
  const connection = await read("v1", "Secret", "joint-app");
  expect(Buffer.from(connection.data?.["host"] ?? "", "base64").toString()).toBe("joint-r.default.svc");
  expect((await read("v1", "Service", "joint-r")).spec).toMatchObject({ selector: { [LABEL_SHARD_OF]: "joint" } });
  const policy = JSON.stringify((await read("networking.k8s.io/v1", "NetworkPolicy", "joint-s0")).spec);
  expect(policy).toContain(`{"matchLabels":{"${LABEL_SHARD_OF}":"joint"}}`);
  const { shard } = await intentOf("joint-s0");
  expect(shard?.peers.map(({ name }) => name)).toEqual(
    ["joint-s0", "joint-s1"].flatMap((one) => [0, 1, 2].map((ordinal) => nameOf.member(one, ordinal))),
  );
  expect(shard?.peers[5]).toMatchObject({ host: "joint-s1-2-0.joint-s1-members.default.svc", memberPort: 4321 });
});

test("shards that speak TLS mount one certificate, which has the names of all, and clients get its authority", async () => {
  const sharding = { shards: 2, tls: true };
  const spec = { engine: { name: "tiny" }, topology: "Sharded", durability: { mode: "Async" }, sharding };
  await admin.create(minimalCluster(spec, "sealed"));
  for (const shard of ["sealed-s0", "sealed-s1"]) await serve(shard, "");
  const { spec: pods } = await read("apps/v1", "StatefulSet", "sealed-s1-0");
  expect(JSON.stringify(pods)).toContain(`"secretName":"sealed-peer"`);
  expect(await admin.get(ref("v1", "Secret", "sealed-s1-peer"))).toBeUndefined();
  const text = async (secret: string, key: string) =>
    Buffer.from((await read("v1", "Secret", secret)).data?.[key] ?? "", "base64").toString();
  const certificate = new X509Certificate(await text("sealed-peer", "tls.crt"));
  for (const host of ["sealed-r.default.svc", "sealed-s0-0-0.sealed-s0-members.default.svc"])
    expect(certificate.checkHost(host)).toBeDefined();
  expect(certificate.checkHost("sealed-s2-0-0.sealed-s2-members.default.svc")).toBeUndefined();
  await eventually(async () => expect(await text("sealed-app", "tls-port")).toBe("4322"));
  const authority = await text("sealed-app", "ca.crt");
  expect(certificate.verify(new X509Certificate(authority).publicKey)).toBe(true);
  expect((await intentOf("sealed-s0")).shard?.peers[0]).toMatchObject({ port: 4322 });

  await admin.mergePatch(clusterRef("sealed"), { spec: { sharding: { shards: 3 } } });
  await eventually(async () => {
    const renewed = new X509Certificate(await text("sealed-peer", "tls.crt"));
    expect(renewed.checkHost("sealed-s2-0-0.sealed-s2-members.default.svc")).toBeDefined();
  });
  await eventually(async () => expect(await admin.get(clusterRef("sealed-s2"))).toBeDefined());
});

test.each([
  ["a field", "scaled", { members: 5 }],
  ["a parameter more", "tuned", { parameters: { level: "9" } }],
  ["a label more", "labelled", { pods: { labels: { "example.com/tier": "data" } } }],
  ["another shard", "strange", { shard: { shards: ["s0", "s1", "s2"] } }],
  ["TLS with others", "ciphered", { shard: { tls: true } }],
  [
    "a request",
    "asked",
    { shard: { request: { action: "Move", slots: "8-9", to: "s0", askedAt: "2030-01-01T00:00:00Z" } } },
  ],
])("%s that somebody gives a shard is taken back", async (_what, name, spec) => {
  await running(name, 2, ["0-7", "8-15"]);
  const before = (await read(API_VERSION, "ClusterSpec", `${name}-s1`)).spec;
  await admin.mergePatch(clusterRef(`${name}-s1`), { spec });
  await eventually(async () => expect((await read(API_VERSION, "ClusterSpec", `${name}-s1`)).spec).toEqual(before));
});

test("a shard more takes slots over, and one less gives them back and goes", async () => {
  await running("moved", 2, ["0-7", "8-15"]);
  await admin.mergePatch(clusterRef("moved"), { spec: { sharding: { shards: 3 } } });
  await serve("moved-s2", "");
  const asked = { action: "moveSlots", slots: "13-15", target: "moved-s2", targetHost: "moved-s2-rw.default.svc" };
  await eventually(async () => expect(await requestOf("moved-s1")).toMatchObject(asked));
  // On its way: the giver has let go, the taker has it, and nobody has said that it is over.
  await serve("moved-s1", "8-12", { moving: "13-15", movingTo: "moved-s2" });
  await serve("moved-s2", "13-15");
  await eventually(async () => expect((await statusOf("moved")).resharding).toMatchObject({ batch: "13-15" }));
  expect(await requestOf("moved-s0")).toBeUndefined();
  await serve("moved-s1", "8-12");
  await eventually(async () => expect(await requestOf("moved-s0")).toMatchObject({ slots: "6-7" }));
  await serve("moved-s0", "0-5");
  await serve("moved-s2", "6-7,13-15");
  await eventually(async () => expect((await statusOf("moved")).resharding).toMatchObject({ left: 0 }));

  await admin.mergePatch(clusterRef("moved"), { spec: { sharding: { shards: 2 } } });
  await eventually(async () => expect(await requestOf("moved-s2")).toMatchObject({ action: "moveSlots" }));
  expect(await admin.get<Any>(clusterRef("moved-s2"))).toBeDefined();
  await serve("moved-s0", "0-7");
  await serve("moved-s1", "8-15");
  await serve("moved-s2", "");
  await eventually(async () => expect(await admin.get(clusterRef("moved-s2"))).toBeUndefined());
  await eventually(async () => expect((await intentOf("moved-s0")).shard?.peers).toHaveLength(6));
});
