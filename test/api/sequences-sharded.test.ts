// Spec sequences of topology Sharded: its fields there and back, alone and in the middle of others, while slots move between the shards.
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { nameOf } from "../../src/api/names.ts";
import { apiStatusOf } from "../../src/kube/api-error.ts";
import type { KubeObject } from "../../src/kube/object.ts";
import { minimalCluster } from "./crd-cases.ts";
import { admin, clusterRef, eventually, intentOf, read, ref, statusOf } from "./operator-world.ts";
import { BASE, ONE_WAY, partedEngine, SHARDED_BASE } from "./spec-bases.ts";
import { bugPasses, changesOf, Coverage, draw, drawing, type Problem, settingsOf, Subject } from "./spec-sequences.ts";
import { type FakeShards, startWhole } from "./spec-shards.ts";
import { type Leaf, leavesOfSpec, type Setting } from "./spec-values.ts";
import { childrenOf, FakeNodes, replaceSpec, restOf } from "./spec-world.ts";

const SEED = Number(process.env["SEED"] ?? "1");
const SEQUENCES = Number(process.env["SEQUENCES"] ?? "12");
const ONLY = process.env["FIELD"] ?? "";
const HOUR_MS = 3_600_000;
const SLOTS = 12;
/** Within it shards are being made, rolled, or emptied. */
const PAUSE_MS = 2_000;
/** What topology Sharded does not have, or has in another way than each of its shards. */
const NOT_OF_WHOLES = ["autoscaling.", "serving.", "services.readWrite", "services.readOnly"];
/** Hashes are of an object with its cluster's uid in it, and a shard that comes back has another one. */
const HASH_OF_ONE = /"quorate\.io\/(?:applied|template)-hash"/;

const all = leavesOfSpec().filter(({ name }) => name.startsWith(ONLY));
const coverage = new Coverage();
const played: (FakeNodes | FakeShards)[] = [];
const begins = (list: readonly string[]) => (leaf: { readonly name: string }) =>
  list.some((one) => leaf.name.startsWith(one));
const here = all.filter((leaf) => !begins([...ONE_WAY, ...NOT_OF_WHOLES])(leaf));
const ofShards = here.filter(begins(["sharding."]));
const ofBoth = here.filter((leaf) => !begins(["sharding."])(leaf));
const ofRules = here.filter(begins(["accounts[].rules"]));
const written = all.filter(begins(["shard."]));

async function wholeOf(name: string, spec: object = {}): Promise<Subject> {
  const { shards, subject } = await startWhole(name, spec, coverage);
  played.push(shards);
  return subject;
}

beforeAll(async () => {
  const metadata = { name: "chosen-class" };
  await admin.create({ apiVersion: "scheduling.k8s.io/v1", kind: "PriorityClass", metadata, value: 1 } as KubeObject);
  await admin.create(partedEngine("parted", SLOTS));
  await admin.create(partedEngine("narrow", 2));
  await admin.create(partedEngine("open", SLOTS, false));
});

afterEach(async () => {
  await Promise.all(played.splice(0).map((one) => one.stop()));
  if ((await bugPasses()) > 0)
    throw new Error("the operator's own metrics count a pass that ended by a mistake of its own");
});

afterAll(() => {
  console.log([...coverage.lines([...here, ...written]), `cannot be set back: ${ONE_WAY.join(" ")}`].join("\n"));
});

test("every field of topology Sharded, there and back", { timeout: HOUR_MS }, async () => {
  const subject = await wholeOf("every");
  const problems: Problem[] = [];
  for (const setting of ofShards.flatMap((leaf) => settingsOf(leaf).good))
    problems.push(...(await subject.thereAndBack(setting)));
  expect(problems).toEqual([]);
  expect(coverage.missing(ofShards, "good value, and back")).toEqual([]);
});

test("every other field, on a whole that hands it on to its shard, there and back", { timeout: HOUR_MS }, async () => {
  const subject = await wholeOf("handed-on", { sharding: { shards: 1 } });
  const problems: Problem[] = [];
  for (const setting of ofBoth.flatMap((leaf) => settingsOf(leaf).good))
    problems.push(...(await subject.thereAndBack(setting)));
  expect(problems).toEqual([]);
  expect(coverage.missing(ofBoth, "good value, and back")).toEqual([]);
});

test("more shards than there are slots, and back", { timeout: HOUR_MS }, async () => {
  const subject = await wholeOf("narrow", { engine: { name: "narrow" }, sharding: { shards: 2 } });
  const problems: Problem[] = [];
  for (const setting of ofShards.flatMap((leaf) => settingsOf(leaf).doubtful))
    problems.push(...(await subject.doubt(setting)));
  expect(problems).toEqual([]);
});

test("rules of accounts, of an Engine that takes rules, there and back; one that it does not know is told by its words", {
  timeout: HOUR_MS,
}, async () => {
  const base = { ...BASE, engine: { name: "parted" } };
  await admin.create(minimalCluster(base, "ruled"));
  const nodes = new FakeNodes("ruled");
  played.push(nodes);
  nodes.start();
  await eventually(async () => expect((await intentOf("ruled")).initializedFor).toBeDefined());
  const subject = new Subject("ruled", base, coverage);
  await subject.begin();
  const problems: Problem[] = [];
  for (const { good, doubtful } of ofRules.map(settingsOf)) {
    for (const setting of good) problems.push(...(await subject.thereAndBack(setting)));
    for (const setting of doubtful) problems.push(...(await subject.doubt(setting)));
  }
  expect(problems).toEqual([]);
});

test("drawn sequences, in which shards come and go in the middle of other changes: afterwards all is as if nothing had been", {
  timeout: HOUR_MS,
}, async () => {
  const subject = await wholeOf("drawn");
  const random = drawing(SEED);
  const problems: { readonly sequence: readonly string[]; readonly problem: Problem }[] = [];
  for (let at = 0; at < SEQUENCES; at += 1) {
    const settings = drawMixed(random);
    const found = await subject.sequence(settings, () => random() * PAUSE_MS);
    problems.push(...found.map((problem) => ({ sequence: settings.map(shown), problem })));
  }
  expect(problems).toEqual([]);
});

test("shards that speak TLS: their number there and back, alone and in the middle of other changes", {
  timeout: HOUR_MS,
}, async () => {
  const subject = await wholeOf("sealed", { sharding: { shards: 2, tls: true } });
  const random = drawing(SEED + 1);
  const problems: Problem[] = [];
  for (const setting of ofShards.flatMap((leaf) => settingsOf(leaf).good))
    problems.push(...(await subject.thereAndBack(setting)));
  for (let at = 0; at < SEQUENCES / 4; at += 1)
    problems.push(...(await subject.sequence(drawMixed(random), () => random() * PAUSE_MS)));
  expect(problems).toEqual([]);
});

test("all shards but one go and come back: afterwards all but hashes is as before", { timeout: HOUR_MS }, async () => {
  const { base } = await wholeOf("shrunk");
  const before = await childrenOf("shrunk");
  await replaceSpec("shrunk", { ...base, sharding: { shards: 1 } });
  expect((await restOf("shrunk")).isWell).toBe(true);
  await eventually(async () => expect((await childrenOf("shrunk")).has("ClusterSpec NAME-s1")).toBe(false));
  await replaceSpec("shrunk", base);
  expect((await restOf("shrunk")).isWell).toBe(true);
  await eventually(async () => {
    const found = changesOf(before, await childrenOf("shrunk"));
    expect(found.filter((line) => !HASH_OF_ONE.test(line))).toEqual([]);
  });
});

test("a shard that comes back where volumes were kept waits for them to be deleted, and says so", {
  timeout: HOUR_MS,
}, async () => {
  const { base } = await wholeOf("kept", {
    ...{ sharding: { shards: 2 }, deletionProtection: true, volumeRetention: {}, members: 1 },
  });
  const more = { ...base, sharding: { shards: 3 } };
  for (const spec of [more, base]) {
    await replaceSpec("kept", spec);
    expect((await restOf("kept")).isWell).toBe(true);
  }
  await eventually(async () => expect(await admin.get(clusterRef("kept-s2"))).toBeUndefined());
  const volume = nameOf.volume(nameOf.member("kept-s2", 0));
  const claim = await read("v1", "PersistentVolumeClaim", volume);
  await replaceSpec("kept", more);
  const { isWell, said } = await restOf("kept");
  expect(isWell).toBe(false);
  expect(said).toContain("VolumesFresh");
  expect(said).toContain(volume);
  expect((await read("v1", "PersistentVolumeClaim", volume)).metadata.uid).toBe(claim.metadata.uid);
  await admin.delete(ref("v1", "PersistentVolumeClaim", volume));
  await eventually(async () =>
    expect(await statusOf("kept")).toMatchObject({ readyRatio: "3/3", resharding: { left: 0 } }),
  );
  await replaceSpec("kept", base);
  expect((await restOf("kept")).isWell).toBe(true);
});

test("whether shards speak TLS cannot be changed, and nothing is different after it was tried", {
  timeout: HOUR_MS,
}, async () => {
  const subject = await wholeOf("plain", { sharding: { shards: 2 }, members: 1 });
  expect(await refusalOf("plain", { sharding: { tls: true } })).toContain("spec.sharding");
  await subject.begin();
});

test.each([
  ["TLS of an Engine that has no port for it", { engine: { name: "open" }, sharding: { tls: true } }, "sharding.tls"],
  ["shards of an Engine that cannot be parted", { engine: { name: "postgres" }, sharding: {} }, "topology"],
])("%s: nothing is made, and the field is named", { timeout: 120_000 }, async (_what, spec, field) => {
  const name = `refused-${field.replace(".", "-")}`;
  await admin.create(minimalCluster({ ...SHARDED_BASE, ...spec }, name));
  const { isWell, said } = await restOf(name);
  expect(isWell).toBe(false);
  expect(said).toContain(`spec.${field}`);
  expect([...(await childrenOf(name)).keys()].filter((key) => key.startsWith("ClusterSpec"))).toEqual([]);
});

test("what the operator alone writes of a shard: refused by its field, or changed back", {
  timeout: HOUR_MS,
}, async () => {
  await wholeOf("owned", { members: 1 });
  await admin.create(minimalCluster({ ...BASE, engine: { name: "parted" } }, "alone"));
  const before = await childrenOf("owned");
  const request = { action: "Move", slots: "0-1", to: "owned-s1", askedAt: "2030-01-01T00:00:00Z" };
  const settings = written.flatMap((leaf) => settingsOf(leaf).good);
  for (const { leaf } of settings) coverage.note(leaf, "set by somebody else");
  for (const spec of [...settings.map(({ patch }) => patch), { shard: { request } }]) {
    for (const name of ["owned", "alone"]) expect(await refusalOf(name, spec)).toContain("spec.shard");
    const said = await refusalOf("owned-s0", spec);
    if (said !== undefined) expect(said).toContain("spec.shard");
    await eventually(async () => expect(changesOf(before, await childrenOf("owned"))).toEqual([]));
    expect((await restOf("owned")).isWell).toBe(true);
  }
  expect(coverage.missing(written, "set by somebody else")).toEqual([]);
});

/** One or two fields of Sharded, and one to three others, in any order. */
function drawMixed(random: () => number): readonly Setting[] {
  const good = (leaves: readonly Leaf[]) => leaves.flatMap((leaf) => settingsOf(leaf).good);
  // A canary is judged for minutes whenever something that replaces pods is drawn with it.
  const others = good(ofBoth.filter(({ name }) => !name.startsWith("update.canary")));
  const drawn = [
    ...draw(good(ofShards), 1 + Math.floor(random() * 2), random),
    ...draw(others, 1 + Math.floor(random() * 3), random),
  ];
  return draw(drawn, drawn.length, random);
}

/** What the API server says against a change; undefined when it takes it. */
async function refusalOf(name: string, spec: object): Promise<string | undefined> {
  return admin.mergePatch(clusterRef(name), { spec }).then(
    () => undefined,
    (error: unknown) => apiStatusOf(error)?.message,
  );
}

function shown({ leaf, value }: Setting): string {
  return `${leaf.name}=${JSON.stringify(value)}`;
}
