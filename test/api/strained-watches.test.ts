// The operator behind a server whose watches stutter, are late, break in the middle of an event, or begin where it was long ago, and whose
// answers get lost, while clusters roll and grow. What it comes to is what an operator comes to with whom nothing goes wrong.
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { LABEL_CLUSTER, nameOf } from "../../src/api/names.ts";
import { KubeClient } from "../../src/kube/client.ts";
import { listAll } from "../../src/kube/list.ts";
import { minimalCluster } from "./crd-cases.ts";
import {
  admin,
  eventually,
  intentOf,
  logged,
  NAMESPACE,
  plane,
  startOperator,
  statusOf,
  withoutOperator,
} from "./operator-world.ts";
import { OPERATOR_ACCOUNT } from "./rights.ts";
import { BASE } from "./spec-bases.ts";
import { bugPasses } from "./spec-sequences.ts";
import { childrenOf, differences, FakeNodes, patchSpec, restOf } from "./spec-world.ts";
import { type Strain, StrainedServer } from "./strained-server.ts";

/** Each lasts from before the roll until some time into the growth. */
const ROLL_MS = 5_000;
const GROWTH_MS = 3_000;
const ROLLED = { resources: { requests: { memory: "1Gi", cpu: "110m" } } };
const GROWN = { members: 4 };
/** Hashes are of what has the cluster's name in it. */
const HASHES = /"quorate\.io\/(applied|template)-hash"/;

let server: StrainedServer;
let clients: KubeClient[] = [];
let nodes: FakeNodes[] = [];
/** What two changes lead to when nothing goes wrong. */
let calm: ReadonlyMap<string, string>;

/** An operator that asks the strained server, in place of the present one. */
async function anotherOperator(): Promise<void> {
  await withoutOperator();
  const [ca, token] = await Promise.all([
    plane.pem("ca.crt"),
    plane.accountToken(OPERATOR_ACCOUNT.namespace, OPERATOR_ACCOUNT.name),
  ]);
  const credentials = () => Promise.resolve({ ca, token });
  const api = new KubeClient({ server: server.url, namespace: NAMESPACE, credentials });
  clients.push(api);
  await startOperator("quorate/agent:test", { api });
}

async function startCluster(name: string): Promise<void> {
  await admin.create(minimalCluster(BASE, name));
  const running = new FakeNodes(name);
  nodes.push(running);
  running.start();
  await eventually(async () => expect((await intentOf(name)).initializedFor).toBeDefined());
  expect(await restOf(name)).toMatchObject({ isWell: true });
}

type KindOf = readonly [apiVersion: string, kind: string];
/** What keeps data or says who runs: it must never be made anew. */
const KEPT: readonly KindOf[] = [
  ["apps/v1", "StatefulSet"],
  ["v1", "PersistentVolumeClaim"],
  ["v1", "Secret"],
];

/** The uids of a cluster's objects, by kind and name. */
async function uidsOf(cluster: string, kinds: readonly KindOf[]): Promise<ReadonlyMap<string, string>> {
  const labelSelector = `${LABEL_CLUSTER}=${cluster}`;
  const lists = await Promise.all(
    kinds.map(([apiVersion, kind]) => listAll(admin, { apiVersion, kind, namespace: NAMESPACE, labelSelector })),
  );
  const all = lists.flatMap(({ items }) => items);
  return new Map(all.map(({ kind, metadata }) => [`${kind} ${metadata.name}`, metadata.uid]));
}

beforeAll(async () => {
  server = await StrainedServer.start(plane);
});
beforeEach(anotherOperator);
afterEach(async () => {
  await withoutOperator();
  server.suffer({ kind: "None" });
  await Promise.all(nodes.map((one) => one.stop()));
  for (const client of clients) client.close();
  clients = [];
  nodes = [];
});
afterAll(() => server?.stop());

test("nothing goes wrong", async () => {
  await startCluster("calm");
  await patchSpec("calm", ROLLED);
  await restOf("calm");
  await patchSpec("calm", GROWN);
  await restOf("calm");
  calm = await childrenOf("calm");
  expect([...calm.keys()].filter((key) => key.startsWith("StatefulSet"))).toHaveLength(4);
});

/** The version that the API server is at. */
async function presentVersion(): Promise<string> {
  const list = await admin.list({ apiVersion: "v1", kind: "Pod", namespace: NAMESPACE }, { limit: 1 });
  return list.resourceVersion;
}

/** What differs from the calm cluster, beside lines like these. */
function differencesBut(lines: RegExp, children: ReadonlyMap<string, string>): string[] {
  return differences(calm, children).filter((line) => !lines.test(line));
}

interface Case {
  readonly name: string;
  readonly strain: (version: string) => Strain;
  /** Whether another operator starts under it, which knows nothing better. */
  readonly restarts?: boolean;
}

const CASES: readonly Case[] = [
  { name: "unanswered", strain: () => ({ kind: "Unanswered", oneIn: 4 }) },
  { name: "held", strain: () => ({ kind: "Held" }) },
  { name: "torn", strain: () => ({ kind: "Torn", afterMs: 400 }) },
  { name: "doubled", strain: () => ({ kind: "Doubled" }) },
  { name: "behind", strain: (version) => ({ kind: "Behind", version }), restarts: true },
];

test.each(CASES)(
  "$name: it ends as when nothing goes wrong, and nothing that was there is made anew",
  async ({ name, strain, restarts = false }) => {
    await startCluster(name);
    const kept = await uidsOf(name, KEPT);
    const version = await presentVersion();

    await patchSpec(name, ROLLED);
    await sleep(restarts ? 1_000 : 0); // so that the past has the roll half done
    server.suffer(strain(version));
    if (restarts) await anotherOperator();
    else server.cut();
    await sleep(ROLL_MS);
    await patchSpec(name, GROWN);
    await sleep(GROWTH_MS);
    server.suffer({ kind: "None" });
    server.cut();

    expect(await restOf(name)).toMatchObject({ isWell: true });
    expect(differencesBut(HASHES, await childrenOf(name))).toEqual([]);
    const now = await uidsOf(name, KEPT);
    expect([...kept].filter(([key, uid]) => now.get(key) !== uid)).toEqual([]);
    expect(now.has(`StatefulSet ${nameOf.member(name, 3)}`)).toBe(true);
    expect(await bugPasses()).toBe(0);
    expect(logged.filter((line) => line.includes('"level":"fatal"'))).toEqual([]);
  },
);

test("a server that goes back while the operator knows better: nothing is deleted until the present is certain", async () => {
  await startCluster("back");
  const pods = (): Promise<ReadonlyMap<string, string>> => uidsOf("back", [["v1", "Pod"]]);
  const version = await presentVersion();
  await patchSpec("back", ROLLED);
  await eventually(async () => expect((await statusOf("back")).rollout?.updated).toEqual(["back-2"]));

  server.suffer({ kind: "Behind", version });
  server.cut();
  await eventually(async () =>
    expect((await statusOf("back")).blocked).toContainEqual(expect.objectContaining({ guard: "StateConfirmed" })),
  );
  const before = await pods();
  server.suffer({ kind: "None" });
  server.cut();
  await sleep(ROLL_MS);
  expect(await pods()).toEqual(before);

  await anotherOperator(); // the same comes of it that comes by itself after five minutes
  expect(await restOf("back")).toMatchObject({ isWell: true, status: { rollout: { phase: "Complete" } } });
});
