/**
 * Passwords that members of groups have for themselves, changed under real agents and clients that count; then who leads is killed, and
 * comes back. Times are printed, never asserted.
 */
import { execFile } from "node:child_process";
import { chown, readFile, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { Connection } from "rabbitmq-client";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { KeyClient } from "../../hack/scenario/key-client.ts";
import { QueueClient } from "../../hack/scenario/queue-client.ts";
import { pause } from "../../hack/scenario/shell.ts";
import { CREATE_TABLES, SqlClient, sqlSession } from "../../hack/scenario/sql-client.ts";
import { binary } from "../api/harness.ts";
import { hasMariadb, MARIADB_PROGRAMS } from "../engine/host-mariadb.ts";
import { hasRabbitmq } from "../engine/host-rabbitmq.ts";
import { GroupCluster } from "./group-cluster.ts";
import { type HostEngine, MemberCluster, type TestMember } from "./harness.ts";

const USER = { uid: 65534, gid: 65534 };
/** Longer than it takes until every node has what a Secret holds. */
const LONG_AGO_MS = 180_000;
const WAIT = { timeout: 180_000, interval: 500 };
/** What an engine, or who compares its files, says to a former password. */
const REFUSED = /authentication failed|Access denied|ACCESS_REFUSED|refused|expected/;
const run = promisify(execFile);

interface Verdict {
  readonly lost: number;
  readonly unknown: number;
}

/** A client that counts, whatever its engine. */
interface Client {
  readonly done: number;
  start(): void;
  finish(): Promise<Verdict>;
}

interface Subject {
  readonly engine: HostEngine;
  readonly isHere: boolean;
  /** Accounts of the engine's own, in the order in which they change. */
  readonly accounts: readonly string[];
  /** Resolves when the account can log in at this member; rejects with the engine's words. */
  readonly logIn: (member: TestMember, account: string, password: string) => Promise<unknown>;
  readonly client: (group: GroupCluster) => Promise<Client>;
}

const etcd: Subject = {
  engine: { name: "etcd", user: USER, programs: { etcd: binary("etcd"), etcdctl: binary("etcdctl") } },
  isHere: true,
  accounts: ["root"],
  logIn: ({ ports }, account, password) => {
    const env = { ...process.env, ETCDCTL_USER: account, ETCDCTL_PASSWORD: password };
    return run(binary("etcdctl"), [`--endpoints=http://127.0.0.1:${ports.engine}`, "user", "list"], { env });
  },
  client: async (group) => {
    const client = new KeyClient(() => group.addresses(), await group.cluster.password("app"));
    return {
      start: () => client.start(),
      finish: () => client.finish(),
      get done() {
        return client.acked;
      },
    };
  },
};

const galera: Subject = {
  engine: { name: "galera", user: USER, programs: MARIADB_PROGRAMS },
  isHere: hasMariadb,
  accounts: ["quorate", "transfer"],
  logIn: (member, account, password) => {
    const socket = join(folderOf(member), "run/server.sock");
    const args = ["--no-defaults", `--socket=${socket}`, `--user=${account}`, "-e", "DO 0"];
    return run("mariadb", args, { env: { ...process.env, MYSQL_PWD: password } });
  },
  client: async (group) => {
    const password = await group.cluster.password("app");
    const [member] = group.cluster.members;
    if (member === undefined) throw new Error("no member");
    const address = { host: "127.0.0.1", port: member.ports.engine };
    const ask = async (statement: string): Promise<readonly string[]> => {
      const session = sqlSession(address, password);
      const { stdout } = await session.run(statement, 60_000).finally(() => session.close());
      return stdout;
    };
    await ask(CREATE_TABLES);
    const client = new SqlClient(() => Promise.resolve(address), password, `passwords-${Date.now()}`);
    const read = async (writer: string): Promise<readonly number[]> =>
      (await ask(`SELECT seq FROM written WHERE writer = '${writer}';`)).map(Number);
    return {
      start: () => client.start(),
      finish: () => client.finish(read),
      get done() {
        return client.acked;
      },
    };
  },
};

const rabbitmq: Subject = {
  engine: { name: "rabbitmq", user: USER, programs: {}, memoryBytes: 512 * 1024 * 1024, patienceMs: 240_000 },
  isHere: hasRabbitmq,
  accounts: ["quorate", "admin", "cookie"],
  logIn: async (member, account, password) => {
    if (account === "cookie") {
      expect(await readFile(join(folderOf(member), "run/.erlang.cookie"), "utf8")).toBe(password);
      return;
    }
    const options = { hostname: "127.0.0.1", port: member.ports.engine, username: account, password, vhost: "quorate" };
    const connection = new Connection({ ...options, retryLow: 60_000 });
    const refusal = new Promise<never>((_, reject) => connection.once("error", reject));
    await Promise.race([connection.onConnect(10_000), refusal]).finally(() => connection.unsafeDestroy());
  },
  client: async (group) => {
    const client = new QueueClient(() => group.addresses(), await group.cluster.password("app"));
    return {
      start: () => client.start(),
      finish: () => client.finish(),
      get done() {
        return client.confirmed;
      },
    };
  },
};

let group: GroupCluster;

function folderOf({ name }: TestMember): string {
  return join(group.cluster.folder, name);
}

/** Brings another password to all members, so long ago that every node has it. */
async function bring(account: string, password: string): Promise<void> {
  const path = join(group.cluster.folder, "credentials", account);
  await writeFile(path, password);
  const at = new Date(Date.now() - LONG_AGO_MS);
  await utimes(path, at, at);
  await chown(path, USER.uid, USER.gid);
}

function untilAllServe(): Promise<void> {
  return vi.waitFor(async () => {
    for (const member of group.cluster.members) expect(await group.isReady(member)).toBe(true);
  }, WAIT);
}

describe.each([etcd, galera, rabbitmq])("the members of $engine.name", { timeout: 600_000 }, (subject) => {
  const { accounts, engine, isHere, logIn } = subject;

  describe.skipIf(!isHere)("have passwords for themselves", () => {
    const expectTaken = async (generation: string, former: string): Promise<void> => {
      for (const account of accounts) {
        for (const member of group.cluster.members)
          await vi.waitFor(() => logIn(member, account, `${generation}-of-${account}`), WAIT);
        for (const member of group.cluster.members)
          await expect(logIn(member, account, `${former}-of-${account}`)).rejects.toThrow(REFUSED);
      }
    };
    /** Runs `change` under a client, and expects that it lost nothing. */
    const underLoad = async (change: () => Promise<void>): Promise<Verdict> => {
      const client = await subject.client(group);
      client.start();
      await vi.waitFor(() => expect(client.done).toBeGreaterThan(20), WAIT);
      await change();
      const { done } = client;
      await vi.waitFor(() => expect(client.done).toBeGreaterThan(done + 20), WAIT);
      const verdict = await client.finish();
      process.stdout.write(`  ${engine.name}: ${JSON.stringify(verdict)}\n`);
      expect(verdict.lost).toBe(0);
      return verdict;
    };

    beforeAll(async () => {
      group = new GroupCluster(await MemberCluster.create(3, engine));
      for (const member of group.cluster.members) group.cluster.run(member);
      await group.untilWhole();
      await untilAllServe(); // one that is still copied to counts as a member
      await group.cluster.want({ bootstrapMember: null });
    }, 400_000);
    afterAll(() => group.cluster.stop());

    test("that change, and no write fails or is lost by that", async () => {
      const verdict = await underLoad(async () => {
        for (const account of accounts) await bring(account, `second-of-${account}`);
        await expectTaken("second", "secret");
        await pause(2000);
      });
      expect(verdict.unknown).toBe(0);
    });

    test("by which a member that was killed comes back, and one that lost its volume", async () => {
      await underLoad(async () => {
        const leader = (await group.leader())?.member ?? group.cluster.members[0];
        const [, , other] = group.cluster.members;
        for (const victim of [leader, other]) {
          if (victim === undefined) throw new Error("no member");
          await group.cluster.kill(victim);
          if (victim === other) await group.cluster.loseVolume(victim);
          if (victim === other) await group.cluster.renewPod(victim);
          group.cluster.run(victim);
          await pause(3000);
          await group.untilWhole();
          await untilAllServe();
        }
      });
      await expectTaken("second", "secret");
    });

    test("that change while a member is away, which takes them when it comes back", async () => {
      const leader = (await group.leader())?.member;
      const away = group.cluster.members.find((member) => member !== leader);
      if (away === undefined) throw new Error("no member");
      await group.cluster.terminate(away);
      for (const account of accounts) await bring(account, `third-of-${account}`);
      const others = group.cluster.members.filter((member) => member !== away);
      for (const account of accounts)
        for (const member of others) await vi.waitFor(() => logIn(member, account, `third-of-${account}`), WAIT);
      group.cluster.run(away);
      await group.untilWhole();
      await expectTaken("third", "second");
    });
  });
});
