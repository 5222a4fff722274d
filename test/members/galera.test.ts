/**
 * Members that all write, under real agents: killed one by one and all at once, paused, rolled, added and taken away, under clients
 * that write to all of them and count. Times are printed, never asserted.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CREATE_TABLES, SqlClient, sqlSession, type SqlVerdict } from "../../hack/scenario/sql-client.ts";
import { MARIADB_PROGRAMS } from "../engine/host-mariadb.ts";
import { type HostEngine, MemberCluster, type TestMember } from "./harness.ts";

const GALERA: HostEngine = { name: "galera", user: { uid: 65534, gid: 65534 }, programs: MARIADB_PROGRAMS };
const SERVER = /^mariadbd/;

interface Status {
  readonly view: {
    readonly seen?: {
      readonly leads: boolean;
      readonly serves: boolean;
      readonly group: { readonly term: number; readonly members: readonly { readonly name: string }[] };
      readonly position: { readonly history: string; readonly value: string };
    };
  } | null;
  readonly verdict?: { readonly reason: string | null; readonly move: { readonly kind: string } };
}

let cluster: MemberCluster;
let password: string;
let runs = 0;

function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}

async function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  const endMs = performance.now() + 120_000;
  while (performance.now() < endMs) {
    const answer = await look();
    if (answer !== undefined) return answer;
    await pause(100);
  }
  const logs = await Promise.all(
    cluster.members.map(async (member) => {
      const text = await cluster.log(member).catch(() => "");
      return `== ${member.name}\n${text.slice(-4000)}\n${JSON.stringify(await statusOf(member))}`;
    }),
  );
  throw new Error(`waited in vain for ${what}\n${logs.join("\n")}`);
}

async function statusOf(member: TestMember): Promise<Status | undefined> {
  return (await cluster.status(member).catch(() => undefined)) as Status | undefined;
}

function listed(): TestMember[] {
  return cluster.members.filter(({ name }) => cluster.intent.members.some((member) => member.name === name));
}

async function serves(member: TestMember): Promise<boolean> {
  return (await statusOf(member))?.view?.seen?.serves === true;
}

async function servingCount(): Promise<number> {
  const all = await Promise.all(listed().map(serves));
  return all.filter(Boolean).length;
}

/** Waits until every listed member serves, in one group that is exactly they, for which one of them speaks. */
async function untilWhole(): Promise<void> {
  const names = listed()
    .map(({ name }) => name)
    .toSorted()
    .join();
  await until(`a group of ${names}`, async () => {
    const all = await Promise.all(listed().map(statusOf));
    const seen = all.flatMap((status) => status?.view?.seen ?? []);
    const isWhole = seen.every(
      ({ serves: isServing, group }) =>
        isServing &&
        group.members
          .map(({ name }) => name)
          .toSorted()
          .join() === names,
    );
    const histories = new Set(seen.map(({ position }) => position.history));
    const leaders = seen.filter(({ leads }) => leads).length;
    return seen.length === listed().length && isWhole && leaders === 1 && histories.size === 1 ? true : undefined;
  });
}

function addressOf({ ports }: TestMember) {
  return { host: "127.0.0.1", port: ports.engine };
}

/** What a member answers, in lines. */
async function ask(member: TestMember, statement: string): Promise<readonly string[]> {
  const session = sqlSession(addressOf(member), password);
  try {
    const { stdout, stderr } = await session.run(statement, 60_000);
    if (stderr.length > 0) throw new Error(stderr.join("\n"));
    return stdout;
  } finally {
    session.close();
  }
}

/** A read that sees all that was acknowledged anywhere before. */
function askCurrent(member: TestMember, statement: string): Promise<readonly string[]> {
  return ask(member, `SET SESSION wsrep_sync_wait = 1; ${statement}`);
}

async function total(member: TestMember): Promise<number> {
  const [n] = await askCurrent(member, "SELECT n FROM total;");
  return Number(n);
}

/** Runs `changes` under a client of every member that is listed at the beginning, and judges what they saw. */
async function expectNothingLost(changes: () => Promise<void>): Promise<void> {
  const [first] = listed();
  if (first === undefined) throw new Error("no member");
  const before = await total(first);
  const run = ++runs;
  const clients = listed().map(
    (member) => new SqlClient(() => Promise.resolve(addressOf(member)), password, `${run}-${member.name}`),
  );
  for (const client of clients) client.start();
  await until("first writes", () => Promise.resolve(clients.every(({ acked }) => acked > 5) ? true : undefined));
  await changes();
  await untilWhole();
  // Those whose member was taken away write no more.
  const staying = clients.slice(0, listed().length).map((client) => ({ client, acked: client.acked }));
  await until("writes to go on everywhere", () =>
    Promise.resolve(staying.every(({ client, acked }) => client.acked > acked + 10) ? true : undefined),
  );
  const verdicts: SqlVerdict[] = [];
  for (const [index, client] of clients.entries()) {
    const reader = listed()[(index + 1) % listed().length] ?? first; // another one than it wrote to
    verdicts.push(
      await client.finish(async (writer) =>
        (await askCurrent(reader, `SELECT seq FROM written WHERE writer = '${writer}';`)).map(Number),
      ),
    );
  }
  process.stdout.write(`  ${JSON.stringify(verdicts)}\n`);
  for (const verdict of verdicts) expect(verdict).toMatchObject({ lost: 0, unexpected: 0 });
  const sum = (of: (verdict: SqlVerdict) => number): number => verdicts.reduce((all, one) => all + of(one), 0);
  // No addition that was acknowledged is missing, and none that was refused is there.
  const added = (await total(first)) - before;
  expect(added).toBeGreaterThanOrEqual(sum((one) => one.added));
  expect(added).toBeLessThanOrEqual(sum((one) => one.added + one.maybeAdded));
  await expectAlike();
}

/** Every member has the same rows. */
async function expectAlike(): Promise<void> {
  const sums = await Promise.all(
    listed().map((member) => askCurrent(member, "SELECT COUNT(*), SUM(CRC32(CONCAT(writer, ' ', seq))) FROM written;")),
  );
  expect(new Set(sums.map((lines) => lines.join())).size).toBe(1);
}

async function list(count: number): Promise<void> {
  await cluster.want({ members: cluster.listing(Array.from({ length: count }, (_, ordinal) => ordinal)) });
}

function memberAt(ordinal: number): TestMember {
  const found = cluster.members[ordinal];
  if (found === undefined) throw new Error(`no member ${ordinal}`);
  return found;
}

beforeAll(async () => {
  cluster = await MemberCluster.create(5, GALERA, 3);
  password = await cluster.password("app");
  // A test's rows are few, and five of these are made.
  await cluster.want({ parameters: { ...cluster.intent.parameters, "gcache.size": "16M" } });
});
afterAll(async () => {
  await cluster.stop();
});

test("one member begins the group, the others join it, and all of them write", { timeout: 300_000 }, async () => {
  for (const one of listed()) cluster.run(one);
  await untilWhole();
  await cluster.want({ bootstrapMember: null });
  await ask(memberAt(0), CREATE_TABLES);
  await expectNothingLost(() => pause(3000));
  const text = (await Promise.all(listed().map((one) => cluster.log(one)))).join("\n");
  expect(text.match(/"The group is begun/g)?.length).toBe(1);
});

describe("under clients that write to all members", () => {
  test("one that is killed comes back", { timeout: 300_000 }, () =>
    expectNothingLost(async () => {
      await cluster.kill(memberAt(1));
      await pause(2000);
      cluster.run(memberAt(1));
    }),
  );

  test("one that loses its volume gets a whole copy", { timeout: 300_000 }, () =>
    expectNothingLost(async () => {
      await cluster.kill(memberAt(2));
      await cluster.loseVolume(memberAt(2));
      cluster.run(memberAt(2));
    }),
  );

  test("all that are killed at once begin again, from the one that has most", { timeout: 300_000 }, () =>
    expectNothingLost(async () => {
      await Promise.all(listed().map((one) => cluster.kill(one)));
      for (const one of listed()) cluster.run(one);
    }),
  );

  test("one whose server stands still for a while is left behind, and joins again", { timeout: 300_000 }, () =>
    expectNothingLost(async () => {
      const [server] = cluster.pids(memberAt(0), SERVER);
      if (server === undefined) throw new Error("no server");
      process.kill(server, "SIGSTOP");
      await until("the others to go on without it", async () => {
        const seen = (await statusOf(memberAt(1)))?.view?.seen;
        return seen?.group.members.length === 2 ? true : undefined;
      });
      process.kill(server, "SIGCONT");
    }),
  );

  test("a roll, one after the other; two serve all the while", { timeout: 400_000 }, () =>
    expectNothingLost(async () => {
      const counts: number[] = [];
      const watching = new AbortController();
      const watcher = (async () => {
        while (!watching.signal.aborted) {
          counts.push(await servingCount());
          await pause(100);
        }
      })();
      for (const one of listed().toReversed()) {
        await cluster.terminate(one);
        cluster.run(one);
        await untilWhole();
      }
      watching.abort();
      await watcher;
      expect(counts.length).toBeGreaterThan(20);
      expect(Math.min(...counts)).toBeGreaterThanOrEqual(2);
    }),
  );

  test("3 → 5 → 3 members", { timeout: 600_000 }, () =>
    expectNothingLost(async () => {
      for (const count of [4, 5]) {
        await list(count);
        cluster.run(memberAt(count - 1));
        await untilWhole();
      }
      for (const count of [4, 3]) {
        await list(count);
        await untilWhole(); // the operator ends a pod only when the group does not count it any more
        await cluster.terminate(memberAt(count));
      }
    }),
  );

  test(
    "all that are stopped begin again, and so do all whose order of stopping was another",
    { timeout: 400_000 },
    () =>
      expectNothingLost(async () => {
        for (const order of [listed(), listed().toReversed()]) {
          for (const one of order) await cluster.terminate(one);
          for (const one of order) cluster.run(one);
          await untilWhole();
        }
      }),
  );

  test("two of three that are killed at once come back to the third", { timeout: 300_000 }, () =>
    expectNothingLost(async () => {
      await Promise.all([cluster.kill(memberAt(0)), cluster.kill(memberAt(2))]);
      await pause(3000);
      for (const ordinal of [0, 2]) cluster.run(memberAt(ordinal));
    }),
  );
});

describe("all killed, and the volume of one gone", () => {
  test("begins nothing by itself, and goes on from the copy that a person chose", { timeout: 400_000 }, async () => {
    await untilWhole();
    await Promise.all(listed().map((one) => cluster.kill(one)));
    await cluster.loseVolume(memberAt(1));
    for (const one of listed()) cluster.run(one);
    for (const ordinal of [0, 2]) {
      await until("the loss to be told, and where the copy ends", async () => {
        const report = await cluster.report(memberAt(ordinal)).catch(() => undefined);
        return report?.reason === "QuorumLost" && report.group?.position !== undefined ? true : undefined;
      });
    }
    await pause(5000);
    expect(await servingCount()).toBe(0);
    const ends = await Promise.all(
      [0, 2].map(async (ordinal) => ({
        name: memberAt(ordinal).name,
        index: BigInt((await cluster.report(memberAt(ordinal)))?.group?.position?.index ?? "0"),
      })),
    );
    const [best] = ends.toSorted((a, b) => (a.index > b.index ? -1 : 1));
    await cluster.want({ group: { incarnation: 1, founder: best?.name ?? "", request: "test" } });
    await untilWhole();
    await expectNothingLost(() => Promise.resolve());
  });
});

test("nothing that the agents asked for meanwhile was refused", async () => {
  expect((await cluster.rights()).refused).toEqual([]);
});
