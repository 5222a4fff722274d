/** What must never happen, looked at whenever a row is acknowledged, an engine becomes writable or an epoch is taken. */
import type { Entry, ModelEngine } from "./engine-model.ts";
import { nodeOf, type World } from "./world.ts";

/** Notes the first violation; later ones are its consequences. */
export function violate(world: World, message: string): World {
  if (world.ledger.violation !== null) return world;
  return { ...world, ledger: { ...world.ledger, violation: message } };
}

/** Single writer by commit order: no row of an older epoch is acknowledged after one of a newer epoch. */
export function checkAck(world: World, writer: string, entry: Entry): World {
  const newest = world.ledger.acked.reduce((max, row) => Math.max(max, row.epoch), 0);
  const acked = [...world.ledger.acked, { id: entry.id, epoch: entry.epoch, by: writer }];
  const next = { ...world, ledger: { ...world.ledger, acked } };
  if (entry.epoch < newest)
    return violate(next, `${writer}: row ${entry.id} of epoch ${entry.epoch} after epoch ${newest}`);
  const other = world.ledger.acked.find((row) => row.epoch === entry.epoch && row.by !== writer);
  if (other !== undefined)
    return violate(next, `${writer} and ${other.by} acknowledged rows of the same epoch ${entry.epoch}`);
  const ahead = world.nodes.find(
    ({ engine }) =>
      engine.mode === "writable" && engine.epoch > entry.epoch && !engine.log.some(({ id }) => id === entry.id),
  );
  return ahead === undefined
    ? next
    : violate(next, `${writer}: row ${entry.id} acknowledged, but ${ahead.name} leads without it`);
}

/** No acknowledged row is missing in an engine that becomes writable, but for those that a forced promotion gave up. */
export function checkPromotion(before: World, leader: string): World {
  if (before.intent.durability.mode === "Async") return before;
  const { engine } = nodeOf(before, leader);
  const world = isForcedPromotion(before, leader, engine.epoch) ? giveUp(before, engine) : before;
  const lost = world.ledger.acked.find((row) => !engine.log.some(({ id }) => id === row.id));
  return lost === undefined
    ? world
    : violate(
        world,
        `${leader} leads epoch ${engine.epoch} without acknowledged row ${lost.id} of epoch ${lost.epoch}`,
      );
}

/** Whether that is the one promotion that the order is for: of this member, in its vacancy, which nobody filled before. */
function isForcedPromotion({ intent: { forced }, ledger }: World, leader: string, epoch: number): boolean {
  if (forced === null || forced.member !== leader || epoch <= forced.epoch) return false;
  return ledger.acked.every((row) => row.epoch <= forced.epoch);
}

function giveUp(world: World, { log }: ModelEngine): World {
  const acked = world.ledger.acked.filter(({ id }) => log.some((entry) => entry.id === id));
  return { ...world, ledger: { ...world.ledger, acked } };
}

/**
 * Every writable incarnation has an epoch of its own. (A late one may be lower than a newer leader's: it can confirm nothing.)
 * After the register went back an epoch that only a dead leader knew of may be taken again, as long as no row of it was
 * acknowledged: {@link checkAck}.
 */
export function checkEpoch(world: World, epoch: number, by: string): World {
  const isTaken = world.ledger.epochs.some((one) => one.epoch === epoch);
  const next = { ...world, ledger: { ...world.ledger, epochs: [...world.ledger.epochs, { epoch, by }].slice(-16) } };
  return isTaken && !world.ledger.regressed
    ? violate(next, `${by} takes epoch ${epoch}, which was taken before`)
    : next;
}
