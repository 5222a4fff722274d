// All spec sequences: every field there and back, values of which nobody knows, drawn sequences, and what cannot be set back.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { apiStatusOf } from "../../src/kube/api-error.ts";
import type { KubeObject } from "../../src/kube/object.ts";
import { minimalCluster } from "./crd-cases.ts";
import { admin, clusterRef, eventually, intentOf, statusOf } from "./operator-world.ts";
import { BASE, FLEET_BASE, ONE_WAY, OTHER_TOPOLOGIES } from "./spec-bases.ts";
import { FakeFleet } from "./spec-fleet.ts";
import { bugPasses, changesOf, Coverage, draw, drawing, type Problem, settingsOf, Subject } from "./spec-sequences.ts";
import { leavesOfSpec, type Setting } from "./spec-values.ts";
import { childrenOf, differences, FakeNodes, patchSpec, replaceSpec, restOf } from "./spec-world.ts";
import { statelessEngine } from "./stateless-cases.ts";

const SEED = Number(process.env["SEED"] ?? "1");
const SEQUENCES = Number(process.env["SEQUENCES"] ?? "12");
const ONLY = process.env["FIELD"] ?? "";
const HOUR_MS = 3_600_000;
/** Hashes are of an object with its cluster's name and uid in it. */
const HASH_OF_ONE = /"quorate\.io\/(?:applied|template)-hash"/;

const all = leavesOfSpec();
const coverage = new Coverage();
const nodes: (FakeNodes | FakeFleet)[] = [];
const begins = (list: readonly string[]) => (leaf: { readonly name: string }) =>
  list.some((one) => leaf.name.startsWith(one));
const leaves = all.filter((leaf) => !begins([...ONE_WAY, ...OTHER_TOPOLOGIES])(leaf) && leaf.name.startsWith(ONLY));
const ofFleets = all.filter(begins(["autoscaling.", "serving."])).filter(({ name }) => name.startsWith(ONLY));

async function subjectOf(name: string): Promise<Subject> {
  await admin.create(minimalCluster(BASE, name));
  const kept = new FakeNodes(name);
  nodes.push(kept);
  kept.start();
  await eventually(async () => expect((await intentOf(name)).initializedFor).toBeDefined());
  const subject = new Subject(name, { engine: { name: "postgres" }, ...BASE }, coverage);
  await subject.begin();
  return subject;
}

beforeAll(async () => {
  // Pods are refused that name a class which is not there.
  const metadata = { name: "chosen-class" };
  await admin.create({ apiVersion: "scheduling.k8s.io/v1", kind: "PriorityClass", metadata, value: 1 } as KubeObject);
  await admin.create(statelessEngine({ versions: [{ version: "1", image: "tiny:1" }] }));
});

afterEach(async () => {
  const ends = nodes.splice(0).map((one) => one.stop());
  await Promise.all(ends);
  if ((await bugPasses()) > 0)
    throw new Error("the operator's own metrics count a pass that ended by a mistake of its own");
});

afterAll(() => {
  console.log([...coverage.lines([...leaves, ...ofFleets]), `cannot be set back: ${ONE_WAY.join(" ")}`].join("\n"));
});

test("every field of topology ActivePassive, there and back", { timeout: HOUR_MS }, async () => {
  const subject = await subjectOf("every");
  const problems: Problem[] = [];
  for (const setting of leaves.flatMap((leaf) => settingsOf(leaf).good))
    problems.push(...(await subject.thereAndBack(setting)));
  expect(problems).toEqual([]);
  expect(coverage.missing(leaves, "good value, and back")).toEqual([]);
});

test("every field of topology Stateless, there and back", { timeout: HOUR_MS }, async () => {
  await admin.create(minimalCluster(FLEET_BASE, "fleet"));
  const fleet = new FakeFleet("fleet");
  nodes.push(fleet);
  fleet.start();
  const subject = new Subject("fleet", FLEET_BASE, coverage);
  await subject.begin();
  const problems: Problem[] = [];
  for (const setting of ofFleets.flatMap((leaf) => settingsOf(leaf).good))
    problems.push(...(await subject.thereAndBack(setting)));
  expect(problems).toEqual([]);
  expect(coverage.missing(ofFleets, "good value, and back")).toEqual([]);
});

test("values of which the schema does not know: refused in words, and the base works again", {
  timeout: HOUR_MS,
}, async () => {
  const subject = await subjectOf("doubtful");
  const problems: Problem[] = [];
  for (const setting of leaves.flatMap((leaf) => settingsOf(leaf).doubtful))
    problems.push(...(await subject.doubt(setting)));
  expect(problems).toEqual([]);
});

test("drawn sequences, the next change in the middle of the last: afterwards all is as if nothing had been", {
  timeout: HOUR_MS,
}, async () => {
  const subject = await subjectOf("drawn");
  const random = drawing(SEED);
  // A canary is judged for minutes whenever something that replaces pods is drawn with it.
  const good = leaves.filter(({ name }) => !name.startsWith("update.canary")).flatMap((leaf) => settingsOf(leaf).good);
  const problems: { readonly sequence: readonly string[]; readonly problem: Problem }[] = [];
  for (let at = 0; at < SEQUENCES; at += 1) {
    const settings = draw(good, 2 + Math.floor(random() * 4), random);
    const found = await subject.sequence(settings);
    problems.push(...found.map((problem) => ({ sequence: settings.map(shown), problem })));
  }
  expect(problems).toEqual([]);
});

test("a cluster that came to a spec by many ways is as one that was made with it", { timeout: HOUR_MS }, async () => {
  const spec = {
    engine: { name: "postgres" },
    ...BASE,
    failover: { profile: "Fast" },
    parameters: { work_mem: "8MB" },
    accounts: [{ name: "shop" }],
    services: { read: { type: "NodePort" } },
    pods: { labels: { "example.com/tier": "data" } },
  };
  const way = await subjectOf("by-many-ways");
  for (const setting of draw(
    leaves.flatMap((leaf) => settingsOf(leaf).good),
    6,
    drawing(SEED + 1),
  ))
    await way.sequence([setting]);
  await replaceSpec(way.cluster, spec);
  expect((await restOf(way.cluster)).isWell).toBe(true);
  await admin.create(minimalCluster(spec, "at-once"));
  const fresh = new FakeNodes("at-once");
  nodes.push(fresh);
  fresh.start();
  await eventually(async () => expect((await intentOf("at-once")).initializedFor).toBeDefined());
  expect((await restOf("at-once")).isWell).toBe(true);
  const found = changesOf(await childrenOf("at-once"), await childrenOf(way.cluster));
  expect(found.filter((line) => !HASH_OF_ONE.test(line))).toEqual([]);
});

/** What the API server takes and the operator refuses: the guard, and the field that its message names. */
const REFUSED: readonly (readonly [why: string, spec: object, guard: string, field: string])[] = [
  ["a version that the Engine does not have", { engine: { version: "9" } }, "VersionKnown", "version"],
  ["a parameter that the Engine fixes", { parameters: { port: "1" } }, "ParametersAllowed", "port"],
  ["an account of the Engine's own", { accounts: [{ name: "postgres" }] }, "AccountsSupported", "postgres"],
  [
    "a window that never opens",
    { maintenanceWindows: [{ name: "never", cron: "0 3 30 2 *", durationMinutes: 30 }] },
    "WindowsValid",
    "cron",
  ],
  [
    "a time zone that is none",
    { maintenanceWindows: [{ name: "mars", cron: "0 3 * * *", timeZone: "Mars/Olympus", durationMinutes: 30 }] },
    "WindowsValid",
    "timeZone",
  ],
];

describe("what the operator refuses", () => {
  test.each(REFUSED)(
    "%s is named, changes nothing, and a good spec works afterwards",
    { timeout: 120_000 },
    async (_why, spec, guard, field) => {
      const name = `refused-${guard.toLowerCase()}-${field.toLowerCase()}`.slice(0, 40);
      const subject = await subjectOf(name);
      const before = await childrenOf(name);
      await patchSpec(name, spec);
      const { isWell, status } = await restOf(name);
      expect(isWell).toBe(false);
      const said = JSON.stringify([status.conditions, status.blocked]);
      expect(said).toContain(guard);
      expect(said).toContain(field);
      expect(differences(before, await childrenOf(name)).filter((line) => line.includes("StatefulSet"))).toEqual([]);
      await replaceSpec(name, subject.base);
      expect((await restOf(name)).isWell).toBe(true);
      expect(differences(before, await childrenOf(name))).toEqual([]);
    },
  );
});

describe("what cannot be set back", () => {
  test.each([
    ["topology", { topology: "Consensus" }],
    ["engine.name", { engine: { name: "tiny" } }],
    ["storage.data.className", { storage: { data: { className: "other" } } }],
    ["storage.data.size", { storage: { data: { size: "1Gi" } } }],
  ])("%s: the API server says no", { timeout: 120_000 }, async (field, spec) => {
    const name = `fixed-${field.toLowerCase().replaceAll(".", "-")}`.slice(0, 40);
    const subject = await subjectOf(name);
    const said = await admin.mergePatch(clusterRef(name), { spec }).then(
      () => undefined,
      (error: unknown) => apiStatusOf(error)?.message,
    );
    expect(said).toContain(`spec.${field}`);
    await subject.begin(); // and it is as well as before
  });

  test("a volume that cannot grow is named with its field, and the rest goes on", { timeout: 120_000 }, async () => {
    await subjectOf("grown");
    await patchSpec("grown", { storage: { data: { size: "20Gi" } } });
    await eventually(async () =>
      expect((await statusOf("grown")).blocked?.map(({ guard }) => guard)).toContain("VolumeExpandable"),
    );
    await patchSpec("grown", { parameters: { work_mem: "8MB" } });
    await eventually(async () => {
      const children = await childrenOf("grown");
      expect([...children.values()].some((text) => text.includes("8MB"))).toBe(true);
    });
  });
});

function shown({ leaf, value }: Setting): string {
  return `${leaf.name}=${JSON.stringify(value)}`;
}
