/** What the contract asks of an Engine that can be backed up and restored, or that looks for damage, in whatever topology. */
import { closeSync, mkdtempSync, openSync, readSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { ActionContext } from "../agent/engine/context.ts";
import { comparePositions } from "../agent/protocol/position.ts";
import type { EngineSpec } from "../api/engine.ts";
import type { EnginePosition } from "../api/engine-observation.ts";
import { demand, demandSoon, exitCode } from "./check.ts";
import type { HostCluster } from "./host-cluster.ts";
import type { HostMember } from "./host-member.ts";
import { KeyClient } from "./key-client.ts";
import { demandSecrecyDuring } from "./secrecy.ts";

/** The rules, which are the same in every topology. */
export const BACKUP_RULE = {
  name: "backup",
  rule: "backup, where the Engine declares it, is a whole copy of what was acknowledged before it began, taken while clients write; restore makes a new cluster of it, with passwords of its own, also when it was killed before, and nothing of a part of one",
} as const;
export const VERIFY_RULE = {
  name: "verify",
  rule: "verify, where the Engine declares it, finds nothing in healthy copies, on every member and while clients write, and holds up nobody",
} as const;

/** A cluster that backups are taken of. */
export interface Origin {
  readonly spec: EngineSpec;
  /** Program that writes and reads keys, if there is one. */
  readonly client: string | undefined;
  readonly leader: HostMember;
  readonly followers: readonly HostMember[];
  /** Commits something small through the leader. */
  readonly write: () => Promise<void>;
  /** Waits until every member has everything. @returns where that ends. */
  readonly settle: () => Promise<EnginePosition>;
  /** Demands that who led before leads, and everybody says so. */
  readonly demandRoles: (when: string) => Promise<void>;
  /** What agents would tell verify on this member. */
  readonly contextOf: (member: HostMember) => Partial<ActionContext>;
  /** Makes the empty folders of another cluster, with other passwords. */
  readonly prepare: () => Promise<Descendant>;
}

/** A new cluster of two members, the first of which is restored. */
export interface Descendant {
  readonly cluster: HostCluster;
  readonly first: HostMember;
  /** Runs restore as an agent would, who sets aside first what is left of one that was cut short. */
  readonly restore: (file: string, signal?: AbortSignal) => Promise<void>;
  /** Starts the first member, and tells whether it comes up; it is stopped then. */
  readonly comesUp: () => Promise<boolean>;
  /** Starts it, and makes it one that takes writes. @returns where its log ended before. */
  readonly begin: () => Promise<EnginePosition>;
  readonly write: () => Promise<void>;
  /** Makes the second member one of the cluster, with everything that the first has. */
  readonly join: () => Promise<void>;
  readonly close: () => Promise<void>;
}

/** How long after it was asked for a restore is killed, to see that it can be run again. */
const KILLED_AFTER_MS = [30, 200, 700] as const;
/** What writers wait between two writes: they shall meet every state, and leave the machine to the servers. */
const BREATH_MS = 10;

/** Does something while clients write. @throws {Finding} when a write fails meanwhile, or none is acknowledged. */
async function whileWriting({ write }: Pick<Origin, "write">, what: string, work: () => Promise<void>): Promise<void> {
  const over = new AbortController();
  let acknowledged = 0;
  let failed = 0;
  const load = (async () => {
    while (!over.signal.aborted || acknowledged + failed === 0) {
      if ((await exitCode(write())) === 0) acknowledged++;
      else failed++;
      await pause(BREATH_MS);
    }
  })();
  try {
    await work();
  } finally {
    over.abort();
    await load;
  }
  demand(failed === 0, `${what}: of ${acknowledged + failed} writes meanwhile ${failed} failed or took too long`);
}

/** What was acknowledged before a backup began, and the file that it is in. */
interface Backup {
  readonly file: string;
  readonly keys: readonly string[];
  readonly position: EnginePosition;
}

async function backUp(origin: Origin, giver: HostMember, file: string, client?: KeyClient): Promise<Backup> {
  const keys = [...(client?.keys ?? [])];
  const position = await origin.settle();
  const what = `backup: on ${giver.name}, which ${giver === origin.leader ? "leads" : "follows"}`;
  await whileWriting(origin, what, () => giver.backUp(file));
  await origin.demandRoles(what);
  demand(statSync(file).size > 0, `${what}, it succeeds and writes nothing`);
  return { file, keys, position };
}

/** The first half of a file. */
function halve(file: string): string {
  const half = `${file}.half`;
  const bytes = Buffer.alloc(Math.floor(statSync(file).size / 2));
  const from = openSync(file, "r");
  readSync(from, bytes, 0, bytes.length, 0);
  closeSync(from);
  writeFileSync(half, bytes);
  return half;
}

async function demandRefused(descendant: Descendant, half: string): Promise<void> {
  const isRefused = (await exitCode(descendant.restore(half))) !== 0;
  demand(isRefused, "restore: it succeeds with the first half of a backup");
  demand(!(await descendant.comesUp()), "restore: it fails with half a backup, and leaves data that a start takes");
}

/** Kills it again and again, later each time, and lets it come to its end. */
async function restoreKilled(descendant: Descendant, file: string): Promise<void> {
  for (const afterMs of KILLED_AFTER_MS) {
    const kill = new AbortController();
    const running = exitCode(descendant.restore(file, kill.signal));
    await pause(afterMs);
    kill.abort();
    if ((await running) === 0) return;
  }
  await descendant.restore(file);
}

/** Demands that the new cluster has what was acknowledged, and opens to its own passwords alone. */
async function demandAll(origin: Origin, descendant: Descendant, backup: Backup, end: EnginePosition): Promise<void> {
  const { first } = descendant;
  const order = comparePositions(end, backup.position);
  demand(
    order !== "behind",
    `restore: the copy ends at ${end.value} of ${end.history}, where ${backup.position.value} was acknowledged before the backup began`,
  );
  if (origin.client === undefined) return;
  const former = new KeyClient(origin.client, () => first, credentialsOf(origin.leader));
  const own = new KeyClient(origin.client, () => first);
  const { keys } = backup;
  let missing: readonly string[] = [];
  await demandSoon(
    async () => {
      const isOpen = (await former.missing(keys)).length < keys.length;
      demand(!isOpen, "restore: the new cluster opens to a password of the one that the backup was taken of");
      missing = await own.missing(keys);
      return missing.length === 0 && own.works();
    },
    () =>
      `restore: of ${keys.length} keys that were acknowledged before the backup began a client with the new cluster's password does not find ${missing.length}, such as ${missing.slice(0, 3).join(" and ")}: ${own.said}`,
  );
}

function credentialsOf(member: HostMember): Partial<ActionContext> {
  const folder = member.driver.startCommand({}).env["QUORATE_CREDENTIALS_DIR"] ?? "";
  return { QUORATE_CREDENTIALS_DIR: folder };
}

/** Tries {@link BACKUP_RULE}. @throws {Finding} when it is broken. */
export async function tryBackups(origin: Origin): Promise<void> {
  if (origin.spec.actions.backup === undefined) return;
  const { leader, followers } = origin;
  const client = origin.client === undefined ? undefined : new KeyClient(origin.client, () => leader);
  const folder = mkdtempSync(join(tmpdir(), "quorate-backup-"));
  const descendants: Descendant[] = [];
  try {
    const givers = [...followers.slice(0, 1), leader];
    for (const [at, giver] of givers.entries()) {
      for (let round = 0; round < 2; round++) {
        await origin.write();
        if (client !== undefined) demand((await client.write()) > 0, `client: it writes no key: ${client.said}`);
      }
      const backup = await backUp(origin, giver, join(folder, giver.name), client);
      const descendant = await origin.prepare();
      descendants.push(descendant);
      if (at === 0) {
        await demandRefused(descendant, halve(backup.file));
        await demandSecrecyDuring(descendant.cluster, () => restoreKilled(descendant, backup.file));
      } else {
        await descendant.restore(backup.file);
      }
      await demandAll(origin, descendant, backup, await descendant.begin());
      await descendant.write();
      if (at === 0) await descendant.join();
      await descendant.close();
    }
  } finally {
    for (const descendant of descendants) await descendant.close();
    rmSync(folder, { recursive: true });
  }
}

/** Tries {@link VERIFY_RULE}. @throws {Finding} when it is broken. */
export async function tryVerifications(origin: Origin): Promise<void> {
  if (origin.spec.actions.verify === undefined) return;
  await origin.settle();
  for (const member of [...origin.followers, origin.leader]) {
    const what = `verify: on ${member.name}, which ${member === origin.leader ? "leads" : "follows"}`;
    await whileWriting(origin, what, async () => {
      const { damage } = await member.driver.verify(origin.contextOf(member));
      demand(damage.length === 0, `${what} and is healthy, it finds: ${damage.join("; ")}`);
    });
    await origin.demandRoles(what);
  }
}
