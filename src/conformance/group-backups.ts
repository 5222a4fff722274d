/** Backups of engines that form their group themselves: what the rules about copies need to know of such a cluster. */
import { setTimeout as pause } from "node:timers/promises";
import type { Descendant, Origin } from "./backup-checks.ts";
import { demand, insist } from "./check.ts";
import { testPasswords } from "./credentials.ts";
import { type GroupWorld, TEMPTATION_MS, untilEqual } from "./group-checks.ts";
import { describeView, type GroupSeat, HostGroup } from "./host-group.ts";

/** How groups of a topology are made. */
export interface Founding {
  /** Starts the first member and returns at once. */
  readonly start: (seat: GroupSeat) => Promise<void>;
  /** Waits until it serves alone. */
  readonly alone: (seat: GroupSeat) => Promise<unknown>;
  readonly join: (first: GroupSeat, newcomer: GroupSeat) => Promise<void>;
}

/** The cluster that `leader` speaks for, for the rules about copies. */
export function originOfGroup({ group, spec }: GroupWorld, leader: GroupSeat, founding: Founding): Origin {
  const { software } = group.cluster;
  return {
    spec,
    client: software.client,
    leader: leader.host,
    followers: group.others(leader).map(({ host }) => host),
    write: () => leader.write(),
    settle: () => untilEqual(...group.seats),
    demandRoles: async (when) => {
      const before = await leader.look();
      for (const seat of group.seats) {
        const view = await seat.look();
        demand(
          view?.serves === true && (before?.leads !== true || view.leads === (seat === leader)),
          `${when}: ${seat.name} ${describeView(view)}`,
        );
      }
    },
    contextOf: () => ({}),
    prepare: async () => {
      const passwords = testPasswords(spec.accounts);
      return descendantOf(await HostGroup.create(2, { ...software, name: "restored", passwords }), founding);
    },
  };
}

function descendantOf(group: HostGroup, { start, alone, join }: Founding): Descendant {
  const [first, second] = [group.seat(0), group.seat(1)];
  return {
    cluster: group.cluster,
    first: first.host,
    restore: async (file, signal) => {
      if ((await first.volume.state()) === "incomplete") await first.volume.setAside(false);
      await first.volume.whileIncomplete(() => first.host.restore(file, signal));
    },
    comesUp: async () => {
      await start(first);
      const endMs = performance.now() + TEMPTATION_MS;
      let serves = false;
      while (!serves && first.host.running && performance.now() < endMs) {
        serves = (await first.look())?.serves === true;
        await pause(100);
      }
      await first.host.kill();
      return serves;
    },
    begin: async () => {
      await start(first);
      await alone(first);
      return (await first.engine.observe()).view.position;
    },
    write: () => insist(() => first.write()),
    join: async () => {
      await join(first, second);
      await untilEqual(first, second);
    },
    close: () => group.close(),
  };
}
