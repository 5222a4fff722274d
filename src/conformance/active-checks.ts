/** What the contract asks of an Engine all of whose members write (topology ActiveActive). */
import { setTimeout as pause } from "node:timers/promises";
import { comparePositions } from "../agent/protocol/position.ts";
import type { EngineGroupMember, EnginePosition } from "../api/engine-observation.ts";
import { BACKUP_RULE, tryBackups, tryVerifications, VERIFY_RULE } from "./backup-checks.ts";
import { type Check, demand, demandSoon, exitCode, GROUP_PATIENCE_MS, insist } from "./check.ts";
import {
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

/** Makes the group: the first member begins it, and the others join. */
export async function formActive(seats: readonly GroupSeat[]): Promise<void> {
  const [first, ...others] = seats;
  if (first === undefined) return;
  await first.initialize();
  await found(first);
  for (const other of others) await enter(first, other);
  await untilAgreed(seats);
}

/** Begins the group from the member's copy. */
async function found(seat: GroupSeat): Promise<void> {
  await seat.start([], "Found");
  await untilFounded(seat);
}

async function untilFounded(seat: GroupSeat): Promise<void> {
  await seat.until(({ serves }) => serves, "start: with QUORATE_FOUND=true the engine does not come to take writes");
}

/** Starts the member so that it joins those that serve. */
async function enter(serving: GroupSeat, newcomer: GroupSeat): Promise<void> {
  await newcomer.start(await membersSeenBy(serving));
  await newcomer.until(({ serves }) => serves, "start: a member that joins does not come to take writes");
}

/** Waits until these, and nobody else, are the group, all say so, and all take writes. @returns the term. */
async function untilAgreed(seats: readonly GroupSeat[]): Promise<number> {
  let said = "";
  let term = 0;
  await demandSoon(
    async () => {
      const views = await Promise.all(seats.map((seat) => seat.look()));
      said = views.map((view, at) => `${seats[at]?.name ?? ""}: ${describeView(view)}`).join("\n  ");
      const names = seats
        .map(({ name }) => name)
        .toSorted()
        .join();
      term = views[0]?.group.term ?? 0;
      return (
        new Set(views.map((view) => view?.group.id)).size === seats.length &&
        views.every(
          (view) =>
            view?.serves === true &&
            view.group.leaderId !== "" &&
            view.group.term === term &&
            view.group.members.some(({ id }) => id === view.group.id) &&
            view.group.members
              .map(({ name }) => name)
              .toSorted()
              .join() === names,
        )
      );
    },
    () => `observe: the members do not come to say the same of their group, and all to take writes:\n  ${said}`,
    GROUP_PATIENCE_MS,
  );
  return term;
}

/** Where the stopped copy ends; asked often, because it must say the same each time. */
async function inspected(seat: GroupSeat): Promise<EnginePosition | null> {
  let first: EnginePosition | null = null;
  await insist(async () => {
    first = await seat.engine.inspect();
  });
  const again = await seat.engine.inspect();
  demand(
    JSON.stringify(again) === JSON.stringify(first),
    `inspect: run again it says ${again?.value ?? "null"} of ${seat.name}, where it said ${describe(first)} before`,
  );
  return again;
}

function describe(position: EnginePosition | null): string {
  return position === null ? "null" : `${position.value} of ${position.history}`;
}

/** The member of stopped ones whose copy has most; each must hold something. */
async function mostAdvanced(
  seats: readonly GroupSeat[],
): Promise<{ readonly best: GroupSeat; readonly end: EnginePosition }> {
  let most: { readonly best: GroupSeat; readonly end: EnginePosition } | undefined;
  for (const seat of seats) {
    const end = await inspected(seat);
    demand(end !== null, `inspect: position is null for ${seat.name}, which took part in the group`);
    demand(
      most === undefined || comparePositions(end, most.end) !== "incomparable",
      `inspect: the copies of ${seat.name} and ${most?.best.name ?? ""} cannot be compared: ${describe(end)}, ${describe(most?.end ?? null)}`,
    );
    if (most === undefined || comparePositions(end, most.end) === "ahead") most = { best: seat, end };
  }
  if (most === undefined) throw new Error("no members");
  return most;
}

/** Begins the group again from the copy that has most, after all have stopped, and lets the others join. @returns from whose. */
async function beginAgain(seats: readonly GroupSeat[]): Promise<GroupSeat> {
  const { best } = await mostAdvanced(seats);
  await found(best);
  for (const other of seats) if (other !== best) await enter(best, other);
  await untilAgreed(seats);
  return best;
}

const initializing: Check<GroupWorld> = {
  name: "initialize",
  rule: "initialize can be killed at any point and run again; a start with QUORATE_FOUND=true begins a group from it, and no other start does",
  formed: 0,
  run: async ({ group, a, b }) => {
    await initializeCutShort(a, b);
    const fresh = await a.engine.inspect();
    const others: EngineGroupMember[] = group.others(a).map(({ name, place }) => ({
      id: name,
      name,
      votes: true,
      address: `${place.host}:${place.memberPort ?? place.enginePort}`,
    }));
    await a.start(others);
    await demandSilent(a, "start: without QUORATE_FOUND=true the engine begins a group by itself");
    await a.host.kill();
    await found(a);
    const said = await membersSeenBy(a);
    demand(
      said.length === 1 && said[0]?.name === a.name,
      `observe: the group of ${a.name} alone lists ${said.map(({ name }) => name).join(", ") || "nobody"}`,
    );
    await a.writeTimes(3);
    const { position } = (await a.engine.observe()).view;
    demand(
      fresh === null || ["ahead", "incomparable"].includes(comparePositions(position, fresh)),
      "inspect: a new copy is said to end where writes came to later",
    );
    await a.host.kill();
    await found(a);
    demandKept(position, (await a.engine.observe()).view.position, "start: after a kill of the only member");
  },
};

const joins: Check<GroupWorld> = {
  name: "join",
  rule: "a member that joins can be killed at any point and started again; it takes writes only with everything that the others have",
  formed: 2,
  leavesWhole: true,
  run: async ({ group, a, b, c }) => {
    await a.writeTimes(20);
    const wholeMs = await durationOf(() => enter(a, c));
    await untilAgreed(group.seats);
    await untilEqual(...group.seats);
    await c.empty();
    await untilAgreed([a, b]);
    for (const part of [0.2, 0.5, 0.8]) {
      await c.start(await membersSeenBy(a));
      await pause(part * wholeMs);
      await c.host.kill();
      const end = (await c.volume.state()) === "data" ? await inspected(c) : null;
      const { position } = (await a.engine.observe()).view;
      demand(
        end === null || ["equal", "behind"].includes(comparePositions(end, position)),
        `inspect: after a join that was cut short ${c.name} is at ${describe(end)}, where the others are at ${describe(position)}`,
      );
      await untilAgreed([a, b]);
    }
    await b.writeTimes(3);
    await enter(a, c);
    await untilAgreed(group.seats);
    await untilEqual(...group.seats);
  },
};

const roles: Check<GroupWorld> = {
  name: "roles",
  rule: "observe tells the truth when a member is killed: the others go on with a later term and without it, and it comes back as one of them",
  leavesWhole: true,
  run: async ({ group, a, b, c }) => {
    for (const killed of [a, c]) {
      const term = await untilAgreed(group.seats);
      await killed.host.kill();
      const others = group.others(killed);
      const later = await untilAgreed(others);
      demand(later > term, `observe: after a member was killed the term is ${later}, where it was ${term} before`);
      await others[0]?.writeTimes(5);
      await enter(others[0] ?? b, killed);
      const last = await untilAgreed(group.seats);
      demand(last > later, `observe: after a member came back the term is ${last}, where it was ${later} before`);
      await untilEqual(...group.seats);
    }
  },
};

const positions: Check<GroupWorld> = {
  name: "positions",
  rule: "every member takes writes, positions move with them, and are the same on all members in the end",
  leavesWhole: true,
  run: async ({ group }) => {
    for (const seat of group.seats) {
      const before = await untilEqual(...group.seats);
      await seat.writeTimes(5);
      await demandCounted(seat, before, 5);
    }
    await untilEqual(...group.seats);
  },
};

const majorities: Check<GroupWorld> = {
  name: "majority",
  rule: "a member without the majority still answers observe, says that it takes no writes, and probeWrite fails on it",
  leavesWhole: true,
  run: async ({ group, a, b, c }) => {
    await a.writeTimes(3);
    const written = await untilEqual(...group.seats);
    await Promise.all([b.host.kill(), c.host.kill()]);
    const alone = await a.until(
      ({ serves, group: { leaderId } }) => !serves && leaderId === "",
      "observe: a member without the majority goes on saying that it takes writes",
    );
    demandKept(written, alone.position, "observe: without the majority");
    demand((await exitCode(a.write())) !== 0, "probeWrite: it succeeds without the majority");
    await a.host.stopWithin(a.host.driver.spec.stop.graceSeconds * 1000);
    const best = await beginAgain(group.seats);
    demandKept(written, (await best.engine.observe()).view.position, "start: begun again after the majority was lost");
    await a.write();
  },
};

const crashes: Check<GroupWorld> = {
  name: "crash",
  rule: "inspect tells where stopped copies end, also after all were killed under load; begun again from the longest, the group has all that was acknowledged",
  leavesWhole: true,
  run: async ({ group, a, b, c }) => {
    const term = await untilAgreed(group.seats);
    await a.writeTimes(3);
    const rest = await untilEqual(...group.seats);
    await c.host.stopWithin(c.host.driver.spec.stop.graceSeconds * 1000);
    const end = await inspected(c);
    demand(
      end !== null && comparePositions(end, rest) === "equal",
      `inspect: of ${c.name}, which was stopped at ${describe(rest)}, it says ${describe(end)}`,
    );
    await untilAgreed([a, b]);
    const before = await untilEqual(a, b);
    const loads = [new Load(a), new Load(b)];
    await demandSoon(
      () => Promise.resolve(loads.every(({ acknowledged }) => acknowledged > 4)),
      "probeWrite: not every member takes writes",
    );
    await Promise.all([a.host.kill(), b.host.kill()]);
    const [one = 0, other = 0] = await Promise.all(loads.map((load) => load.stop()));
    const { best } = await mostAdvanced([a, b, c]);
    demand(best !== c, `inspect: ${c.name}, which missed ${one + other} writes, is said to have most`);
    await beginAgain(group.seats);
    await demandCounted(best, before, one + other);
    await untilEqual(...group.seats);
    const later = await untilAgreed(group.seats);
    demand(later > term, `observe: after all were killed the term is ${later}, where it was ${term} before`);
  },
};

const recoveries: Check<GroupWorld> = {
  name: "recover",
  rule: "recover makes a copy one that the group can be begun from, with all that it holds; it can be killed and run again, and others join",
  leavesWhole: true,
  run: async ({ group, a, b, c }) => {
    await a.writeTimes(10);
    const written = await untilEqual(...group.seats);
    await Promise.all(group.seats.map(({ host }) => host.kill()));
    await recoverCutShort(b);
    await found(b);
    demandKept(written, (await b.engine.observe()).view.position, "recover: in the group that was begun anew");
    await untilAgreed([b]);
    for (const seat of [a, c]) {
      await seat.empty();
      await enter(b, seat);
    }
    await untilAgreed(group.seats);
    await untilEqual(...group.seats);
  },
};

const stops: Check<GroupWorld> = {
  name: "stop",
  rule: "an engine ends within stop.graceSeconds, the others go on without it, and it comes back",
  leavesWhole: true,
  run: async (world) => {
    const { group } = world;
    await untilAgreed(group.seats);
    await stopOneByOne(world, async (seat) => {
      const [other] = group.others(seat);
      if (other === undefined) throw new Error("no other member");
      await untilAgreed(group.others(seat));
      await other.write();
      await enter(other, seat);
      await untilAgreed(group.seats);
    });
  },
};

const reloads: Check<GroupWorld> = {
  name: "reload",
  rule: "reload with a renewed certificate succeeds, and the member goes on serving with what it has",
  leavesWhole: true,
  run: async ({ group, a }) => {
    await a.writeTimes(3);
    const before = await untilEqual(...group.seats);
    await group.renewCertificate();
    for (const seat of group.seats) {
      await seat.host.run("reload");
      const { serves, position } = (await seat.engine.observe()).view;
      demand(serves, `reload: ${seat.name} takes no writes afterwards`);
      demandKept(before, position, `reload: on ${seat.name}`);
    }
    await untilAgreed(group.seats);
    for (const seat of group.seats) await seat.write();
  },
};

const FOUNDING: Founding = {
  start: (seat) => seat.start([], "Found"),
  alone: untilFounded,
  join: async (first, newcomer) => {
    await enter(first, newcomer);
    await untilAgreed([first, newcomer]);
  },
};

const backups: Check<GroupWorld> = {
  ...BACKUP_RULE,
  leavesWhole: true,
  run: (world) => tryBackups(originOfGroup(world, world.a, FOUNDING)),
};

const verifications: Check<GroupWorld> = {
  ...VERIFY_RULE,
  leavesWhole: true,
  run: (world) => tryVerifications(originOfGroup(world, world.a, FOUNDING)),
};

/** In the order in which a beginner of an Engine meets them. */
export const ACTIVE_CHECKS: readonly Check<GroupWorld>[] = [
  initializing,
  joins,
  roles,
  positions,
  majorities,
  crashes,
  recoveries,
  stops,
  reloads,
  verifications,
  backups,
  secrecyWhile(formActive),
];
