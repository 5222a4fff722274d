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
    const result = await measure(SUBJECT, fault, { runs: 1, watchMs: 15_000, quietMs: 5_000 });
    process.stdout.write(`${fault}: largest write gap ${result.gapsMs.join(", ")} ms, unknown ${result.unknown}\n`);
    expect(result.acked).toBeGreaterThan(100);
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

  test("the API server away for a minute: the same leader goes on writing", async () => {
    const before = await SUBJECT.leader();
    const writer = new WriterRun({ ...SUBJECT.writer, name: "writer-api", seconds: 0 });
    await writer.start();
    await lab("apiserver", "stop");
    const ackedAtStop = writer.lastTick?.acked ?? 0;
    await pause(60_000);
    await lab("apiserver", "start");
    await until("the API server", 60_000, () => SUBJECT.leader());
    const verdict = await writer.finish();
    const epochs = new Set(verdict.timelines);
    expect({ lost: verdict.lost, leaders: epochs.size }).toEqual({ lost: 0, leaders: 1 });
    expect(verdict.acked - ackedAtStop).toBeGreaterThan(1000);
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
      const alive = (await lab("pod-pids", NAMESPACE, old.pod))
        .split("\n")
        .filter((line) => /postgres:.*walwriter/.test(line));
      expect(alive).toEqual([]); // a follower has no WAL writer: the cut-off engine does not run writable
    } finally {
      await injected.heal();
      await SUBJECT.untilHealthy(180_000);
    }
  });
});
