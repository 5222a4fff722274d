// Accounts that the intent asks for, made by real agents: once for all where members share them, at each where each has its own.
import { execFile } from "node:child_process";
import { chown, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { hasMariadb, MARIADB_PROGRAMS } from "../engine/host-mariadb.ts";
import { hasRedis, REDIS_PROGRAMS } from "../engine/host-redis.ts";
import { type HostEngine, MemberCluster, type TestMember } from "./harness.ts";

const USER = { uid: 65534, gid: 65534 };
const APP = { name: "app", secretKey: "app", database: "app" };
const SHOP = { name: "shop", secretKey: "shop", database: "goods" };
const run = promisify(execFile);
const WAIT = { timeout: 120_000, interval: 300 };
const eventually = (look: () => Promise<void>): Promise<void> => vi.waitFor(look, WAIT);

let cluster: MemberCluster;

async function setPassword(password: string): Promise<void> {
  const path = join(cluster.folder, "credentials", "shop");
  await writeFile(path, password);
  await chown(path, USER.uid, USER.gid);
}

/** Lets every member look on while each can log in with `password`. */
async function expectEverywhere(
  said: (member: TestMember, password: string) => Promise<string>,
  password: string,
  answer: string | RegExp,
): Promise<void> {
  await eventually(async () => {
    const answers = await Promise.all(cluster.members.map((member) => said(member, password)));
    expect(answers).toEqual(cluster.members.map(() => expect.stringMatching(answer)));
  });
}

/** What a program says; its words on standard error when it fails. */
function words(program: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<string> {
  return run(program, args, { env: { ...process.env, ...env } }).then(
    ({ stdout, stderr }) => (stdout + stderr).trim(),
    (error: Error & { readonly stderr?: string }) => error.stderr?.trim() ?? error.message,
  );
}

describe.skipIf(!hasMariadb)("where members share their accounts", { timeout: 300_000 }, () => {
  const GALERA: HostEngine = { name: "galera", user: USER, programs: MARIADB_PROGRAMS };

  const logIn = ({ ports }: TestMember, password: string): Promise<string> => {
    const args = ["--no-defaults", "--host=127.0.0.1", `--port=${ports.engine}`, "--protocol=tcp", "--user=shop"];
    const statement = ["--batch", "--skip-column-names", "-e", "SELECT 'in as', CURRENT_USER()", "goods"];
    return words("mariadb", [...args, ...statement], { MYSQL_PWD: password });
  };
  const coordinator = async (): Promise<TestMember> => {
    for (const member of cluster.members) {
      const status = (await cluster.status(member).catch(() => undefined)) as
        | { readonly view?: { readonly seen?: { readonly leads: boolean } } | null }
        | undefined;
      if (status?.view?.seen?.leads === true) return member;
    }
    throw new Error("nobody speaks for the members");
  };

  beforeAll(async () => {
    cluster = await MemberCluster.create(3, GALERA);
    await cluster.want({ parameters: { ...cluster.intent.parameters, "gcache.size": "16M" } });
    for (const member of cluster.members) cluster.run(member);
    await eventually(async () => void (await coordinator()));
    await cluster.want({ bootstrapMember: null });
  }, 300_000);
  afterAll(() => cluster.stop());

  test("an account is made once its password is there, and can log in at every member", async () => {
    await cluster.want({ accounts: [APP, SHOP] });
    await eventually(async () => {
      const report = await cluster.report(await coordinator());
      expect(report?.accountsMissing).toBe("a password has not reached this member yet");
    });
    await setPassword("first");
    await expectEverywhere(logIn, "first", /^in as\tshop@%$/);
    await eventually(async () => expect((await cluster.report(await coordinator()))?.accountsMissing).toBeUndefined());
  });

  test("it follows its password; the old one is refused everywhere", async () => {
    await setPassword("second");
    await expectEverywhere(logIn, "second", /^in as/);
    await expectEverywhere(logIn, "first", "Access denied");
  });

  test("another member takes over when the one that makes accounts is killed", async () => {
    const former = await coordinator();
    await cluster.kill(former);
    await setPassword("third");
    const [one, other] = cluster.members.filter((member) => member !== former);
    if (one === undefined || other === undefined) throw new Error("no members are left");
    await eventually(async () => expect(await logIn(one, "third")).toMatch(/^in as/));
    cluster.run(former);
    await expectEverywhere(logIn, "third", /^in as/);
    await expectEverywhere(logIn, "second", "Access denied");
  });

  test("one that is not wanted any more can log in nowhere", async () => {
    await cluster.want({ accounts: [APP] });
    await expectEverywhere(logIn, "third", "locked");
  });
});

describe.skipIf(!hasRedis)("where each member has accounts of its own", { timeout: 300_000 }, () => {
  const REDIS: HostEngine = { name: "redis", user: USER, programs: REDIS_PROGRAMS };

  const logIn = ({ ports }: TestMember, password: string): Promise<string> =>
    words(REDIS_PROGRAMS["redis-cli"], ["-p", String(ports.engine), "--user", "shop", "ping"], {
      REDISCLI_AUTH: password,
    });

  const missing = async (): Promise<(string | undefined)[]> => {
    const reports = await Promise.all(cluster.members.map((member) => cluster.report(member)));
    return reports.map((report) => report?.accountsMissing);
  };

  beforeAll(async () => {
    cluster = await MemberCluster.create(3, REDIS);
    await cluster.want({ durability: { mode: "Async", whenDegraded: "Block" } });
    for (const member of cluster.members) cluster.run(member);
    await cluster.untilWhole();
    await cluster.want({ bootstrapMember: null });
  }, 300_000);
  afterAll(() => cluster.stop());

  test("leader and followers make them, and follow their passwords", async () => {
    await cluster.want({ accounts: [APP, SHOP] });
    await setPassword("first");
    await expectEverywhere(logIn, "first", /^PONG$/);
    await setPassword("second");
    await expectEverywhere(logIn, "second", /^PONG$/);
    await expectEverywhere(logIn, "first", "WRONGPASS");
  });

  test("a member that comes back after changes has what is wanted now, and so has one with a new volume", async () => {
    const leader = await cluster.untilWhole();
    const [one, other] = cluster.members.filter((member) => member !== leader);
    if (one === undefined || other === undefined) throw new Error("no followers");
    await cluster.terminate(one);
    await cluster.terminate(other);
    await cluster.loseVolume(other);
    await setPassword("third");
    cluster.run(one);
    cluster.run(other);
    await expectEverywhere(logIn, "third", /^PONG$/);
    await expectEverywhere(logIn, "second", "WRONGPASS");
  });

  test("a new leader has them from its first moment on", async () => {
    const leader = await cluster.untilWhole();
    await cluster.kill(leader);
    const next = await cluster.untilAnotherLeads(leader);
    expect(await logIn(next, "third")).toBe("PONG");
    cluster.run(leader);
    await cluster.untilWhole();
    await expectEverywhere(logIn, "third", /^PONG$/);
  });

  test("a rule that an engine does not take is told by every member, and the others are made", async () => {
    const wrong = { name: "odd", secretKey: "shop", database: "odd", rules: ["+nosuch"] };
    await cluster.want({ accounts: [APP, SHOP, wrong] });
    await eventually(async () => {
      const wanted = cluster.members.map(() => expect.stringContaining("Unknown command or category"));
      expect(await missing()).toEqual(wanted);
    });
    await expectEverywhere(logIn, "third", /^PONG$/);
    await cluster.want({ accounts: [APP] });
    await expectEverywhere(logIn, "third", "WRONGPASS");
    await eventually(async () => {
      expect(await missing()).toEqual(cluster.members.map(() => undefined));
    });
  });
});
