/**
 * Faults of a real cluster that take their time: processes that stand still until a fence deadline passes, an API server away
 * for a minute, a leader cut off from everything. The same oracle as in failover.test.ts.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { applyExample, removeNamespace } from "../../hack/scenario/example.ts";
import { type Fault, inject } from "../../hack/scenario/faults.ts";
import { installOperator } from "../../hack/scenario/install.ts";
import { lab } from "../../hack/scenario/lab.ts";
import { measure } from "../../hack/scenario/measure.ts";
import { pause, until } from "../../hack/scenario/shell.ts";
import { isWritable, quorateSubject, readCluster } from "../../hack/scenario/subject.ts";
import { WriterRun } from "../../hack/scenario/writer-run.ts";
import { expectNothingLost } from "./oracle.ts";

const NAMESPACE = "outages";
const SUBJECT = quorateSubject(NAMESPACE, "orders");

beforeAll(async () => {
  await lab("up");
  await installOperator();
  await applyExample({ namespace: NAMESPACE, cluster: "orders" });
  await SUBJECT.untilHealthy(300_000);
});

afterAll(() => removeNamespace(NAMESPACE));

describe("processes that stand still", () => {
  const faults: readonly Fault[] = ["agent-pause", "engine-pause", "both-pause"];
  test.each(faults)("%s of the leader", async (fault) => {
    const result = await measure(SUBJECT, fault, { runs: 1, watchMs: 12_000, quietMs: 0 });
    process.stdout.write(`${fault}: largest write gap ${result.gapsMs.join(", ")} ms, unknown ${result.unknown}\n`);
    expect(result.acked).toBeGreaterThan(10); // it wrote before the fault, and again after it
    expectNothingLost(result);
  });
});

describe("without the control plane", () => {
  test("the API server away for 1, 10 and 60 s: the same leader goes on writing", async () => {
    const before = await SUBJECT.leader();
    const writer = new WriterRun({ ...SUBJECT.writer, name: "writer-api", seconds: 0 });
    await writer.start();
    for (const awaySeconds of [1, 10, 60]) {
      await lab("apiserver", "stop");
      await pause(awaySeconds * 1000);
      await lab("apiserver", "start");
      await until("the API server", 60_000, () => SUBJECT.leader());
      await pause(3_000); // leases renewed, watches open again
    }
    const verdict = await writer.finish();
    process.stdout.write(`API server away: largest write gap ${verdict.largestGapMs} ms\n`);
    expect({ lost: verdict.lost, unknown: verdict.unknown, timelines: verdict.timelines.length }).toEqual({
      lost: 0,
      unknown: 0,
      timelines: 1,
    });
    expect(verdict.acked).toBeGreaterThan(71_000 / 20 / 2);
    expect((await SUBJECT.leader()).member).toBe(before.member);
  });

  test("cut off from everything, a leader fences itself and another takes over", async () => {
    const old = await SUBJECT.leader();
    const injected = await inject("node-cut", SUBJECT);
    try {
      const next = await until("another leader", 60_000, async () => {
        const cluster = await readCluster(NAMESPACE, "orders");
        return cluster?.status?.leader !== undefined && cluster.status.leader !== old.member
          ? cluster.status.leader
          : undefined;
      });
      expect(next).not.toBe(old.member);
      expect(await isWritable(NAMESPACE, old.pod)).toBe(false);
    } finally {
      await injected.heal();
      await SUBJECT.untilHealthy(180_000);
    }
  });
});
