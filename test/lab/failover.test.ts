/**
 * A real cluster with real PostgreSQL under a client that counts: every fault once, no acknowledged row lost, no row out
 * of turn. Times are printed, never asserted: they belong to the benchmark.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { type Fault, inject } from "../../hack/scenario/faults.ts";
import { installOperator } from "../../hack/scenario/install.ts";
import { apply, kubectl, lab } from "../../hack/scenario/lab.ts";
import { measure } from "../../hack/scenario/measure.ts";
import { pause, until } from "../../hack/scenario/shell.ts";
import { quorateSubject, readCluster } from "../../hack/scenario/subject.ts";
import { WriterRun } from "../../hack/scenario/writer-run.ts";

const NAMESPACE = "failover";
const SUBJECT = quorateSubject(NAMESPACE, "orders");

beforeAll(async () => {
  await lab("up");
  await installOperator();
  await kubectl("create", "namespace", NAMESPACE).catch(() => undefined);
  const manifest = await readFile(join(import.meta.dirname, "../../examples/postgres/cluster.yaml"), "utf8");
  await apply(manifest.replace("namespace: demo", `namespace: ${NAMESPACE}`));
  await SUBJECT.untilHealthy(300_000);
});

/** Whether the pod's engine runs writable: a follower has no WAL writer. Seen from outside, whatever is cut. */
async function isWritable(pod: string): Promise<boolean> {
  return /postgres:.*walwriter/.test(await lab("pod-pids", NAMESPACE, pod));
}

describe("no acknowledged write is lost and no leader writes out of turn", () => {
  const faults: readonly Fault[] = [
    "engine-kill",
    "container-kill",
    "pod-delete",
    "switchover",
    "agent-pause",
    "engine-pause",
    "both-pause",
    "drain",
    "node-cut",
  ];
  test.each(faults)("%s of the leader", async (fault) => {
    // What only stands still is noticed when its fence deadline passes.
    const watchMs = fault.endsWith("-pause") ? 12_000 : 4_000;
    const result = await measure(SUBJECT, fault, { runs: 1, watchMs, quietMs: 0 });
    process.stdout.write(`${fault}: largest write gap ${result.gapsMs.join(", ")} ms, unknown ${result.unknown}\n`);
    expect(result.acked).toBeGreaterThan(10); // it wrote before the fault, and again after it
    expect({ lost: result.lost, unexpected: result.unexpected, outOfOrder: result.outOfOrder }).toEqual({
      lost: 0,
      unexpected: 0,
      outOfOrder: 0,
    });
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

  test("the API server away and the leader cut off from its peers: it fences itself", async () => {
    const { member, pod, node } = await SUBJECT.leader();
    const writer = new WriterRun({ ...SUBJECT.writer, name: "writer-fence", seconds: 0 });
    await writer.start();
    await lab("apiserver", "stop");
    try {
      await lab("cut", node, "members"); // the client still reaches it
      const cutMs = performance.now();
      await until(`${member} to end its writable engine`, 30_000, async () =>
        (await isWritable(pod)) ? undefined : true,
      );
      process.stdout.write(`fenced ${Math.round(performance.now() - cutMs)} ms after the cut\n`);
    } finally {
      await lab("apiserver", "start");
      await lab("heal", node);
    }
    await SUBJECT.untilHealthy(180_000);
    const verdict = await writer.finish();
    expect({ lost: verdict.lost, unexpected: verdict.unexpected, outOfOrder: verdict.outOfOrder }).toEqual({
      lost: 0,
      unexpected: 0,
      outOfOrder: 0,
    });
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
      expect(await isWritable(old.pod)).toBe(false);
    } finally {
      await injected.heal();
      await SUBJECT.untilHealthy(180_000);
    }
  });
});
