/** Tries an Engine against the contract, check after check, each with members of its own. */
import { ActionError } from "../agent/engine/driver.ts";
import type { EngineSpec } from "../api/engine.ts";
import type { EngineActions } from "../api/engine-actions.ts";
import type { Topology } from "../api/topology.ts";
import { ACTIVE_CHECKS, formActive } from "./active-checks.ts";
import { type Check, Finding, type LeaseWorld } from "./check.ts";
import { CONSENSUS_CHECKS } from "./consensus-checks.ts";
import { formConsensus } from "./consensus-group.ts";
import type { GroupWorld } from "./group-checks.ts";
import { HostCluster, type HostSoftware } from "./host-cluster.ts";
import { HostShards } from "./host-shards.ts";
import { type GroupSeat, HostGroup } from "./host-group.ts";
import { type HostMember, StartError } from "./host-member.ts";
import { LEASE_CHECKS } from "./lease-checks.ts";
import { HostServer } from "./host-server.ts";
import { claimPorts } from "./ports.ts";
import { STATELESS_CHECKS } from "./stateless-checks.ts";
import { SHARD_CHECKS, type ShardWorld } from "./shard-checks.ts";

/** How a check ended; without `problem` the Engine keeps the rule. */
export interface CheckResult {
  readonly name: string;
  readonly rule: string;
  readonly problem?: string;
  /** The end of what the members' engines printed, when there is a problem. */
  readonly logs?: readonly string[];
}

/** What is to be tried. */
export interface Trial {
  /** Names of checks; all when empty or absent. */
  readonly only?: readonly string[];
  /** Of those of the Engine; when absent the first. */
  readonly topology?: Topology | undefined;
}

/** Members for one check, and how they become a cluster. */
interface Site<World> {
  readonly members: readonly HostMember[];
  readonly world: World;
  /** Forms the cluster of the first so many; of all that there are when that is not said. */
  readonly form: (count?: number) => Promise<void>;
  readonly close: () => Promise<void>;
}

/** How Engines of one topology are tried. */
interface Suite {
  readonly names: readonly string[];
  /** Those of them that need quorate-init. */
  readonly withInit: readonly string[];
  readonly run: (only: readonly string[], software: HostSoftware) => AsyncGenerator<CheckResult>;
}

const GIVE_INIT = "give the program quorate-init with --init";
const MEMBERS = 3;
const LOG_LINES = 8;

function suite<World>(checks: readonly Check<World>[], open: (software: HostSoftware) => Promise<Site<World>>): Suite {
  return {
    names: checks.map(({ name }) => name),
    withInit: checks.flatMap(({ name, needsInit = false }) => (needsInit ? [name] : [])),
    async *run(only, software) {
      let kept: Site<World> | undefined;
      const isWanted = ({ name, needsInit = false }: Check<World>): boolean =>
        only.length === 0 ? !needsInit || software.init !== undefined : only.includes(name);
      try {
        for (const check of checks.filter(isWanted)) {
          if (check.formed !== undefined) {
            await kept?.close();
            kept = undefined;
          }
          const isFormed = kept !== undefined;
          const site: Site<World> = kept ?? (await open(software));
          kept = site;
          const result = await tryCheck(check, site, isFormed);
          if (result.problem !== undefined || check.leavesWhole !== true) {
            await site.close();
            kept = undefined;
          }
          yield result;
        }
      } finally {
        await kept?.close();
      }
    },
  };
}

const SUITES: Readonly<Record<Topology, Suite>> = {
  ActivePassive: suite<LeaseWorld>(LEASE_CHECKS, async (software) => {
    const cluster = new HostCluster(await claimPorts(MEMBERS), software);
    // As agents have it: without them a busy leader may drop log that a follower has not received yet.
    for (const member of cluster.members) member.useDefaults();
    const waits = software.spec.durabilityModes.some((mode) => mode !== "Async");
    const [a, b, c] = [cluster.member(0), cluster.member(1), cluster.member(2)];
    return {
      members: cluster.members,
      world: { cluster, spec: software.spec, a, b, c },
      form: () => cluster.form(waits ? 1 : 0),
      close: () => cluster.close(),
    };
  }),
  Consensus: suite(CONSENSUS_CHECKS, (software) => openGroup(software, formConsensus)),
  ActiveActive: suite(ACTIVE_CHECKS, (software) => openGroup(software, formActive)),
  Sharded: suite<ShardWorld>(SHARD_CHECKS, async (software) => {
    const shards = await HostShards.create(software);
    const { cluster } = shards.first;
    const [a, b, c] = [cluster.member(0), cluster.member(1), cluster.member(2)];
    return {
      members: shards.members,
      world: { shards, cluster, spec: software.spec, a, b, c },
      form: (count) => shards.form(count),
      close: () => shards.close(),
    };
  }),
  Stateless: suite(STATELESS_CHECKS, async (software) => {
    const server = await HostServer.create(software);
    return {
      members: server.cluster.members,
      world: { server, graceSeconds: software.spec.stop.graceSeconds },
      form: () => Promise.resolve(),
      close: () => server.close(),
    };
  }),
};

async function openGroup(
  software: HostSoftware,
  form: (seats: readonly GroupSeat[]) => Promise<void>,
): Promise<Site<GroupWorld>> {
  const group = await HostGroup.create(MEMBERS, software);
  const [a, b, c] = [group.seat(0), group.seat(1), group.seat(2)];
  return {
    members: group.cluster.members,
    world: { group, spec: software.spec, a, b, c },
    form: (count) => form(group.seats.slice(0, count)),
    close: () => group.close(),
  };
}

/** Names of the checks of a topology. */
export function checkNames(topology: Topology): readonly string[] {
  return SUITES[topology].names;
}

/** What the contract, or a pod, asks of an Engine of a topology and no check can try, with what is at hand: for people, a sentence part each. */
export function untried(
  topology: Topology,
  { client, init }: Pick<HostSoftware, "client" | "init">,
  { backup, verify }: Pick<EngineActions, "backup" | "verify">,
): readonly string[] {
  if (topology === "Stateless")
    return [
      "what the pod adds: the random wait before a start, the time that a member goes on answering after it left the Service, a root file system that cannot be written",
      "whether ready turns bad when the server cannot serve: only you know when that is",
    ];
  const common = [
    "what agents do, the same for every Engine: elections, and when members come and go",
    "accounts of users (makeAccounts), changed passwords (takePasswords), hooks of an update",
    ...(SUITES[topology].withInit.length > 0 && init === undefined ? [`the fence: ${GIVE_INIT}`] : []),
    ...(verify === undefined ? ["verify: the Engine does not declare it"] : []),
  ];
  const unless = client === undefined ? ["give a program that writes and reads some with --client"] : [];
  if (topology === "Sharded") {
    const [restored, tls] = [
      "backup and restore: a part of a whole is not restored alone",
      "shards that speak TLS with each other",
    ];
    return [...common, restored, tls, ...unless.map((advice) => `whether slots move with their keys: ${advice}`)];
  }
  if (backup === undefined) return [...common, "backup and restore: the Engine declares neither"];
  const copied = "whether all that was acknowledged is in a backup, unless positions tell; and accounts of clients";
  return [...common, ...unless.map((advice) => `${copied}: ${advice}`)];
}

/** Names of all checks, of whatever topology. */
export const CHECK_NAMES: readonly string[] = [
  ...new Set(Object.values(SUITES).flatMap(({ names }) => [...names])),
].toSorted();

/**
 * Runs the checks one after the other, with the engine's programs on this host.
 *
 * @throws {Error} when the Engine cannot be tried here at all, or not as it was asked for; it says what to change.
 */
export async function* tryEngine(software: HostSoftware, trial: Trial = {}): AsyncGenerator<CheckResult> {
  const topology = topologyOf(software.spec, trial.topology);
  const found = SUITES[topology];
  const only = trial.only ?? [];
  const unknown = only.find((name) => !found.names.includes(name));
  if (unknown !== undefined)
    throw new Error(`topology ${topology} has no check ${unknown}: choose from ${found.names.join(", ")}`);
  const [lacking] = software.init === undefined ? found.withInit.filter((name) => only.includes(name)) : [];
  if (lacking !== undefined) throw new Error(`${lacking} cannot be tried: ${GIVE_INIT}`);
  if (topology !== "Stateless" && software.spec.actions.probeWrite === undefined)
    throw new Error("declare the action probeWrite: the checks write by it");
  yield* found.run(only, software);
}

/** The topology that an Engine is tried in. @throws {Error} when it does not have the one that is asked for. */
export function topologyOf({ topologies }: Pick<EngineSpec, "topologies">, asked?: Topology): Topology {
  const topology = asked ?? topologies[0];
  if (topology === undefined || !topologies.includes(topology))
    throw new Error(`the Engine has no topology ${topology ?? ""}: choose from ${topologies.join(", ")}`);
  return topology;
}

async function tryCheck<World>(check: Check<World>, site: Site<World>, isFormed: boolean): Promise<CheckResult> {
  const { name, rule, formed } = check;
  try {
    if (formed !== 0 && !isFormed) await site.form(formed);
    await check.run(site.world);
    return { name, rule };
  } catch (error) {
    if (!(error instanceof Finding) && !(error instanceof ActionError) && !(error instanceof StartError)) throw error;
    const logs = site.members.flatMap((member) => lastLines(member.name, member.log));
    return { name, rule, problem: error.message, logs };
  }
}

function lastLines(name: string, log: string): string[] {
  return log
    .trimEnd()
    .split("\n")
    .slice(-LOG_LINES)
    .flatMap((line) => (line === "" ? [] : [`${name}: ${line}`]));
}
