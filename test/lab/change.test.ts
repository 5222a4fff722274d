/**
 * Changes of a real cluster under a client that counts: rolls, revisions that do not work, nodes that fail meanwhile, and
 * drains. No acknowledged row is lost, a majority always serves, and everything ends as asked. Times are printed, never
 * asserted: they belong to the benchmark.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Change, type ChangeResult, drain, measureChange, patchSpec } from "../../hack/scenario/change.ts";
import { installOperator } from "../../hack/scenario/install.ts";
import { apply, kubectl, lab } from "../../hack/scenario/lab.ts";
import { quorateSubject } from "../../hack/scenario/subject.ts";
import { WriterRun } from "../../hack/scenario/writer-run.ts";

const NAMESPACE = "change";
const SUBJECT = quorateSubject(NAMESPACE, "orders");
const UPDATE = { minReadySeconds: 2, progressDeadlineSeconds: 40 };

beforeAll(async () => {
  await lab("up");
  await installOperator();
  await kubectl("create", "namespace", NAMESPACE).catch(() => undefined);
  const manifest = await readFile(join(import.meta.dirname, "../../examples/postgres/cluster.yaml"), "utf8");
  await apply(manifest.replace("namespace: demo", `namespace: ${NAMESPACE}`));
  await patchSpec(NAMESPACE, "orders", { update: UPDATE });
  await SUBJECT.untilHealthy(300_000);
}, 600_000);

afterAll(async () => {
  await lab("heal", "all").catch(() => undefined);
  await kubectl("delete", "namespace", NAMESPACE, "--wait=false").catch(() => undefined);
});

async function made(change: Change): Promise<ChangeResult> {
  const result = await measureChange(SUBJECT, "orders", change);
  process.stdout.write(`${change.name}: ${JSON.stringify(result)}\n`);
  expect({ lost: result.lost, unexpected: result.unexpected, outOfOrder: result.outOfOrder }).toEqual({
    lost: 0,
    unexpected: 0,
    outOfOrder: 0,
  });
  expect(result.acked).toBeGreaterThan(100);
  return result;
}

/** Cuts the leader's node off; what it returns heals it. */
async function cutLeader(): Promise<() => Promise<unknown>> {
  const { node } = await SUBJECT.leader();
  await lab("cut", node, "all");
  return () => lab("heal", node);
}

describe("a roll", () => {
  test("of three members: one switchover, a majority always serves", async () => {
    const result = await made({ name: "roll", spec: { parameters: { max_connections: "110" } } });
    expect(result).toMatchObject({ phase: "Complete", leaderChanges: 1, leastServing: 2 });
  });

  test("whose leader's node is cut ends as asked", async () => {
    const result = await made({
      name: "roll-cut",
      spec: { parameters: { max_connections: "120" } },
      disturb: cutLeader,
      timeoutMs: 500_000,
    });
    expect(result.phase).toBe("Complete");
  });
});

describe("a revision that does not work is left by itself, and the leader is never touched", () => {
  test("an image that does not exist", async () => {
    const result = await made({ name: "bad-image", spec: { engine: { image: "localhost/no-such-image:1" } } });
    expect(result).toMatchObject({ phase: "RolledBack", leaderChanges: 0, leaderUntouched: true, leastServing: 2 });
    await made({ name: "bad-image-undone", spec: { engine: { image: null } } });
  });

  test("a parameter that the server refuses", async () => {
    const spec = { parameters: { shared_preload_libraries: "no_such_library" } };
    const result = await made({ name: "bad-config", spec });
    expect(result).toMatchObject({ phase: "RolledBack", leaderChanges: 0, leaderUntouched: true, leastServing: 2 });
    await made({ name: "bad-config-undone", spec: { parameters: { shared_preload_libraries: null } } });
  });

  test("also when the leader's node is cut meanwhile", async () => {
    const result = await made({
      name: "bad-image-cut",
      spec: { engine: { image: "localhost/no-such-image:2" } },
      disturb: cutLeader,
      timeoutMs: 500_000,
    });
    expect(result.phase).toBe("RolledBack");
    await made({ name: "bad-image-cut-undone", spec: { engine: { image: null } } });
  });
});

describe("membership and nodes", () => {
  test("a scale-in during which the leader's node is cut ends as asked", async () => {
    const result = await made({ name: "scale-in-cut", spec: { members: 2 }, disturb: cutLeader, timeoutMs: 500_000 });
    expect(result.phase).toBe("Complete");
    await patchSpec(NAMESPACE, "orders", { members: 3 });
    await SUBJECT.untilHealthy(300_000);
  });

  test("drains of all nodes, one after the other, finish", async () => {
    const writer = new WriterRun({ ...SUBJECT.writer, name: "writer-drains", seconds: 0 });
    await writer.start();
    for (const node of ["n1", "n2", "n3"]) {
      await drain(node);
      await SUBJECT.untilHealthy(180_000);
    }
    const { lost, unexpected, outOfOrder } = await writer.finish();
    expect({ lost, unexpected, outOfOrder }).toEqual({ lost: 0, unexpected: 0, outOfOrder: 0 });
  });
});
