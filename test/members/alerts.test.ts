/**
 * What a real Prometheus makes of real members' metrics: while all is well, and while members are rolled, every indicator has a value and
 * nobody is called; when the majority is gone somebody is, and the runbook ends it.
 */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DASHBOARDS } from "../../hack/generate/dashboards/dashboards.ts";
import { dataOf, takePicture } from "../../hack/pictures/picture.ts";
import { again, type Heal, stall } from "../../hack/scenario/lasting-faults.ts";
import { pause } from "../../hack/scenario/shell.ts";
import { Prometheus } from "../../src/observe/prometheus.ts";
import { fleetGroups } from "../../src/slo/fleet.ts";
import { PROMISES } from "../lab/promises.ts";
import { HostPrometheus } from "../prometheus/harness.ts";
import { hostPostgres, MemberCluster, type TestMember } from "./harness.ts";

const execute = promisify(execFile);

/** Where pictures go, for people to look at. */
const PICTURES = join(import.meta.dirname, "../../dist/pictures");
/** A minute in which a single look suffices, half a minute of waiting, and what scrapes and evaluations take. */
const PAGED_WITHIN_MS = 100_000;

const never = new AbortController().signal;

let cluster: MemberCluster;
let server: HostPrometheus;
let client: Prometheus;
/** What the operator shows. There is none here but this test. */
let ofOperator = "";

/** What all members that answer show; one that is dead shows nothing, as if it were scraped in vain. */
async function exposition(): Promise<string> {
  const texts = await Promise.all(
    cluster.members.map(({ ports }) =>
      fetch(`http://127.0.0.1:${ports.health}/metrics`).then(
        (answer) => answer.text(),
        () => "",
      ),
    ),
  );
  const series = texts.flatMap((text) => text.split("\n").filter((line) => line !== "" && !line.startsWith("#")));
  return `${series.join("\n")}\n${ofOperator}`;
}

/** The values of an expression. */
async function valuesOf(expr: string): Promise<number[]> {
  return (await client.query(expr, never)).map(({ value }) => value);
}

async function untilTrue(what: string, seconds: number, ask: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + seconds * 1000;
  while (performance.now() < endMs) {
    if (await ask()) return;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  throw new Error(`waited ${seconds} s in vain for ${what}; the alerts: ${(await firing()).join()}`);
}

async function firing(): Promise<string[]> {
  const alerts = await client.query('ALERTS{alertstate="firing"}', never);
  // There is no operator here, and that is told as it should be.
  return alerts.map(({ labels }) => labels["alertname"] ?? "").filter((name) => name !== "QuorateOperatorDown");
}

async function isWell(): Promise<boolean> {
  const [good = 0] = await valuesOf('sum(increase(quorate_member_quorum_slices_total{result="good"}[10s]))');
  const [bad = 0] = await valuesOf('sum(increase(quorate_member_quorum_slices_total{result="bad"}[10s]))');
  const [up = 0] = await valuesOf("quorate:cluster_members_up:sum");
  return good > 0 && bad === 0 && up === 3;
}

beforeAll(async () => {
  cluster = await MemberCluster.create(3);
  await cluster.want({ profile: "Standard" }); // elections are not what is tried here, and a busy machine brings them about
  for (const member of cluster.members) cluster.run(member);
  server = await HostPrometheus.start(exposition, fleetGroups());
  client = new Prometheus(server.url);
  await untilTrue("three members and their quorum", 240, isWell);
}, 360_000);

afterAll(async () => {
  await server?.stop();
  await cluster?.stop();
});

test("of members that are well every indicator has a value, and nothing fires", { timeout: 120_000 }, async () => {
  await server.scraped(5);
  expect(await valuesOf("quorate:cluster_leaders:sum")).toEqual([1]);
  expect(await valuesOf("quorate:cluster_members_expected:max")).toEqual([3]);
  const [availability = 0] = await valuesOf("quorate:availability:ratio_rate5m");
  expect(availability).toBeGreaterThan(0);
  expect(availability).toBeLessThanOrEqual(1);
  const [p95 = 0] = await valuesOf("quorate:latency_seconds:p95_5m");
  expect(p95).toBeGreaterThan(0);
  const lags = await valuesOf("quorate_member_replication_lag_seconds");
  expect(lags).toHaveLength(3);
  expect(lags.filter(Number.isNaN)).toEqual([]);
  for (const series of ["quorate:member_cpu:ratio_rate5m", "quorate:member_volume:ratio"]) {
    const shares = await valuesOf(series);
    expect(shares).toHaveLength(3);
    expect(shares.filter((share) => !(share > 0 && share <= 1))).toEqual([]);
  }
  expect((await firing()).filter((name) => name.startsWith("QuorateQuorum") || name === "QuorateNoLeader")).toEqual([]);
});

/** Asks one member's server something, as its superuser. */
async function askServer({ name, ports }: TestMember, sql: string): Promise<void> {
  const { uid, gid } = hostPostgres().user;
  const socket = ["-h", join(cluster.folder, name, "run"), "-p", String(ports.engine)];
  const psql = ["psql", "-XqAt", "-U", "postgres", "-d", "postgres", ...socket, "-c", sql];
  await execute("setpriv", [`--reuid=${uid}`, `--regid=${gid}`, "--clear-groups", ...psql]);
}

/** Faults by the indicator that they move; the alerts wait for minutes more, which test/lab/alerts.test.ts does. */
const FAULTS: Readonly<Record<string, (follower: TestMember) => Heal | Promise<Heal>>> = {
  M2: (follower) => stall(() => Promise.resolve(cluster.pids(follower, /postgres/))),
  M4: async (follower) => {
    await askServer(follower, "select pg_wal_replay_pause()");
    return () => askServer(follower, "select pg_wal_replay_resume()");
  },
  M9: (follower) =>
    again(async () => {
      await askServer(
        follower,
        "select pg_terminate_backend(pid) from pg_stat_activity where usename is not null and pid <> pg_backend_pid()",
      );
      await pause(5_000);
    }),
};

describe("a fault of one member moves its indicator", () => {
  test.each(PROMISES.filter(({ indicator }) => indicator in FAULTS))(
    "$indicator: $record $moves",
    { timeout: 720_000 },
    async ({ indicator, record, moves }) => {
      await untilTrue("three members and their quorum", 240, isWell);
      const leader = await cluster.routed();
      const follower = cluster.members.find((member) => member !== leader);
      if (follower === undefined) throw new Error("there are three members");
      const hasMoved = async () => (await valuesOf(`${record} ${moves}`)).length > 0;
      await untilTrue(`no ${record} ${moves}`, 330, async () => !(await hasMoved())); // starts failed statements
      const heal = (await FAULTS[indicator]?.(follower)) ?? (() => Promise.resolve());
      try {
        await untilTrue(`${record} ${moves}`, 120, hasMoved);
        expect(await hasMoved()).toBe(true);
      } finally {
        await heal();
      }
    },
  );
});

test("when two of three members die somebody is paged; one of them back is all it takes", {
  timeout: 600_000,
}, async () => {
  const beganSeconds = Date.now() / 1000 - 20;
  const [, second, third] = cluster.members;
  if (second === undefined || third === undefined) throw new Error("there are three members");
  await Promise.all([cluster.kill(second), cluster.kill(third)]);
  const killedMs = performance.now();
  await untilTrue("QuorateQuorumLost", 240, async () => (await firing()).includes("QuorateQuorumLost"));
  expect(performance.now() - killedMs).toBeLessThan(PAGED_WITHIN_MS);
  expect(await firing()).not.toContain("QuorateSplitBrain");

  // docs/runbooks/QuorateQuorumLost.md: bring one more member back.
  cluster.run(second);
  const hasQuorum = async () => {
    const [good = 0] = await valuesOf('sum(increase(quorate_member_quorum_slices_total{result="good"}[10s]))');
    return good > 0;
  };
  await untilTrue("a quorum", 120, hasQuorum);
  await untilTrue("the end of the alerts about the outage", 240, async () => {
    const still = await firing();
    return !still.includes("QuorateQuorumLost") && !still.includes("QuorateNoLeader");
  });
  cluster.run(third);
  await untilTrue("three members and their quorum", 240, isWell);

  const [dashboard, debug] = ["quorate-on-call", "quorate-debug"].map((one) =>
    DASHBOARDS.find(({ uid }) => uid === one),
  );
  if (dashboard === undefined || debug === undefined) throw new Error("these dashboards are there");
  const range = { startSeconds: beganSeconds, endSeconds: Date.now() / 1000, stepSeconds: 1 };
  const data = await dataOf(dashboard, server.url, range);
  expect(data.get("Alerts that fire")?.map(({ name }) => name)).toContain("QuorateQuorumLost");
  expect(data.get("Engines")?.map(({ name }) => name)).toEqual(cluster.members.map(({ name }) => name));
  await takePicture(dashboard, data, range, join(PICTURES, "on-call.png"));
  await takePicture(debug, await dataOf(debug, server.url, range), range, join(PICTURES, "debug.png"));
});

// Last: what is planned keeps alerts quiet for two minutes more.
test("a planned roll of all members calls nobody", { timeout: 600_000 }, async () => {
  const beganMs = performance.now();
  ofOperator = 'quorate_planned_step{namespace="default",cluster="orders",change="Rollout"} 1\n';
  const leader = await cluster.routed();
  for (const member of cluster.members.toSorted((a, b) => Number(a === leader) - Number(b === leader))) {
    await cluster.terminate(member);
    cluster.run(member);
    await untilTrue(`three members and their quorum after ${member.name}`, 240, isWell);
  }
  ofOperator = "";
  await server.scraped(5);
  expect(await cluster.routed()).not.toBe(leader);
  const seconds = Math.ceil((performance.now() - beganMs) / 1000);
  const fired = await client.query(`count_over_time(ALERTS{alertstate="firing"}[${seconds}s])`, never);
  const names = fired.map(({ labels }) => labels["alertname"]);
  expect(names.filter((name) => name !== "QuorateOperatorDown")).toEqual([]);
});
