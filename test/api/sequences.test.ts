// A slice of the spec sequences: what the schema forbids, of every field; and a drawn part of the rest. What the operator itself refuses is in sequences-long.test.ts.
import { afterEach, expect, test } from "vitest";
import { minimalCluster } from "./crd-cases.ts";
import { admin, eventually, intentOf } from "./operator-world.ts";
import { BASE, ONE_WAY, OTHER_TOPOLOGIES, partedEngine, ROLLING } from "./spec-bases.ts";
import { bugPasses, Coverage, draw, drawing, type Problem, settingsOf, Subject } from "./spec-sequences.ts";
import { type FakeShards, startWhole } from "./spec-shards.ts";
import { leavesOfSpec } from "./spec-values.ts";
import { FakeNodes } from "./spec-world.ts";

const SEED = Number(process.env["SEED"] ?? "1");
const BUDGET_MS = 6_000;

const leaves = leavesOfSpec();
const coverage = new Coverage();
let nodes: FakeNodes | FakeShards | undefined;

async function subjectOf(name: string): Promise<Subject> {
  await admin.create(minimalCluster(BASE, name));
  nodes = new FakeNodes(name);
  nodes.start();
  await eventually(async () => expect((await intentOf(name)).initializedFor).toBeDefined());
  const subject = new Subject(name, { engine: { name: "postgres" }, ...BASE }, coverage);
  await subject.begin();
  return subject;
}

afterEach(async () => {
  await nodes?.stop();
  nodes = undefined;
  console.log(coverage.lines(leaves).join("\n"));
});

test("what the schema forbids is refused by its field; drawn fields go there and back", {
  timeout: 60_000,
}, async () => {
  const subject = await subjectOf("changed");
  const refusals = leaves.map((leaf) => () => subject.refuse(leaf));
  expect(await atOnce(8, refusals)).toEqual([]);
  expect(coverage.missing(leaves, "forbidden value")).toEqual([]);
  const elsewhere = [...ONE_WAY, ...OTHER_TOPOLOGIES, ...ROLLING];
  const here = leaves.filter(({ name }) => !elsewhere.some((one) => name.startsWith(one)));
  const good = here.flatMap((leaf) => settingsOf(leaf).good);
  const problems: Problem[] = [];
  const endMs = Date.now() + BUDGET_MS;
  for (const setting of draw(good, good.length, drawing(SEED))) {
    if (Date.now() > endMs) break;
    problems.push(...(await subject.thereAndBack(setting)));
  }
  expect(problems).toEqual([]);
  expect(await bugPasses()).toBe(0);
});

test("a shard more there and back, alone and in the middle of other changes", { timeout: 120_000 }, async () => {
  await admin.create(partedEngine("parted", 12));
  const { shards, subject } = await startWhole("whole", { sharding: { shards: 2 }, members: 1 }, coverage);
  nodes = shards;
  const among = (name: string) => leaves.filter((leaf) => leaf.name === name);
  const [more] = among("sharding.shards").map((leaf) => ({ leaf, value: 3, patch: { sharding: { shards: 3 } } }));
  const [tuned] = among("parameters{}").flatMap((leaf) => settingsOf(leaf).good);
  if (more === undefined || tuned === undefined) throw new Error("the ClusterSpec has no such fields any more");
  expect(await subject.thereAndBack(more)).toEqual([]);
  expect(await subject.sequence([tuned, more, tuned])).toEqual([]);
  expect(await bugPasses()).toBe(0);
});

/** Does all of it, a few at a time. */
async function atOnce(few: number, work: readonly (() => Promise<Problem[]>)[]): Promise<Problem[]> {
  const left = [...work];
  const problems: Problem[] = [];
  const lane = async () => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) problems.push(...(await next()));
  };
  await Promise.all(Array.from({ length: few }, lane));
  return problems;
}
