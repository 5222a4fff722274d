/** What the contract asks of an Engine whose leader the members elect (topology ActivePassive). */
import { setTimeout as pause } from "node:timers/promises";
import { ActionError } from "../agent/engine/driver.ts";
import { comparePositions } from "../agent/protocol/position.ts";
import {
  BACKUP_RULE,
  type Descendant,
  type Origin,
  tryBackups,
  tryVerifications,
  VERIFY_RULE,
} from "./backup-checks.ts";
import {
  bringBack,
  type Check,
  demand,
  demandSoon,
  exitCode,
  IMPOSSIBLE,
  type LeaseWorld,
  order,
  untilCaughtUp,
  write,
} from "./check.ts";
import { testPasswords } from "./credentials.ts";
import { fences } from "./fence-check.ts";
import { HostCluster, type HostSoftware } from "./host-cluster.ts";
import { HostMember, StartError } from "./host-member.ts";
import { claimPorts } from "./ports.ts";
import { demandSecrecy } from "./secrecy.ts";

/** How long after it was asked for an action is killed, to see that it can be run again. */
const KILLED_AFTER_MS = [5, 30, 100, 300] as const;
/** What a leader is given to do what it must not do. */
const TEMPTATION_MS = 1000;

async function runKilled(member: HostMember, action: "initialize" | "clone", leader?: HostMember): Promise<void> {
  const context = leader === undefined ? {} : HostMember.following(leader);
  for (const afterMs of KILLED_AFTER_MS) {
    const kill = new AbortController();
    const running = exitCode(member.driver.run(action, context, kill.signal));
    await pause(afterMs);
    kill.abort();
    if ((await running) === 0) break;
  }
  await member.run(action, context);
}

const initializing: Check<LeaseWorld> = {
  name: "initialize",
  rule: "initialize can be killed at any point and run again, and its engine starts as a follower of nobody",
  formed: 0,
  run: async ({ a }) => {
    await runKilled(a, "initialize");
    const first = (await a.start()).position;
    await a.stop();
    await a.run("initialize");
    const { writable, receiving, position } = await a.start();
    demand(!writable, "start: the engine comes up writable; only promote may make it so");
    demand(!receiving, "observe: receiving is true although there is no leader");
    demand(
      comparePositions(first, position) !== "incomparable",
      "initialize: run again it made another data set; it must leave what is there",
    );
  },
};

const roles: Check<LeaseWorld> = {
  name: "roles",
  rule: "observe tells the truth about who writes and who follows, also after a restart and a change of leader",
  run: async ({ cluster, a, b, c }) => {
    const expectLeader = async (leader: HostMember, follower: HostMember): Promise<void> => {
      demand((await leader.observe()).writable, `observe: writable is false on ${leader.name}, which was promoted`);
      demand(!(await follower.observe()).writable, `observe: writable is true on ${follower.name}, which follows`);
      await demandSoon(
        async () => (await follower.observe()).receiving,
        `observe: receiving stays false on ${follower.name}, which follows`,
      );
      await demandSoon(
        async () => (await leader.observe()).followers.some((one) => one.name === follower.name && one.streaming),
        `observe: followers of ${leader.name} does not name ${follower.name} as streaming`,
      );
    };
    await expectLeader(a, b);
    await expectLeader(a, c);
    await a.stop();
    demand(!(await a.start()).writable, "configure: a leader that is started again comes up writable");
    await cluster.promote(b, []);
    await a.follow(b);
    await expectLeader(b, a);
  },
};

const writes: Check<LeaseWorld> = {
  name: "writes",
  rule: "probeWrite succeeds on the leader and moves its position, and fails on a follower",
  leavesWhole: true,
  run: async ({ cluster, a, b }) => {
    const before = (await a.observe()).position;
    await write(a, cluster.epoch, 3);
    demand(
      comparePositions((await a.observe()).position, before) === "ahead",
      "observe: the leader's position is not further after writes",
    );
    demand((await exitCode(write(b, cluster.epoch))) !== 0, "probeWrite: it succeeds on a follower");
  },
};

const seals: Check<LeaseWorld> = {
  name: "seal",
  rule: "after seal nothing more arrives, whatever the leader does, also after a restart; and follow goes on from there",
  run: async ({ cluster, a, b, c }) => {
    await untilCaughtUp(a, b, c);
    await cluster.setSyncSet(a, [], 0);
    await b.run("seal");
    const { position, receiving } = await b.observe();
    demand(!receiving, "seal: the follower still says that it is receiving");
    await write(a, cluster.epoch, 5);
    await pause(TEMPTATION_MS);
    const moved = "seal: the follower's position still moves";
    demand(comparePositions((await b.observe()).position, position) === "equal", moved);
    await b.run("seal");
    await b.stop();
    const again = await b.start();
    demand(!again.receiving, "configure: a follower that is started again follows somebody by itself");
    demand(
      comparePositions(again.position, position) === "equal",
      "observe: a clean stop changes the position of a sealed follower",
    );
    await b.follow(a);
    await untilCaughtUp(a, b);
  },
};

const clones: Check<LeaseWorld> = {
  name: "clone",
  rule: "clone can be killed at any point and run again, and its copy follows the leader",
  run: async ({ cluster, a, b }) => {
    await write(a, cluster.epoch, 20);
    await b.stop();
    await runKilled(b, "clone", a);
    demand(!(await b.start()).writable, "clone: the copy comes up writable");
    demand((await order(b, a)) !== "incomparable", "clone: the copy's position cannot be compared with the leader's");
    await b.follow(a);
    await untilCaughtUp(a, b);
  },
};

const failovers: Check<LeaseWorld> = {
  name: "failover",
  rule: "positions stay comparable over changes of leader: whoever followed is behind the new one",
  run: async ({ cluster, a, b, c }) => {
    let [leader, next, other] = [a, b, c];
    for (let round = 0; round < 2; round++) {
      await write(leader, cluster.epoch, 5);
      await untilCaughtUp(leader, next, other);
      const old = (await next.observe()).position;
      await leader.kill();
      await other.run("seal");
      await cluster.promote(next, []);
      const { position } = await next.observe();
      demand(
        comparePositions(old, position) === "behind" && old.history !== position.history,
        `promote: the new leader's position must begin a new history whose ancestors hold the former one; it went from ${old.history}:${old.value} to ${position.history}:${position.value}`,
      );
      await other.follow(next);
      await untilCaughtUp(next, other);
      await leader.start();
      demand(
        (await order(leader, next)) !== "incomparable",
        `observe: ${leader.name}, killed as the leader, cannot be compared`,
      );
      [leader, next, other] = [next, other, leader];
      await bringBack(other, leader);
    }
  },
};

const divergence: Check<LeaseWorld> = {
  name: "divergence",
  rule: "a member with a tail that the leader lacks refuses to follow with exit code 3, and is brought back by rejoin or clone",
  run: async ({ cluster, a, b, c }) => {
    await untilCaughtUp(a, b, c);
    await cluster.setSyncSet(a, [], 0);
    for (const follower of [b, c]) await follower.run("seal");
    await write(a, cluster.epoch, 5);
    await a.observe();
    await a.kill();
    await cluster.promote(b, []);
    await write(b, cluster.epoch, 5);
    await a.start();
    demand(
      (await exitCode(a.follow(b))) === IMPOSSIBLE,
      "follow: it does not refuse, although the member holds writes that the leader lacks; compare with QUORATE_LEADER_HISTORY and QUORATE_LEADER_ANCESTORS before connecting",
    );
    await bringBack(a, b);
  },
};

const handovers: Check<LeaseWorld> = {
  name: "handover",
  rule: "a leader that is stopped cleanly under load leaves its followers with everything it holds",
  run: async ({ cluster, a, b, c }) => {
    await untilCaughtUp(a, b, c);
    let acknowledged = 0;
    const load = (async () => {
      while ((await exitCode(write(a, cluster.epoch))) === 0) acknowledged++;
    })();
    await pause(TEMPTATION_MS);
    await a.stop();
    await load;
    demand(acknowledged > 0, "probeWrite: no write was acknowledged within a second");
    await b.run("seal");
    const end = (await b.observe()).position;
    const { position } = await a.start();
    demand(
      ["equal", "behind"].includes(comparePositions(position, end)),
      `stop: the stopped leader holds ${position.value}, its follower ${end.value}: a planned change of leader loses what lies between`,
    );
  },
};

const promises: Check<LeaseWorld> = {
  name: "durability",
  rule: "a synchronous set holds back writes until so many of it have them; an Engine of mode Async refuses one",
  run: async ({ cluster, spec, a, b, c }) => {
    if (spec.durabilityModes.every((mode) => mode === "Async")) {
      const code = await exitCode(cluster.setSyncSet(a, [b, c], 1));
      demand(code !== 0, "setSyncSet: it accepts a set although durabilityModes has Async only");
      return;
    }
    await cluster.setSyncSet(a, [b], 1);
    const { syncSet } = await a.observe();
    demand(
      syncSet.ack === 1 && syncSet.names.join() === b.name,
      `observe: syncSet says ${syncSet.ack} of ${syncSet.names.join()} after setSyncSet of 1 of ${b.name}`,
    );
    await b.kill();
    const wrote = await Promise.race([exitCode(write(a, cluster.epoch)), pause(2 * TEMPTATION_MS)]);
    demand(wrote !== 0, `setSyncSet: a write is acknowledged while ${b.name}, which has to confirm it, is dead`);
  },
};

const secrecy: Check<LeaseWorld> = {
  name: "secrets",
  rule: "no password is on a command line or in what the engine prints",
  run: async ({ cluster }) => demandSecrecy(cluster),
};

const reloads: Check<LeaseWorld> = {
  name: "reload",
  rule: "reload without a changed parameter succeeds, and leaves role and data alone",
  leavesWhole: true,
  run: async ({ a }) => {
    const before = (await a.observe()).position;
    await a.run("reload");
    const { writable, position } = await a.observe();
    demand(writable, "reload: the leader is not writable any more");
    demand(["equal", "ahead"].includes(comparePositions(position, before)), "reload: the leader's position went back");
  },
};

/** The cluster of which `a` leads, for the rules about copies. */
function originOf({ cluster, spec, a, b, c }: LeaseWorld): Origin {
  return {
    spec,
    client: cluster.software.client,
    leader: a,
    followers: [b, c],
    write: () => write(a, cluster.epoch),
    settle: async () => {
      await untilCaughtUp(a, b, c);
      return (await a.observe()).position;
    },
    demandRoles: async (when) => {
      demand((await a.observe()).writable, `${when}: the leader is not writable any more`);
      for (const follower of [b, c]) {
        const { writable, receiving } = await follower.observe();
        demand(!writable && receiving, `${when}: ${follower.name} does not follow any more`);
      }
    },
    contextOf: (member) => (member === a ? {} : HostMember.following(a)),
    prepare: () => prepareDescendant(cluster.software),
  };
}

/** Two empty members of another cluster, the first of which is to be restored. */
async function prepareDescendant(software: HostSoftware): Promise<Descendant> {
  const passwords = testPasswords(software.spec.accounts);
  const cluster = new HostCluster(await claimPorts(2), { ...software, name: "restored", passwords });
  const [first, second] = [cluster.member(0), cluster.member(1)];
  return {
    cluster,
    first,
    restore: (file, signal) => first.restore(file, signal),
    comesUp: async () => {
      try {
        await first.start();
        return true;
      } catch (error) {
        if (!(error instanceof ActionError) && !(error instanceof StartError)) throw error;
        return false;
      } finally {
        await first.kill();
      }
    },
    begin: async () => {
      const { writable, position } = await first.start();
      demand(!writable, "restore: the copy comes up writable");
      await cluster.promote(first, []);
      return position;
    },
    write: () => write(first, cluster.epoch),
    join: async () => {
      await second.run("clone", HostMember.following(first));
      await second.start();
      await second.follow(first);
      await untilCaughtUp(first, second);
      await first.kill();
      await cluster.promote(second, []);
      await first.start();
      await bringBack(first, second);
    },
    close: () => cluster.close(),
  };
}

const backups: Check<LeaseWorld> = {
  ...BACKUP_RULE,
  leavesWhole: true,
  run: (world) => tryBackups(originOf(world)),
};

const verifications: Check<LeaseWorld> = {
  ...VERIFY_RULE,
  leavesWhole: true,
  run: (world) => tryVerifications(originOf(world)),
};

/** In the order in which a beginner of an Engine meets them. */
export const LEASE_CHECKS: readonly Check<LeaseWorld>[] = [
  initializing,
  roles,
  writes,
  seals,
  clones,
  failovers,
  divergence,
  handovers,
  promises,
  fences,
  reloads,
  verifications,
  backups,
  secrecy,
];
