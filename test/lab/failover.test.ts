/**
 * A real cluster with real PostgreSQL under a client that counts: each fault that a leader meets once, no acknowledged row
 * lost, no row out of turn. Times are printed, never asserted: they belong to the benchmark. What takes minutes to show is in
 * outages.test.ts.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { applyExample, removeNamespace } from "../../hack/scenario/example.ts";
import type { Fault } from "../../hack/scenario/faults.ts";
import { installOperator } from "../../hack/scenario/install.ts";
import { lab } from "../../hack/scenario/lab.ts";
import { measure } from "../../hack/scenario/measure.ts";
import { pause, until } from "../../hack/scenario/shell.ts";
import { isWritable, quorateSubject } from "../../hack/scenario/subject.ts";
import { WriterRun } from "../../hack/scenario/writer-run.ts";
import { expectNothingLost } from "./oracle.ts";

const NAMESPACE = "failover";
const SUBJECT = quorateSubject(NAMESPACE, "orders");

beforeAll(async () => {
  await lab("up");
  await installOperator();
  await applyExample({ namespace: NAMESPACE, cluster: "orders" });
  await SUBJECT.untilHealthy(300_000);
});

afterAll(() => removeNamespace(NAMESPACE));

describe("no acknowledged write is lost and no leader writes out of turn", () => {
  const faults: readonly Fault[] = ["engine-kill", "container-kill", "pod-delete", "switchover", "drain", "node-cut"];
  test.each(faults)("%s of the leader", async (fault) => {
    const result = await measure(SUBJECT, fault, { runs: 1, watchMs: 4_000, quietMs: 0 });
    process.stdout.write(`${fault}: largest write gap ${result.gapsMs.join(", ")} ms, unknown ${result.unknown}\n`);
    expect(result.acked).toBeGreaterThan(10); // it wrote before the fault, and again after it
    expectNothingLost(result);
  });
});

describe("without the control plane", () => {
  test("a failover needs no operator", async () => {
    await lab("operator", "stop");
    try {
      const before = await SUBJECT.leader();
      const result = await measure({ ...SUBJECT, untilHealthy: () => pause(5000) }, "engine-kill", {
        runs: 1,
        watchMs: 10_000,
        quietMs: 1000,
      });
      expect(result.lost).toBe(0);
      const after = await SUBJECT.leader();
      expect(after.member).not.toBe(before.member);
    } finally {
      await lab("operator", "start");
      await SUBJECT.untilHealthy(120_000);
    }
  });

  test("the API server away and the leader cut off from its peers: it fences itself", async () => {
    const { member, pod, node } = await SUBJECT.leader();
    const writer = new WriterRun({ ...SUBJECT.writer, name: "writer-fence", seconds: 0 });
    await writer.start();
    await lab("apiserver", "stop");
    try {
      await lab("cut", node, "members"); // the client still reaches it
      const cutMs = performance.now();
      await until(`${member} to end its writable engine`, 30_000, async () =>
        (await isWritable(NAMESPACE, pod)) ? undefined : true,
      );
      process.stdout.write(`fenced ${Math.round(performance.now() - cutMs)} ms after the cut\n`);
    } finally {
      await lab("apiserver", "start");
      await lab("heal", node);
    }
    await SUBJECT.untilHealthy(180_000);
    const verdict = await writer.finish();
    expectNothingLost(verdict);
  });
});
