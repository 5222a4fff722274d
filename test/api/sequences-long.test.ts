// Specs that the operator refuses, and fields that cannot be set back: each is named, changes nothing, and a good spec works afterwards.
import { afterEach, describe, expect, test } from "vitest";
import { apiStatusOf } from "../../src/kube/api-error.ts";
import { minimalCluster } from "./crd-cases.ts";
import { admin, clusterRef, eventually, intentOf, statusOf } from "./operator-world.ts";
import { BASE } from "./spec-bases.ts";
import { bugPasses, Coverage, Subject } from "./spec-sequences.ts";
import { childrenOf, differences, FakeNodes, patchSpec, replaceSpec, restOf } from "./spec-world.ts";

const coverage = new Coverage();
const nodes: FakeNodes[] = [];

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

afterEach(async () => {
  const ends = nodes.splice(0).map((one) => one.stop());
  await Promise.all(ends);
  if ((await bugPasses()) > 0)
    throw new Error("the operator's own metrics count a pass that ended by a mistake of its own");
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
