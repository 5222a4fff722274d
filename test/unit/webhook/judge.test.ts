// What is said of a ClusterSpec before it is stored: every refusal with its field, and none for what was wrong already.
import { describe, expect, test } from "vitest";
import { ClusterSpec } from "../../../src/api/cluster-spec.ts";
import type { EngineSpec } from "../../../src/api/engine.ts";
import { judgeProposal, type Proposal } from "../../../src/webhook/judge.ts";
import { engine } from "../plan/fixture.ts";

const { applicationConnection: _, ...withoutUsers } = engine;
const asyncOnly: EngineSpec = { ...engine, durabilityModes: ["Async"] };
const oneWay: EngineSpec = {
  ...engine,
  versions: [
    { version: "1", image: "example/engine:1", irreversibleFrom: [] },
    { version: "2", image: "example/engine:2", irreversibleFrom: ["1"] },
  ],
};

/** A ClusterSpec that makes none of the twenty mistakes, but for what `spec` says. */
function proposal(spec: object = {}, beside: EngineSpec | undefined = engine): Proposal {
  const careful = {
    engine: { name: "example" },
    failover: { profile: "Standard" },
    slo: { dataPlane: { availabilityPercent: "99.9" } },
    update: { strategy: "Canary" },
  };
  const cluster = ClusterSpec.parse({
    apiVersion: "quorate.io/v1alpha1",
    kind: "ClusterSpec",
    metadata: { name: "orders", namespace: "shop" },
    spec: { ...careful, ...spec },
  });
  return { cluster, engine: beside };
}

const window = (name: string, timeZone: string) => ({ name, cron: "0 3 * * *", timeZone, durationMinutes: 60 });
const account = (name: string) => ({ name, databases: [name] });

describe("refuses what the Engine cannot run", () => {
  test.each<{ readonly spec: object; readonly beside?: EngineSpec; readonly field: string; readonly says: string }>([
    { spec: { engine: { name: "example", version: "9" } }, field: "spec.engine.version", says: "has no version 9" },
    { spec: { topology: "Consensus" }, field: "spec.topology", says: "cannot form the topology Consensus" },
    { spec: { parameters: { port: "1" } }, field: "spec.parameters", says: "quorate sets port itself" },
    { spec: {}, beside: asyncOnly, field: "spec.durability.mode", says: "cannot keep durability Quorum" },
    { spec: { accounts: [account("app")] }, beside: withoutUsers, field: "spec.accounts", says: "has no accounts" },
    {
      spec: { maintenanceWindows: [window("night", "Mars/North")] },
      field: "spec.maintenanceWindows",
      says: "(night).timeZone Mars/North is not known",
    },
  ])("$field", ({ spec, beside, field, says }) => {
    expect(judgeProposal(proposal(spec, beside), undefined).refusal).toEqual({
      field,
      message: expect.stringContaining(says),
    });
  });

  test("an Engine that is not there", () => {
    const { cluster } = proposal();
    const judged = judgeProposal({ cluster, engine: undefined }, undefined);
    expect(judged.refusal).toEqual({
      field: "spec.engine.name",
      message: expect.stringContaining("no Engine example"),
    });
  });

  test("and nothing else", () => {
    expect(judgeProposal(proposal(), undefined)).toEqual({ warnings: [] });
  });
});

describe("what was wrong already", () => {
  const badVersion = { engine: { name: "example", version: "9" } };
  test.each<{ readonly why: string; readonly before: object; readonly after: object }>([
    { why: "stays while something else changes", before: badVersion, after: { ...badVersion, members: 5 } },
    {
      why: "may be mended one by one, though the rest was hidden behind it",
      before: { ...badVersion, parameters: { port: "1" } },
      after: { parameters: { port: "1" } },
    },
    {
      why: "may be mended in part",
      before: { maintenanceWindows: [window("a", "Mars/North"), window("b", "Mars/South")] },
      after: { maintenanceWindows: [window("b", "Mars/South")] },
    },
  ])("$why", ({ before, after }) => {
    expect(judgeProposal(proposal(after), proposal(before)).refusal).toBeUndefined();
  });

  test("may be mended in part: one of two parameters", () => {
    const beside = { ...engine, parameters: { ...engine.parameters, fixed: ["port", "host"] } };
    const before = proposal({ parameters: { port: "1", host: "a" } }, beside);
    expect(judgeProposal(proposal({ parameters: { host: "a" } }, beside), before).refusal).toBeUndefined();
  });

  test.each<{ readonly why: string; readonly before: object; readonly after: object; readonly says: string }>([
    {
      why: "another wrong value",
      before: badVersion,
      after: { engine: { name: "example", version: "8" } },
      says: "has no version 8",
    },
    {
      why: "a second thing that is wrong",
      before: badVersion,
      after: { ...badVersion, parameters: { port: "1" } },
      says: "quorate sets port itself",
    },
  ])("excuses nothing new: $why", ({ before, after, says }) => {
    expect(judgeProposal(proposal(after), proposal(before)).refusal?.message).toContain(says);
  });
});

describe("warns", () => {
  const fast = { failover: { profile: "Fast" } };
  const LEASE = "A lease so short that clocks and API servers break it: profile Fast gives up an unreachable";
  test.each<{
    readonly why: string;
    readonly before?: object;
    readonly after: object;
    readonly says: readonly string[];
  }>([
    { why: "of a mistake, with the fix", after: fast, says: [LEASE] },
    { why: "not again when something else changes", before: fast, after: { ...fast, members: 5 }, says: [] },
    { why: "of the one mistake that is new", before: { members: 2 }, after: { ...fast, members: 2 }, says: [LEASE] },
    { why: "not of a mistake that is mended", before: fast, after: {}, says: [] },
  ])("$why", ({ before, after, says }) => {
    const { warnings, refusal } = judgeProposal(proposal(after), before && proposal(before));
    expect(refusal).toBeUndefined();
    expect(warnings).toEqual(says.map((text) => expect.stringContaining(text)));
  });

  const at = (version: string) => ({ engine: { name: "example", version } });
  test.each<{ readonly from: string; readonly to: string; readonly warns: boolean }>([
    { from: "1", to: "2", warns: true },
    { from: "2", to: "2", warns: false },
    { from: "2", to: "1", warns: false },
  ])("of an update that cannot be taken back: $from to $to: $warns", ({ from, to, warns }) => {
    const { warnings } = judgeProposal(proposal(at(to), oneWay), proposal(at(from), oneWay));
    const says = "spec.engine.version 2: members cannot go back to 1 once it led";
    expect(warnings).toEqual(warns ? [expect.stringContaining(says)] : []);
  });

  test("nobody of members that keep nothing", () => {
    const beside: EngineSpec = { ...engine, topologies: ["Stateless"] };
    expect(judgeProposal(proposal({ topology: "Stateless" }, beside), undefined)).toEqual({ warnings: [] });
  });
});

describe("an update that the Engine has no path for", () => {
  const stairs: EngineSpec = {
    ...engine,
    versions: [
      { version: "3", image: "example/engine:3", irreversibleFrom: [], upgradesFrom: ["2"] },
      { version: "2", image: "example/engine:2", irreversibleFrom: [], upgradesFrom: ["1"] },
      { version: "1", image: "example/engine:1", irreversibleFrom: [], upgradesFrom: [] },
    ],
  };
  const rollout = { revision: "h1", phase: "Complete", updated: ["orders-0"] };
  const settled = { observedGeneration: 4, rollout };
  const ready = {
    type: "Ready",
    status: "True",
    reason: "Ready",
    message: "It is.",
    lastTransitionTime: "2030-01-01T00:00:00Z",
  };

  function stored(version: string, status: object = settled, spec: object = {}): Proposal {
    const { cluster } = proposal({ ...spec, engine: { name: "example", version } });
    const metadata = { ...cluster.metadata, generation: 4 };
    return { cluster: ClusterSpec.parse({ ...cluster, metadata, status }), engine: stairs };
  }
  const next = (version: string, spec: object = {}) =>
    proposal({ ...spec, engine: { name: "example", version } }, stairs);

  test.each([
    { from: "1", to: "3", says: "Set spec.engine.version to 2, then to 3." },
    { from: "2", to: "1", says: "Set spec.engine.version back to 2" },
    { from: "3", to: "2", says: "Set spec.engine.version back to 3" },
  ])("is refused: $from to $to", ({ from, to, says }) => {
    expect(judgeProposal(next(to), stored(from)).refusal).toEqual({
      field: "spec.engine.version",
      message: expect.stringContaining(says),
    });
  });

  test.each([
    { why: "by one version", from: "1", to: "2", status: settled },
    { why: "not at all", from: "3", to: "3", status: settled },
    // Members may be at the earlier version still: that is how a change is taken back.
    {
      why: "while it is rolled",
      from: "2",
      to: "1",
      status: { ...settled, rollout: { ...rollout, phase: "Progressing" } },
    },
    {
      why: "before the operator has seen the last change",
      from: "2",
      to: "1",
      status: { ...settled, observedGeneration: 3 },
    },
    { why: "before it has said anything", from: "2", to: "1", status: {} },
  ])("is not where it is done $why", ({ from, to, status }) => {
    expect(judgeProposal(next(to), stored(from, status)).refusal).toBeUndefined();
  });

  test("is nothing to a new cluster, nor to another engine", () => {
    expect(judgeProposal(next("3"), undefined).refusal).toBeUndefined();
    const other = proposal({ engine: { name: "other", version: "3" } }, stairs);
    expect(judgeProposal(other, stored("1")).refusal).toBeUndefined();
  });

  test("goes by what the Engine was before when that names the version which is left out", () => {
    const { cluster } = stored("1");
    const unnamed = ClusterSpec.parse({ ...cluster, spec: { ...cluster.spec, engine: { name: "example" } } });
    const before = {
      cluster: unnamed,
      engine: { ...stairs, versions: stairs.versions.filter(({ version }) => version === "1") },
    };
    expect(judgeProposal(next("3"), before).refusal?.field).toBe("spec.engine.version");
    expect(judgeProposal(next("2"), before).refusal).toBeUndefined();
  });

  test("of a sharded cluster is judged by the whole, when all of it is Ready, and left to the planner for its shards", () => {
    const sharding = { topology: "Sharded", sharding: { shards: 3 } };
    const sharded = { ...stairs, topologies: ["ActivePassive" as const, "Sharded" as const], slots: 16_384 };
    const judge = (status: object, spec: object) => {
      const before = { ...stored("1", status, spec), engine: sharded };
      return judgeProposal({ ...next("3", spec), engine: sharded }, before).refusal?.field;
    };
    expect(judge({ observedGeneration: 4, conditions: [ready] }, sharding)).toBe("spec.engine.version");
    expect(judge({ observedGeneration: 4, conditions: [{ ...ready, status: "False" }] }, sharding)).toBeUndefined();
    const shard = { of: "orders", shards: ["orders-s0"] };
    expect(judge(settled, { shard })).toBeUndefined();
    expect(judge(settled, {})).toBe("spec.engine.version");
  });
});
