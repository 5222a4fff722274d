/** What the contract asks of an Engine whose data is parted by key into slots (topology Sharded), beside what it asks of each shard. */
import { setTimeout as pause } from "node:timers/promises";
import type { EngineShard } from "../api/engine-observation.ts";
import { formatSlots } from "../plan/slots.ts";
import { BACKUP_RULE } from "./backup-checks.ts";
import {
  bringBack,
  type Check,
  demand,
  demandSoon,
  exitCode,
  type LeaseWorld,
  order,
  untilCaughtUp,
  write,
} from "./check.ts";
import { cutAgainAndAgain, durationOf } from "./group-checks.ts";
import type { HostMember } from "./host-member.ts";
import { describeShard, type HostShards, type Shard, slotSet } from "./host-shards.ts";
import { LEASE_CHECKS } from "./lease-checks.ts";
import { demandSecrecy, demandSecrecyDuring } from "./secrecy.ts";

/** Two shards with half of the slots each; `a`, `b` and `c` are the members of the first, which is all that a shard's own rules see. */
export interface ShardWorld extends LeaseWorld {
  readonly shards: HostShards;
}

/** What writers wait between two writes: they shall meet every state, and leave the machine to the servers. */
const BREATH_MS = 20;
/** How long they write before everybody is killed. */
const LOAD_MS = 500;

/** Does something while clients write to all shards. @throws {Finding} also when nothing was acknowledged meanwhile. */
async function underLoad({ all, client }: HostShards, work: () => Promise<void>): Promise<void> {
  const over = new AbortController();
  let acknowledged = 0;
  const repeat = async (count: () => Promise<number>): Promise<void> => {
    while (!over.signal.aborted) {
      acknowledged += await count();
      await pause(BREATH_MS);
    }
  };
  const writers = all.map(({ leader, cluster }) =>
    repeat(async () => ((await exitCode(write(leader, cluster.epoch))) === 0 ? 1 : 0)),
  );
  if (client !== undefined) writers.push(repeat(() => client.write()));
  try {
    await work();
  } finally {
    over.abort();
    await Promise.all(writers);
  }
  demand(acknowledged > 0, "probeWrite: no write is acknowledged while slots move");
}

/** The last part of a shard's slots: every so manieth of what it has. */
function lastOf(slots: string, part: number): string {
  const all = [...slotSet(slots)].toSorted((a, b) => a - b);
  return textOfSlots(all.slice(-Math.max(1, Math.floor(all.length / part))));
}

/** Slots as text, in ranges, however they are ordered. */
export function textOfSlots(slots: Iterable<number>): string {
  const ranges: { first: number; last: number }[] = [];
  for (const slot of [...slots].toSorted((a, b) => a - b)) {
    const current = ranges.at(-1);
    if (current?.last === slot - 1) current.last = slot;
    else ranges.push({ first: slot, last: slot });
  }
  return formatSlots(ranges);
}

function isSame(one: string, other: string): boolean {
  const [left, right] = [slotSet(one), slotSet(other)];
  return left.size === right.size && [...left].every((slot) => right.has(slot));
}

/** Demands that a shard owns just these, and that nothing is on its way. */
function demandOwned(said: EngineShard, slots: string, who: string): void {
  demand(
    isSame(said.slots, slots) && said.moving === "",
    `${who} says that it owns ${describeShard(said)}, where it must be "${slots}"`,
  );
}

/** Demands that every slot has one owner; of those on their way from the giver, both may say that it is theirs, or neither. */
async function demandOneOwner(giver: Shard, taker: Shard, count: number): Promise<void> {
  const given = await giver.said();
  const taken = await taker.said();
  const [owned, moving, received] = [given.slots, given.moving, taken.slots].map(slotSet) as [
    ReadonlySet<number>,
    ReadonlySet<number>,
    ReadonlySet<number>,
  ];
  for (let slot = 0; slot < count; slot++) {
    if (moving.has(slot)) continue;
    const owners = Number(owned.has(slot)) + Number(received.has(slot));
    demand(
      owners === 1,
      `moveSlots: cut short, slot ${slot} is ${owners === 0 ? "nobody's" : "owned by both shards"}, and not among those on their way: ${giver.name} owns ${describeShard(given)}, ${taker.name} ${describeShard(taken)}`,
    );
  }
  demand(
    given.moving === "" || given.movingTo === taker.name,
    `observe: shard.movingTo is "${given.movingTo}", where slots move to ${taker.name}`,
  );
}

const assignments: Check<ShardWorld> = {
  name: "assign",
  rule: "assignSlots makes slots the shard's, may be killed and run again, and refuses those that another shard owns, or may own",
  formed: 0,
  leavesWhole: true,
  run: async ({ shards }) => {
    const { first, second, halves } = shards;
    const [lower, upper] = halves;
    shards.introduce(shards.all);
    await Promise.all([first.begin(), second.begin()]);
    for (const shard of shards.all) demandOwned(await shard.said(), "", `observe: a new shard, ${shard.name},`);
    const assign = (): Promise<void> => first.assign(lower);
    for (const afterMs of [20, 80, 250]) {
      await exitCode(first.leader.driver.cutShort(afterMs, assign));
      const said = await first.said();
      const wanted = slotSet(lower);
      demand(
        [...slotSet(said.slots)].every((slot) => wanted.has(slot)),
        `assignSlots: killed, of "${lower}" it leaves ${describeShard(said)}`,
      );
    }
    await shards.insist(assign);
    demandOwned(await first.said(), lower, `assignSlots: ${first.name}`);
    demand((await exitCode(assign())) === 0, "assignSlots: run again, for slots that the shard owns already, it fails");
    demandOwned(await first.said(), lower, `assignSlots: run again, ${first.name}`);
    const taken = `${lastOf(lower, shards.slots)},${upper}`;
    demand(
      (await exitCode(second.assign(taken))) !== 0,
      `assignSlots: ${second.name} takes "${taken}", of which ${first.name} owns some`,
    );
    demandOwned(await second.said(), "", `assignSlots: it refuses, and ${second.name}`);
    demand(
      (await exitCode(first.assign(lower, first.next))) !== 0,
      `assignSlots: it succeeds on ${first.next.name}, which does not lead`,
    );
    await first.killAll();
    demand(
      (await exitCode(second.assign(upper))) !== 0,
      `assignSlots: ${second.name} takes "${upper}" although nobody of ${first.name} can say whether it owns some`,
    );
    await first.revive();
    await shards.insist(() => second.assign(upper));
    demandOwned(await first.said(), lower, `assignSlots: ${first.name}, after all its members were killed,`);
    demandOwned(await second.said(), upper, `assignSlots: ${second.name}`);
    await shards.untilServing(...shards.all);
  },
};

/** Demands of a member that led before, and was started again, that it takes nothing and gives nothing away. */
async function demandPowerless(former: HostMember, shard: Shard, other: Shard, when: string): Promise<void> {
  demand(!(await former.observe()).writable, `observe: ${when} writable is true on ${former.name}, which led before`);
  demand(
    (await exitCode(write(former, shard.cluster.epoch))) !== 0,
    `probeWrite: ${when} it succeeds on ${former.name}, which led before`,
  );
  const { slots } = await shard.said();
  demand(
    (await exitCode(shard.assign(slots, former))) !== 0,
    `assignSlots: ${when} it succeeds on ${former.name}, which led before`,
  );
  demand(
    (await exitCode(shard.give(lastOf(slots, 4), other, former))) !== 0,
    `moveSlots: ${when} it succeeds on ${former.name}, which led before`,
  );
}

const leads: Check<ShardWorld> = {
  name: "lead",
  rule: "who leads a shard next owns what the former leader did, and takes writes; the former one takes none, and neither takes slots nor gives them away",
  leavesWhole: true,
  run: async ({ shards }) => {
    for (const [shard, other] of [
      [shards.first, shards.second],
      [shards.second, shards.first],
    ] as const) {
      const former = shard.leader;
      const { slots } = await shard.said();
      await write(former, shard.cluster.epoch, 3);
      await untilCaughtUp(former, ...shard.followers);
      await demandSoon(
        async () => isSame((await shard.saidBy(shard.next)).slots, slots),
        `observe: shard of a follower does not become what its leader says, "${slots}"`,
      );
      await former.kill();
      await shard.promote(shard.next);
      demandOwned(await shard.said(), slots, `promote: ${shard.leader.name}`);
      await shards.untilServing(...shards.all);
      await former.start();
      await demandPowerless(former, shard, other, "started again,");
      demand(
        (await order(former, shard.leader)) !== "incomparable",
        `observe: ${former.name}, killed as the leader, cannot be compared with ${shard.leader.name}`,
      );
      await bringBack(former, shard.leader);
      await demandPowerless(former, shard, other, "as a follower,");
      demandOwned(await shard.said(), slots, `follow: ${shard.leader.name}, with ${former.name} as its follower,`);
      await shards.demandKeys(`promote: after ${former.name} was killed`);
    }
  },
};

const moves: Check<ShardWorld> = {
  name: "move",
  rule: "moveSlots gives slots to another shard with all that is in them while clients write, and may run again",
  leavesWhole: true,
  run: async ({ shards }) => {
    const { first, second } = shards;
    const [{ slots: kept }, { slots: theirs }] = [await first.said(), await second.said()];
    const leaving = lastOf(kept, 8);
    const rest = textOfSlots([...slotSet(kept)].filter((slot) => !slotSet(leaving).has(slot)));
    const joined = textOfSlots([...slotSet(theirs), ...slotSet(leaving)]);
    const give = (): Promise<void> => first.give(leaving, second);
    demand(
      (await exitCode(first.give(leaving, second, first.next))) !== 0,
      `moveSlots: it succeeds on ${first.next.name}, which does not lead`,
    );
    await underLoad(shards, async () => {
      await shards.insist(give);
      for (const when of ["", ", run again,"]) {
        demandOwned(await first.said(), rest, `moveSlots: once it is done${when} ${first.name}`);
        demandOwned(await second.said(), joined, `moveSlots: once it is done${when} ${second.name}`);
        demand((await exitCode(give())) === 0, "moveSlots: run again, for slots that are moved already, it fails");
      }
    });
    await shards.demandKeys("moveSlots: after a move");
    await underLoad(shards, () => shards.insist(() => second.give(leaving, first)));
    demandOwned(await first.said(), kept, `moveSlots: after a move back ${first.name}`);
    demandOwned(await second.said(), theirs, `moveSlots: after a move back ${second.name}`);
    await shards.demandKeys("moveSlots: after a move back");
  },
};

/** Begins a move, lets it be cut short, and gives the leadership of one of the two shards to another member; the move is then run to its end. */
async function moveThroughFailover(
  shards: HostShards,
  { giver, taker, slots, wholeMs }: { giver: Shard; taker: Shard; slots: string; wholeMs: number },
  changing: Shard,
): Promise<void> {
  const give = (): Promise<void> => giver.give(slots, taker);
  await exitCode(giver.leader.driver.cutShort(wholeMs / 2, give));
  const former = changing.leader;
  await untilCaughtUp(former, ...changing.followers);
  await former.kill();
  await changing.promote(changing.next);
  await demandOneOwner(giver, taker, shards.slots);
  await changing.complete();
  await underLoad(shards, () => shards.insist(give));
  await demandOneOwner(giver, taker, shards.slots);
  await shards.demandKeys(`moveSlots: cut short, and run again after ${former.name} was killed`);
}

const resumptions: Check<ShardWorld> = {
  name: "resume",
  rule: "moveSlots can be killed at any point and run again, also by the giver's next leader and to the taker's; each slot has one owner, and no key is lost",
  leavesWhole: true,
  run: async ({ shards }) => {
    const { first, second } = shards;
    const [{ slots: kept }, { slots: theirs }] = [await first.said(), await second.said()];
    const slots = lastOf(kept, 8);
    let wholeMs = 0;
    await underLoad(shards, async () => {
      wholeMs = await durationOf(() => shards.insist(() => first.give(slots, second)));
      const give = (): Promise<void> => second.give(slots, first);
      await cutAgainAndAgain(
        { cutShort: async (afterMs, work) => (await exitCode(second.leader.driver.cutShort(afterMs, work))) === 0 },
        wholeMs,
        give,
        () => demandOneOwner(second, first, shards.slots),
      );
      await shards.insist(give);
    });
    demandOwned(await first.said(), kept, `moveSlots: killed and run again, ${first.name}`);
    demandOwned(await second.said(), theirs, `moveSlots: killed and run again, ${second.name}`);
    await shards.demandKeys("moveSlots: killed and run again");
    await moveThroughFailover(shards, { giver: first, taker: second, slots, wholeMs }, first);
    await moveThroughFailover(shards, { giver: second, taker: first, slots, wholeMs }, first);
    demandOwned(await first.said(), kept, `moveSlots: run again by and for other leaders, ${first.name}`);
    demandOwned(await second.said(), theirs, `moveSlots: run again by and for other leaders, ${second.name}`);
  },
};

const departures: Check<ShardWorld> = {
  name: "leave",
  rule: "a shard that gave all its slots away owns nothing, and the others go on without it; a new one owns nothing, and is given slots",
  leavesWhole: true,
  run: async ({ shards }) => {
    const { first, second } = shards;
    const { slots: kept } = await first.said();
    const { slots: theirs } = await second.said();
    const all = formatSlots([{ first: 0, last: shards.slots - 1 }]);
    await underLoad(shards, () => shards.insist(() => second.give(theirs, first)));
    demandOwned(await second.said(), "", `moveSlots: emptied, ${second.name}`);
    demandOwned(await first.said(), all, `moveSlots: ${first.name}`);
    await second.wipe();
    shards.introduce([first]);
    await shards.untilServing(first);
    await shards.demandKeys(`moveSlots: after ${second.name}, emptied, was deleted`);
    demand((await exitCode(first.assign(kept))) === 0, `assignSlots: it fails after ${second.name} was deleted`);
    const former = first.leader;
    await untilCaughtUp(former, ...first.followers);
    await former.kill();
    await first.promote(first.next);
    await first.complete();
    await shards.untilServing(first);
    demandOwned(await first.said(), all, `promote: after ${second.name} was deleted ${first.name}`);
    shards.introduce(shards.all);
    await second.begin();
    demandOwned(await second.said(), "", `initialize: a new shard, ${second.name},`);
    await underLoad(shards, () => shards.insist(() => first.give(theirs, second)));
    await shards.untilServing(first, second);
    await shards.demandKeys(`moveSlots: after a new ${second.name} was given slots`);
  },
};

const restarts: Check<ShardWorld> = {
  name: "restart",
  rule: "after all servers were killed at once each shard is led again, with its slots and all that its followers had",
  leavesWhole: true,
  run: async ({ shards }) => {
    const owned = await Promise.all(shards.all.map((shard) => shard.said()));
    await underLoad(shards, () => pause(LOAD_MS));
    for (const shard of shards.all) await untilCaughtUp(shard.leader, ...shard.followers);
    await Promise.all(shards.all.map((shard) => shard.killAll()));
    await Promise.all(shards.all.map((shard) => shard.revive()));
    for (const [at, shard] of shards.all.entries())
      demandOwned(await shard.said(), owned[at]?.slots ?? "", `start: after all were killed ${shard.name}`);
    await shards.untilServing(...shards.all);
    await shards.demandKeys("start: after all were killed");
  },
};

const measurements: Check<ShardWorld> = {
  name: "measure",
  rule: "measureSlots, where the Engine declares it, counts what a shard is asked for, and names no slot of another shard",
  leavesWhole: true,
  run: async ({ shards, spec }) => {
    if (spec.actions.measureSlots === undefined) return;
    for (const shard of shards.all) {
      const before = await shard.leader.driver.measureSlots();
      await write(shard.leader, shard.cluster.epoch, 10);
      const { operations, keys, busiest } = await shard.leader.driver.measureSlots();
      demand(
        operations >= before.operations + 10,
        `measureSlots: operations went from ${before.operations} to ${operations} over ten writes`,
      );
      demand(keys > 0, `measureSlots: keys is 0 on ${shard.leader.name}, which was written to`);
      const { slots } = await shard.said();
      demand(
        busiest === undefined || slotSet(slots).has(busiest.slot),
        `measureSlots: busiest is slot ${busiest?.slot ?? ""}, where ${shard.name} owns "${slots}"`,
      );
    }
  },
};

const secrecy: Check<ShardWorld> = {
  name: "secrets",
  rule: "no password is on a command line or in what the engine prints, also while slots move",
  leavesWhole: true,
  run: async ({ shards }) => {
    const { first, second } = shards;
    const slots = lastOf((await first.said()).slots, 8);
    await demandSecrecyDuring(first.cluster, async () => {
      await shards.insist(() => first.give(slots, second));
      await shards.insist(() => second.give(slots, first));
    });
    demandSecrecy(second.cluster);
  },
};

/** Not of a shard: its passwords are looked at together with the others', and a part of a whole is not restored alone. */
const OF_THE_WHOLE: readonly string[] = [secrecy.name, BACKUP_RULE.name];
/** What each shard must keep as a cluster of its own: tried with one that owns all slots. */
const OF_EACH_SHARD: readonly Check<ShardWorld>[] = LEASE_CHECKS.filter(({ name }) => !OF_THE_WHOLE.includes(name)).map(
  (check) => ({ ...check, formed: check.formed ?? 1 }),
);

/** Those of a shard first: nothing across shards can be right without. */
export const SHARD_CHECKS: readonly Check<ShardWorld>[] = [
  ...OF_EACH_SHARD,
  assignments,
  leads,
  moves,
  resumptions,
  departures,
  restarts,
  measurements,
  secrecy,
];
