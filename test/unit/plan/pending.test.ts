import { describe, expect, test } from "vitest";
import { templateDifferences } from "../../../src/plan/template-difference.ts";
import { engine } from "./fixture.ts";
import { running } from "./running.ts";
import { Simulator } from "./simulator.ts";

/** A cluster whose operator was replaced by another version, and which pods it had before. */
function outgrown(spec: object = {}): { world: Simulator; before: string[] } {
  const world = running(3, spec);
  world.agentImage = "quorate/agent:2";
  const before = [...world.pods.values()].map((pod) => pod.uid);
  world.settle();
  return { world, before };
}

function kept(world: Simulator, before: readonly string[]): number {
  return [...world.pods.values()].filter((pod) => before.includes(pod.uid)).length;
}

function pendingOf(world: Simulator) {
  return world.status.conditions?.find((condition) => condition.type === "PendingChange");
}

describe("a template that only another version of the operator renders", () => {
  test("restarts nothing, and says what it would change", () => {
    const { world, before } = outgrown();
    expect(kept(world, before)).toBe(3);
    expect(pendingOf(world)).toMatchObject({ status: "True", reason: "OnApproval" });
    expect(pendingOf(world)?.message).toContain("image: quorate/agent:1 → quorate/agent:2");
    expect(world.status.blocked).toMatchObject([{ guard: "TemplateAccepted", object: "orders" }]);
    world.agentImage = "quorate/agent:1";
    world.settle();
    expect(pendingOf(world)).toBeUndefined();
  });

  test("reaches the pods once it is accepted", () => {
    const { world, before } = outgrown();
    const hash = /accept-template=(\w+)/.exec(world.status.blocked?.[0]?.override ?? "")?.[1] ?? "";
    world.annotations = { "quorate.io/accept-template": hash };
    world.settle();
    expect(kept(world, before)).toBe(0);
    expect(pendingOf(world)).toBeUndefined();
  });

  test("goes along with the next wanted change, whatever else was asked for", () => {
    const { world, before } = outgrown({ update: { pending: "NextRoll" } });
    expect(kept(world, before)).toBe(3);
    expect(world.status.blocked).toBeUndefined(); // nobody holds it back
    expect(pendingOf(world)?.reason).toBe("NextRoll");
    world.change({ members: 3, engine: { name: "example", version: "2" }, update: { pending: "NextRoll" } });
    world.settle();
    expect(kept(world, before)).toBe(0);
    expect(pendingOf(world)).toBeUndefined();
  });

  test("waits for a window, and is finished after it closed", () => {
    const window = { name: "saturday", cron: "0 3 * * 6", timeZone: "UTC", durationMinutes: 60 };
    const { world, before } = outgrown({ update: { pending: "InWindow" }, maintenanceWindows: [window] });
    expect(kept(world, before)).toBe(3);
    expect(world.status.blocked).toMatchObject([{ guard: "WindowOpen" }]);
    expect(Date.parse(world.status.blocked?.[0]?.nextTry ?? "")).toBeGreaterThan(world.nowMs);
    world.nowMs = Date.parse(world.status.blocked?.[0]?.nextTry ?? "");
    world.settle();
    expect(kept(world, before)).toBe(0);
  });
});

test("a changed Engine restarts nothing either", () => {
  const world = running(3);
  const before = [...world.pods.values()].map((pod) => pod.uid);
  const [first, ...others] = engine.versions;
  const changed = { version: first?.version ?? "", image: "example/engine:1.1", irreversibleFrom: [] };
  world.engine = { ...engine, versions: [changed, ...others] };
  world.settle();
  expect(kept(world, before)).toBe(3);
  expect(pendingOf(world)?.message).toContain("containers[engine].image: example/engine:1 → example/engine:1.1");
});

test("an Engine that takes a parameter without a restart from now on restarts nothing either", () => {
  const spec = { members: 3, parameters: { size: "12" } };
  const world = new Simulator(spec);
  world.settle();
  const before = [...world.pods.values()].map((pod) => pod.uid);
  world.engine = { ...engine, parameters: { ...engine.parameters, reloadable: ["verbosity", "size"] } };
  world.settle();
  expect(kept(world, before)).toBe(3);
  expect(pendingOf(world)?.message).toContain("QUORATE_PARAMETER_size");
  world.change({ ...spec, parameters: { size: "13" } });
  world.settle();
  expect(kept(world, before)).toBe(0); // a change of the spec takes it along
  expect(pendingOf(world)).toBeUndefined();
});

test("an Engine that takes a parameter only with a restart from now on restarts nothing, and takes nothing away", () => {
  const spec = { members: 3, parameters: { verbosity: "2" } };
  const world = new Simulator(spec);
  world.settle();
  const before = [...world.pods.values()].map((pod) => pod.uid);
  world.engine = { ...engine, parameters: { ...engine.parameters, reloadable: [] } };
  world.settle();
  expect(kept(world, before)).toBe(3);
  expect(world.intent?.parameters).toMatchObject({ verbosity: "2" }); // else running engines would lose it
  expect(pendingOf(world)?.message).toContain("QUORATE_PARAMETER_verbosity");
  world.change({ ...spec, parameters: { verbosity: "3" } });
  world.settle();
  expect(kept(world, before)).toBe(0);
  expect(world.intent?.parameters).toEqual({});
  expect(pendingOf(world)).toBeUndefined();
});

describe("differences of templates", () => {
  const pod = (container: object, rest: object = {}) => ({
    metadata: { labels: { a: "1" }, annotations: { "quorate.io/template-hash": "x" } },
    spec: { containers: [{ name: "engine", image: "one", ...container }], ...rest },
  });

  test.each([
    ["nothing", pod({}), []],
    ["an image", pod({ image: "two" }), ["spec.containers[engine].image: one → two"]],
    ["what is new", pod({}, { priorityClassName: "high" }), ["spec.priorityClassName: none → high"]],
    [
      "a container more",
      pod({}, { containers: [{ name: "engine", image: "one" }, { name: "log" }] }),
      ['spec.containers[log]: none → {"name":"log"}'],
    ],
    ["a container less", pod({}, { containers: [] }), [expect.stringContaining("spec.containers")]],
    [
      "a label less",
      { ...pod({}), metadata: { labels: {}, annotations: { "quorate.io/template-hash": "y" } } },
      ["metadata.labels.a: 1 → none"],
    ],
  ])("show %s", (_what, desired, lines) => {
    expect(templateDifferences(pod({}), desired)).toEqual(lines);
  });

  test("leave out what the API server filled in", () => {
    expect(templateDifferences(pod({ terminationMessagePath: "/dev/termination-log" }), pod({}))).toEqual([]);
  });

  test("fit into a status, however many there are", () => {
    const many = Object.fromEntries(Array.from({ length: 99 }, (_, at) => [`field-${at}`, "x".repeat(500)]));
    const lines = templateDifferences({ spec: {} }, { spec: many });
    expect(lines).toHaveLength(9);
    expect(lines.at(-1)).toBe("and 91 more");
    expect(lines.join("; ").length).toBeLessThan(1700);
  });
});
