/** What the contract asks of an Engine that elects its leader and keeps its list of members itself (topology Consensus). */
import { setTimeout as pause } from "node:timers/promises";
import type { EngineView } from "../agent/group/types.ts";
import { BACKUP_RULE, tryBackups, tryVerifications, VERIFY_RULE } from "./backup-checks.ts";
import { type Check, demand, demandSoon, exitCode, GROUP_PATIENCE_MS, insist } from "./check.ts";
import {
  admit,
  bringUp,
  dismiss,
  formConsensus,
  invite,
  leaderOf,
  startNewcomer,
  untilAgreed,
} from "./consensus-group.ts";
import {
  cutAgainAndAgain,
  demandCounted,
  demandKept,
  demandSilent,
  durationOf,
  type GroupWorld,
  initializeCutShort,
  membersSeenBy,
  recoverCutShort,
  secrecyWhile,
  stopOneByOne,
  untilEqual,
} from "./group-checks.ts";
import { type Founding, originOfGroup } from "./group-backups.ts";
import { describeView, type GroupSeat, Load } from "./host-group.ts";

const initializing: Check<GroupWorld> = {
  name: "initialize",
  rule: "initialize can be killed at any point and run again; its engine is a group of one member that has a vote, leads and takes writes",
  formed: 0,
  run: async ({ a, b }) => {
    await initializeCutShort(a, b);
    await a.start([]);
    const said = "start: the engine of a new group is not a group of itself alone, with a vote, that it leads";
    const isAlone =
      ({ name }: GroupSeat) =>
      (view: EngineView) => {
        const [own, ...others] = view.group.members;
        return view.leads && own?.id === view.group.id && own.votes && own.name === name && others.length === 0;
      };
    await a.until(isAlone(a), said);
    await insist(() => a.write());
    const { position, group } = (await a.engine.observe()).view;
    await a.host.kill();
    await a.start([]);
    const after = await a.until(isAlone(a), said);
    demand(
      after.group.id === group.id,
      `start: after a kill the member is ${after.group.id}, where it was ${group.id}`,
    );
    demandKept(position, after.position, "start: after a kill of the only member");
  },
};

const roles: Check<GroupWorld> = {
  name: "roles",
  rule: "observe tells the truth through a failover: one leader in the highest term, and everybody lists the same members; who was killed comes back as itself",
  leavesWhole: true,
  run: async ({ group }) => {
    for (let round = 0; round < 2; round++) {
      const { leader, term } = await untilAgreed(group.seats);
      const id = (await leader.engine.observe()).view.group.id;
      await leader.host.kill();
      const others = group.others(leader);
      const next = await leaderOf(others);
      const later = (await next.engine.observe()).view.group.term;
      demand(later > term, `observe: after a change of leader the term is ${later}, where it was ${term} before`);
      await leader.start([]);
      const back = await leader.until(({ serves }) => serves, "start: a killed leader does not come back");
      demand(back.group.id === id, `start: after a kill the member is ${back.group.id}, where it was ${id} before`);
      await untilAgreed(group.seats);
    }
  },
};

const positions: Check<GroupWorld> = {
  name: "positions",
  rule: "positions move with writes, are the same on all members in the end, and never go back over a change of leader",
  leavesWhole: true,
  run: async ({ group }) => {
    const { leader } = await untilAgreed(group.seats);
    const before = await untilEqual(...group.seats);
    await leader.writeTimes(3);
    await demandCounted(leader, before, 3);
    await untilEqual(...group.seats);
    await leader.writeTimes(10);
    await demandCounted(leader, before, 13);
    const written = await untilEqual(...group.seats);
    await leader.host.kill();
    const next = await leaderOf(group.others(leader));
    demandKept(written, (await next.engine.observe()).view.position, "observe: after a change of leader");
    await insist(() => next.write());
    await demandCounted(next, written, 1);
    await leader.start([]);
    await leader.until(({ serves }) => serves, "start: a killed leader does not come back");
    await untilEqual(...group.seats);
  },
};

const majorities: Check<GroupWorld> = {
  name: "majority",
  rule: "without a majority observe still answers and says that nobody leads, and probeWrite fails; both go on when the majority is back",
  leavesWhole: true,
  run: async ({ group }) => {
    const { leader } = await untilAgreed(group.seats);
    await leader.write();
    const before = await untilEqual(...group.seats);
    const others = group.others(leader);
    await Promise.all(others.map(({ host }) => host.kill()));
    const alone = await leader.until(
      ({ leads, serves }) => !leads && !serves,
      "observe: a member without a majority goes on saying that somebody leads",
    );
    demand(
      alone.group.members.length === group.seats.length,
      `observe: without a majority ${leader.name} lists ${alone.group.members.length} members of ${group.seats.length}`,
    );
    demandKept(before, alone.position, "observe: without a majority");
    demand((await exitCode(leader.write())) !== 0, "probeWrite: it succeeds without a majority");
    for (const other of others) await other.start([]);
    await untilAgreed(group.seats);
    await insist(() => leader.write());
  },
};

/** Demands that the list has the newcomer once at most, without a vote. */
async function demandOneLearner(leader: GroupSeat, { name }: GroupSeat, when: string): Promise<void> {
  const found = (await membersSeenBy(leader)).filter((member) => member.name === name);
  demand(
    found.length < 2,
    `addMember: ${when} the group lists ${name} ${found.length} times, as ${found.map(({ id }) => id).join(" and ")}`,
  );
  demand(!found.some(({ votes }) => votes), `addMember: ${when} ${name} has a vote before promoteMember gave it one`);
}

const additions: Check<GroupWorld> = {
  name: "add",
  rule: "addMember gives an identity without a vote, and no second one when it is killed or run again; promoteMember refuses who has not caught up, and may run again",
  formed: 2,
  leavesWhole: true,
  run: async ({ group, a, b, c }) => {
    const leader = (await untilAgreed([a, b])).leader;
    let wholeMs = 0;
    await insist(async () => {
      wholeMs = await durationOf(async () => {
        c.id = await leader.engine.add(c.name);
      });
    });
    const listed = (await membersSeenBy(leader)).filter(({ name }) => name === c.name);
    demand(
      listed.length === 1 && listed[0]?.id === c.id,
      `addMember: it printed ${c.id ?? ""}, and observe lists ${listed.map(({ id }) => id).join(" and ") || "nobody"} under the name ${c.name}`,
    );
    await demandOneLearner(leader, c, "run once,");
    await exitCode(leader.engine.add(c.name));
    await demandOneLearner(leader, c, "run again,");
    await dismiss(leader, c);
    const add = async (): Promise<void> => {
      await leader.engine.add(c.name);
    };
    await cutAgainAndAgain(leader, wholeMs, add, async () => {
      await exitCode(add());
      await demandOneLearner(leader, c, "killed and run again,");
      await dismiss(leader, c);
    });
    await invite(leader, c);
    await demandOneLearner(leader, c, "after all that,");
    const promote = (): Promise<void> => leader.engine.change("promoteMember", c.id ?? "");
    demand((await exitCode(promote())) !== 0, `promoteMember: it succeeds for ${c.name}, which has never been started`);
    await demandOneLearner(leader, c, "after promoteMember refused it,");
    await leader.writeTimes(10);
    for (const afterMs of [50, 400, 1500]) {
      await startNewcomer(leader, c);
      await pause(afterMs);
      await c.host.kill();
      await demandOneLearner(leader, c, "killed at its first start,");
    }
    await bringUp(leader, c);
    await demandOneLearner(leader, c, "once it was started,");
    await insist(promote);
    await untilAgreed(group.seats);
    demand((await exitCode(promote())) === 0, "promoteMember: run again, for one that votes already, it fails");
    await untilAgreed(group.seats);
    await untilEqual(...group.seats);
  },
};

const removals: Check<GroupWorld> = {
  name: "remove",
  rule: "removeMember can be killed and run again; who was taken out serves no more, and the others are a group without it",
  leavesWhole: true,
  run: async ({ group }) => {
    const { leader } = await untilAgreed(group.seats);
    const [leaving, staying] = group.others(leader);
    if (leaving === undefined || staying === undefined) throw new Error("no followers");
    const id = (await leaving.engine.observe()).view.group.id;
    const remove = (): Promise<void> => leader.engine.change("removeMember", id);
    for (const afterMs of [20, 100, 300]) await leader.cutShort(afterMs, remove);
    await insist(remove);
    const left = await membersSeenBy(leader);
    demand(
      !left.some((member) => member.id === id),
      `removeMember: it succeeds, and the leader goes on listing ${leaving.name}`,
    );
    demand((await exitCode(remove())) === 0, "removeMember: run again, for one that is out already, it fails");
    await untilAgreed([leader, staying]);
    await insist(() => leader.write());
    const gone = `removeMember: ${leaving.name} goes on serving after it was taken out`;
    await demandSoon(async () => (await leaving.look())?.serves !== true, gone, GROUP_PATIENCE_MS);
    await leaving.host.kill();
    await leaving.start(left);
    await demandSilent(leaving, `removeMember: ${leaving.name}, taken out and started again, serves`);
    await untilAgreed([leader, staying]);
    await leaving.empty();
    await admit(leader, leaving);
    await untilAgreed(group.seats);
  },
};

const handovers: Check<GroupWorld> = {
  name: "handover",
  rule: "handOver makes the named member the leader before it returns, and under load nothing acknowledged is lost",
  leavesWhole: true,
  run: async ({ group }) => {
    for (let round = 0; round < 2; round++) {
      const { leader } = await untilAgreed(group.seats);
      const before = await untilEqual(...group.seats);
      const [next] = group.others(leader).toReversed();
      if (next === undefined) throw new Error("no followers");
      const id = (await next.engine.observe()).view.group.id;
      const load = new Load(leader);
      await demandSoon(() => Promise.resolve(load.acknowledged > 0), "probeWrite: no write is acknowledged");
      await leader.engine.change("handOver", id);
      const view = await next.look();
      demand(
        view?.leads === true,
        `handOver: it returns before ${next.name} leads: ${next.name} ${describeView(view)}`,
      );
      const acknowledged = await load.stop();
      await demandCounted(next, before, acknowledged);
      await untilAgreed(group.seats);
    }
  },
};

const stops: Check<GroupWorld> = {
  name: "stop",
  rule: "an engine ends within stop.graceSeconds, the others go on without it, and it comes back as itself",
  leavesWhole: true,
  run: async (world) => {
    const { group } = world;
    await untilAgreed(group.seats);
    await stopOneByOne(world, async (seat) => {
      const { id } = seat;
      const leader = await leaderOf(group.others(seat));
      await insist(() => leader.write());
      await seat.start([]);
      await seat.until(({ serves }) => serves, "start: a member that was stopped does not come back");
      demand(seat.id === id, `start: after a stop the member is ${seat.id ?? ""}, where it was ${id ?? ""} before`);
      await untilAgreed(group.seats);
    });
  },
};

const recoveries: Check<GroupWorld> = {
  name: "recover",
  rule: "recover makes a group of the most advanced copy alone, with all that was acknowledged; it can be killed and run again, and others can join",
  run: async ({ group }) => {
    const { leader } = await untilAgreed(group.seats);
    const [survivor, other] = group.others(leader);
    if (survivor === undefined || other === undefined) throw new Error("no followers");
    const before = await untilEqual(...group.seats);
    await other.host.kill();
    await insist(() => leader.writeTimes(10));
    await demandCounted(leader, before, 10);
    const written = await untilEqual(leader, survivor);
    await Promise.all(group.seats.map(({ host }) => host.kill()));
    await recoverCutShort(survivor);
    await survivor.start([]);
    const view = await survivor.until(
      ({ leads, group: { members } }) => leads && members.length === 1 && members[0]?.votes === true,
      "recover: the member does not come to lead a group of itself alone",
    );
    demandKept(written, view.position, "recover: in the group that was begun anew");
    await insist(() => survivor.write());
    await other.empty();
    await admit(survivor, other);
    await untilAgreed([survivor, other]);
    await untilEqual(survivor, other);
  },
};

/** Runs an action on every member, and demands that neither who leads nor what is there changes. */
async function demandHarmless(
  { group }: GroupWorld,
  action: string,
  run: (seat: GroupSeat) => Promise<unknown>,
): Promise<void> {
  const { leader } = await untilAgreed(group.seats);
  await leader.writeTimes(3);
  const before = await untilEqual(...group.seats);
  for (const seat of group.seats) {
    await run(seat);
    await seat.until(({ serves }) => serves, `${action}: the member does not serve afterwards`);
    demandKept(before, (await seat.engine.observe()).view.position, `${action}: on ${seat.name}`);
    const after = await leaderOf(group.seats);
    demand(after === leader, `${action}: ${after.name} leads now, where ${leader.name} led before`);
  }
  await untilAgreed(group.seats);
  await leader.write();
}

const defragmentations: Check<GroupWorld> = {
  name: "defragment",
  rule: "defragment, where the Engine declares it, leaves role and data alone",
  leavesWhole: true,
  run: async (world) => {
    if (world.spec.actions.defragment === undefined) return;
    await demandHarmless(world, "defragment", (seat) => seat.engine.defragment());
  },
};

const reloads: Check<GroupWorld> = {
  name: "reload",
  rule: "reload with a renewed certificate succeeds, and leaves role and data alone",
  leavesWhole: true,
  run: async (world) => {
    await world.group.renewCertificate();
    await demandHarmless(world, "reload", (seat) => seat.host.run("reload"));
  },
};

const FOUNDING: Founding = {
  start: (seat) => seat.start([]),
  alone: (seat) =>
    seat.until(
      ({ leads, group: { members } }) => leads && members.length === 1 && members[0]?.votes === true,
      "restore: the member does not come to lead a group of itself alone",
    ),
  join: async (first, newcomer) => {
    await admit(first, newcomer);
    await untilAgreed([first, newcomer]);
  },
};

const backups: Check<GroupWorld> = {
  ...BACKUP_RULE,
  leavesWhole: true,
  run: async (world) => tryBackups(originOfGroup(world, (await untilAgreed(world.group.seats)).leader, FOUNDING)),
};

const verifications: Check<GroupWorld> = {
  ...VERIFY_RULE,
  leavesWhole: true,
  run: async (world) => tryVerifications(originOfGroup(world, (await untilAgreed(world.group.seats)).leader, FOUNDING)),
};

/** In the order in which a beginner of an Engine meets them. */
export const CONSENSUS_CHECKS: readonly Check<GroupWorld>[] = [
  initializing,
  additions,
  roles,
  positions,
  majorities,
  handovers,
  stops,
  removals,
  defragmentations,
  reloads,
  verifications,
  backups,
  recoveries,
  secrecyWhile(formConsensus),
];
