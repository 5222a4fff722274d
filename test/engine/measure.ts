/**
 * Times the PostgreSQL Engine's actions on this host: `node test/engine/measure.ts [rounds]`. Three members, fsync on,
 * every action through the agent's driver, four clients writing all the time. Prints milliseconds, for docs/adr.
 */
import { setTimeout as pause } from "node:timers/promises";
import type { Client } from "pg";
import { PostgresCluster } from "./host-cluster.ts";
import { HostMember } from "../../src/conformance/host-member.ts";
import { claimPorts } from "../../src/conformance/ports.ts";

const rounds = Number(process.argv[2] ?? 20);
const samples = new Map<string, number[]>();

async function timed<T>(name: string, work: () => Promise<T>): Promise<T> {
  const started = performance.now();
  const result = await work();
  const list = samples.get(name) ?? [];
  list.push(performance.now() - started);
  samples.set(name, list);
  return result;
}

/** Writes from four connections until the server ends them. */
async function load(cluster: PostgresCluster, member: HostMember): Promise<() => Promise<void>> {
  const writing = new AbortController();
  const one = async (client: Client): Promise<void> => {
    while (!writing.signal.aborted) {
      try {
        await client.query("INSERT INTO rows (text) VALUES (repeat('x', 400))");
        await pause(2);
      } catch {
        return;
      }
    }
  };
  const clients = await Promise.all([0, 1, 2, 3].map(() => cluster.connect(member)));
  const running = clients.map(one);
  return async () => {
    writing.abort();
    await Promise.all(running);
    await Promise.all(clients.map((client) => client.end().catch(() => undefined)));
  };
}

/** From two sealed followers to a commit that is answered. */
async function takeOver(
  cluster: PostgresCluster,
  next: HostMember,
  others: readonly HostMember[],
): Promise<HostMember> {
  const [rest] = others;
  if (rest === undefined) throw new Error("nobody to follow");
  const [one, two] = await timed("seal", () => Promise.all([seal(next), seal(rest)]));
  const [best, second] = BigInt(one) >= BigInt(two) ? [next, rest] : [rest, next];
  cluster.epoch += 1;
  await timed("setSyncSet before promote", () =>
    cluster.setSyncSet(
      best,
      cluster.members.filter((member) => member !== best),
      1,
    ),
  );
  await timed("promote", () => best.run("promote", { QUORATE_EPOCH: String(cluster.epoch) }));
  await timed("follow", () => second.follow(best));
  await timed("first commit, connection included", async () => {
    const client = await cluster.connect(best);
    await client.query("INSERT INTO rows (text) VALUES ('first')");
    await client.end();
  });
  return best;
}

async function seal(member: HostMember): Promise<string> {
  await member.run("seal");
  return (await member.observe()).position.value;
}

function pick(cluster: PostgresCluster, leader: HostMember): [HostMember, HostMember] {
  const [one, two] = cluster.members.filter((member) => member !== leader);
  if (one === undefined || two === undefined) throw new Error("three members are needed");
  return [one, two];
}

async function measure(cluster: PostgresCluster): Promise<void> {
  await cluster.form();
  let leader = cluster.member(0);
  const client = await cluster.connect(leader);
  await client.query("CREATE TABLE rows (id bigserial PRIMARY KEY, at timestamptz DEFAULT now(), text text)");
  await client.end();

  for (let round = 0; round < rounds; round++) {
    const stop = await load(cluster, leader);
    const followers = pick(cluster, leader);
    for (let i = 0; i < 5; i++) await timed("observe, leader", () => leader.observe());
    for (let i = 0; i < 5; i++) await timed("observe, follower", () => followers[0].observe());
    await timed("probeWrite", () => leader.run("probeWrite"));
    await timed("setSyncSet, leader", () => cluster.setSyncSet(leader, [followers[0]], 1));
    await timed("setSyncSet, leader", () => cluster.setSyncSet(leader, followers, 1));
    await pause(500);

    await timed("checkpoint", () => leader.run("checkpoint"));
    const former = leader;
    leader = await timed("planned: stop to first commit", async () => {
      await timed("stop, leader under load", () => former.stop());
      return takeOver(cluster, followers[0], [followers[1]]);
    });
    await stop();
    await timed("configure + start to accepting, after a stop", () => former.start({}, 5));
    await former.follow(leader);

    const stopAgain = await load(cluster, leader);
    await pause(500);
    const [next, rest] = pick(cluster, leader);
    const killed = leader;
    await killed.kill();
    leader = await timed("crash: death to first commit", () => takeOver(cluster, next, [rest]));
    await stopAgain();
    await timed("rejoin after a kill", () => killed.run("rejoin", HostMember.following(leader)));
    await killed.start();
    await killed.kill();
    await timed("configure + start to accepting, after a kill", () => killed.start({}, 5));
    await killed.follow(leader);
    const current = leader;
    while ((await current.observe()).followers.filter((one) => one.streaming).length < 2) await pause(20);
  }
}

const cluster = new PostgresCluster(await claimPorts(3));
try {
  await measure(cluster);
  for (const [name, list] of samples) {
    const sorted = list.toSorted((x, y) => x - y);
    const at = (share: number): string => (sorted[Math.ceil(share * sorted.length) - 1] ?? Number.NaN).toFixed(1);
    process.stdout.write(`| ${name} | ${list.length} | ${at(0.5)} | ${at(0.95)} | ${at(1)} |\n`);
  }
} finally {
  await cluster.close();
}
