/** What the contract asks of every Engine that forms its group itself, and what checks of both kinds are made of. */
import { setTimeout as pause } from "node:timers/promises";
import { comparePositions } from "../agent/protocol/position.ts";
import type { EngineSpec } from "../api/engine.ts";
import type { EngineGroupMember, EnginePosition } from "../api/engine-observation.ts";
import { type Check, demand, demandSoon, GROUP_PATIENCE_MS, insist } from "./check.ts";
import { describeView, type GroupSeat, type HostGroup } from "./host-group.ts";
import { demandSecrecyDuring } from "./secrecy.ts";

/** Three members that are one group, made by `a`; or as many of them as the check says. */
export interface GroupWorld {
  readonly group: HostGroup;
  readonly spec: EngineSpec;
  readonly a: GroupSeat;
  readonly b: GroupSeat;
  readonly c: GroupSeat;
}

/** When, of the time that an action takes, it is killed, to see that it can be run again. */
const CUT_AT = [0.1, 0.35, 0.6, 0.85] as const;
/** The same of recover, which is tried once, so that nobody knows how long it takes. */
const RECOVERY_CUT_AFTER_MS = [30, 150, 500, 1500, 3000, 5000, 7500] as const;
/** What an engine is given to do what it must not do. */
export const TEMPTATION_MS = 3000;

/** How long agents would have to try again until what was cut short lets go of the data. */
const INITIALIZE_MS = 30_000;

/** How long `work` takes. */
export async function durationOf(work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now();
  await work();
  return performance.now() - startMs;
}

/**
 * Kills an action of a member again and again, each time later than before.
 *
 * @param wholeMs - How long the action takes when it is left alone.
 * @param between - What is true after each, whether it was done or not.
 */
export async function cutAgainAndAgain(
  seat: Pick<GroupSeat, "cutShort">,
  wholeMs: number,
  work: () => Promise<unknown>,
  between: () => Promise<void> = () => Promise.resolve(),
): Promise<void> {
  for (const part of CUT_AT) {
    await seat.cutShort(part * wholeMs, work);
    await between();
  }
}

/** Whom the group consists of, as it says itself. */
export async function membersSeenBy(seat: GroupSeat): Promise<readonly EngineGroupMember[]> {
  return (await seat.engine.observe()).view.group.members;
}

/** Waits until all of them say the same position. @returns it. */
export async function untilEqual(...seats: readonly GroupSeat[]): Promise<EnginePosition> {
  let seen: EnginePosition[] = [];
  await demandSoon(
    async () => {
      seen = (await Promise.all(seats.map((seat) => seat.engine.observe()))).map(({ view }) => view.position);
      return seen.every((position) => comparePositions(position, seen[0] ?? position) === "equal");
    },
    () =>
      `observe: position does not become the same on all members while nothing is written: ${seats
        .map(({ name }, at) => `${name} is at ${seen[at]?.value ?? "?"} of ${seen[at]?.history ?? "?"}`)
        .join(", ")}`,
    GROUP_PATIENCE_MS,
  );
  const [position] = seen;
  demand(position !== undefined, "observe: no member says its position");
  return position;
}

/** Demands that a position has not gone back. */
export function demandKept(before: EnginePosition, after: EnginePosition, when: string): void {
  const order = comparePositions(after, before);
  demand(
    order === "equal" || order === "ahead",
    `${when} the position is ${after.value} of ${after.history}, where it was ${before.value} of ${before.history} before: ${
      order === "incomparable" ? "nobody can tell what was lost" : "something acknowledged is lost"
    }`,
  );
}

/** Demands that so many acknowledged writes are in the log between two positions. */
export async function demandCounted(seat: GroupSeat, before: EnginePosition, acknowledged: number): Promise<void> {
  let seen = before;
  await demandSoon(
    async () => {
      seen = (await seat.engine.observe()).view.position;
      return BigInt(seen.value) - BigInt(before.value) >= BigInt(acknowledged);
    },
    () =>
      `observe: position went from ${before.value} to ${seen.value} only on ${seat.name}, over ${acknowledged} acknowledged writes: some are lost, or not counted`,
  );
}

/** Initialises `a` and kills that over and over; what the member is in the end is left to the caller. */
export async function initializeCutShort(a: GroupSeat, b: GroupSeat): Promise<void> {
  const wholeMs = await durationOf(() => b.initialize());
  await cutAgainAndAgain(a, wholeMs, () => a.initialize());
  await insist(() => a.initialize(), INITIALIZE_MS);
}

/** Makes a copy one that a group can be begun from, killed at first and then done twice; what comes of it is left to the caller. */
export async function recoverCutShort(seat: GroupSeat): Promise<void> {
  const recover = (): Promise<void> => seat.engine.recover();
  for (const afterMs of RECOVERY_CUT_AFTER_MS) if (await seat.cutShort(afterMs, recover)) break;
  await recover();
  await recover();
}

/** The check that forming a group shows nobody a password. */
export function secrecyWhile(form: (seats: readonly GroupSeat[]) => Promise<void>): Check<GroupWorld> {
  return {
    name: "secrets",
    rule: "no password is on a command line or in what the engine prints",
    formed: 0,
    run: ({ group }) => demandSecrecyDuring(group.cluster, () => form(group.seats.slice(0, 2))),
  };
}

/** Stops each member in turn while the others go on, as a roll does; each has to come back. */
export async function stopOneByOne(
  { group, spec }: GroupWorld,
  back: (seat: GroupSeat) => Promise<void>,
): Promise<void> {
  const { signal, graceSeconds } = spec.stop;
  for (const seat of group.seats) {
    const before = (await seat.engine.observe()).view.position;
    const isInTime = await seat.host.stopWithin(graceSeconds * 1000);
    demand(
      isInTime,
      `stop: ${seat.name} does not end within graceSeconds (${graceSeconds}) after ${signal} and has to be killed`,
    );
    await back(seat);
    demandKept(before, (await seat.engine.observe()).view.position, `stop: after ${seat.name} was stopped and started`);
  }
}

/** Waits a moment in which the member must not come to serve. */
export async function demandSilent(seat: GroupSeat, otherwise: string): Promise<void> {
  const endMs = performance.now() + TEMPTATION_MS;
  while (performance.now() < endMs) {
    const view = await seat.look();
    demand(view?.serves !== true, `${otherwise}: ${seat.name} ${describeView(view)}`);
    await pause(100);
  }
}
