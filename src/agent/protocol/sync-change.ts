/**
 * The leader's synchronous set: which standbys confirm. A change goes Lease (a set that is safe with the old and the new
 * one) → members know of it → engine, verified → Lease (the new set). Steps that change nothing are skipped: a pure
 * widening is “Lease first, then engine”, a pure narrowing “engine first, verified, then Lease”.
 */
import { countKnowing, healthyStandbys, sendHeartbeats } from "./leadership.ts";
import { isLeaseOurs, writeHeld } from "./lease.ts";
import { isSameTarget, jointSet, wantedAck } from "./quorum.ts";
import type { Leader, SyncChange, SyncTarget } from "./state.ts";
import type { Turn } from "./turn.ts";
import type { Intent, SyncSet } from "./types.ts";

/** The set this leader wants now. Never below the configured W with whenDegraded Block. */
export function desiredTarget(turn: Turn, intent: Intent, current: SyncSet): SyncTarget {
  const { mode, whenDegraded } = intent.durability;
  const others = turn.others.filter((member) => !intent.learners.includes(member));
  const ack = wantedAck(mode, others.length + 1);
  if (mode === "Async" || ack === 0) return { mode, names: [], ack: 0 };
  const healthy = healthyStandbys(turn.state).map(({ member }) => member);
  const usable = others.filter(
    (member) => healthy.includes(member) || (current.names.includes(member) && !isMissing(turn, member)),
  );
  if (usable.length >= ack && mode === "Quorum") return { mode, names: usable.toSorted(), ack };
  if (usable.length >= ack || whenDegraded === "Block") {
    const kept = others.filter((member) => current.names.includes(member) || usable.includes(member));
    const names = kept.length >= ack && mode === "Quorum" ? kept : others;
    return { mode, names: names.toSorted(), ack };
  }
  return { mode, names: usable.toSorted(), ack: usable.length };
}

/** Surely dead, or neither streaming nor answering for longer than a blip takes. */
function isMissing(turn: Turn, member: string): boolean {
  const peer = turn.peer(member);
  const { periodMs } = turn.state.profile;
  if (peer.dead) return true;
  if (peer.silentAtMs !== null && turn.now - peer.silentAtMs >= 1.5 * periodMs) return true;
  return peer.heardAtMs !== null && turn.now - peer.heardAtMs >= 2.5 * periodMs;
}

/** Moves the set towards the wanted one, one confirmed step at a time. Called at the end of every turn. */
export function driveSyncSet(turn: Turn): void {
  const { role, hold, intent, engine } = turn.state;
  if (role.kind !== "leader" || hold === null || hold.sync === null || intent === null || role.reasserting) return;
  if (engine.status !== "writable" || engine.action?.kind === "Promote") return;
  const target = desiredTarget(turn, intent, hold.sync);
  const running = role.change;
  if (running === null || !isSameTarget(running.target, target)) {
    if (running === null && isSameTarget(hold.sync, target)) return verify(turn, role, hold.sync);
    if (engine.action?.kind === "SetSyncSet") turn.setEngine({ action: null });
    turn.set({ role: { ...role, change: { target, stage: "widening" } } });
  }
  stepWidening(turn);
  stepEngine(turn);
  stepNarrowing(turn);
}

/** The first set of an epoch: wait until the standbys have flushed what was there at promotion, then say so in the Lease. */
function verify(turn: Turn, leader: Leader, sync: SyncSet): void {
  const { engine } = turn.state;
  if (leader.verified && sync.unproven.length > 0) return writeSet(turn, sync, sync);
  if (leader.verified || engine.action !== null || turn.now < engine.retryAtMs) return;
  setEngine(turn, leader, sync);
}

function setEngine(turn: Turn, leader: Leader, target: SyncTarget): void {
  const actionId = turn.beginAction("SetSyncSet", leader.epoch);
  turn.emit({ type: "SetSyncSet", actionId, names: target.names, ack: target.ack, verify: true });
}

function changing(turn: Turn): { leader: Leader; change: SyncChange; sync: SyncSet } | null {
  const { role, hold } = turn.state;
  if (role.kind !== "leader" || role.change === null || hold === null || hold.sync === null) return null;
  return { leader: role, change: role.change, sync: hold.sync };
}

function enterStage(turn: Turn, leader: Leader, change: SyncChange, stage: SyncChange["stage"]): void {
  turn.set({ role: { ...leader, change: { ...change, stage } } });
}

/**
 * Whether another set was sent to the Lease, and nobody knows yet whether it took effect. Electors may go by either, so an
 * engine that went by less than that set would acknowledge what they need not look for.
 */
function isSetInDoubt({ state: { write } }: Turn, sync: SyncSet): boolean {
  const sent = write?.content.sync ?? null;
  return sent !== null && (sent.epoch !== sync.epoch || sent.version !== sync.version);
}

/** Lease first: a set that covers the old and the new one; then enough members know of it before the engine relies on it. */
function stepWidening(turn: Turn): void {
  const now = changing(turn);
  if (now === null) return;
  const { leader, change, sync } = now;
  if (change.stage === "widening") {
    if (isSetInDoubt(turn, sync)) return;
    const joint = jointSet(sync, change.target);
    if (!isSameTarget(joint, sync)) return writeSet(turn, sync, joint);
    enterStage(turn, leader, change, "telling");
    if (!isSameTarget(leader.told, sync)) sendHeartbeats(turn);
  }
  const telling = changing(turn);
  if (telling === null || telling.change.stage !== "telling") return;
  const { told } = telling.leader;
  const version = { epoch: sync.epoch, version: sync.version };
  // Who belongs to the cluster no more is not spoken to and cannot contend: what is left of the old set has to know. The planner
  // lets a member leave only as a learner that no set names, also when the register went back to a set that names it.
  const left = told.names.filter((member) => turn.others.includes(member));
  const enough = Math.min(told.ack, left.length);
  if (!isSameTarget(told, sync) && countKnowing(turn.state, left, version) < enough) return;
  const { mode, names, ack } = sync;
  enterStage(turn, { ...telling.leader, told: { mode, names, ack } }, telling.change, "engine");
}

function stepEngine(turn: Turn): void {
  const now = changing(turn);
  const { engine } = turn.state;
  if (now === null || now.change.stage !== "engine" || engine.action !== null || turn.now < engine.retryAtMs) return;
  setEngine(turn, now.leader, now.change.target);
}

/** The engine uses the set it was told, and everything acknowledged before is flushed by enough of it. */
export function takeVerifiedSet(turn: Turn): void {
  const { role } = turn.state;
  if (role.kind !== "leader") return;
  const change = role.change?.stage === "engine" ? { ...role.change, stage: "narrowing" as const } : role.change;
  turn.set({ role: { ...role, verified: true, change } });
}

function stepNarrowing(turn: Turn): void {
  const now = changing(turn);
  if (now === null || now.change.stage !== "narrowing") return;
  const { leader, change, sync } = now;
  if (!isSameTarget(sync, change.target)) return writeSet(turn, sync, change.target);
  turn.set({ role: { ...leader, change: null, told: change.target } });
  turn.report("info", "SyncSetChanged", `${change.target.ack} of [${change.target.names.join(", ")}] confirm writes`);
}

function writeSet(turn: Turn, sync: SyncSet, target: SyncTarget): void {
  if (turn.state.write !== null || !isLeaseOurs(turn)) return;
  const { mode, names, ack } = target;
  const { role } = turn.state;
  // Once verified, W of the standbys have all that earlier sets acknowledged: candidates need not ask for those any more.
  const unproven = role.kind === "leader" && role.verified ? [] : sync.unproven;
  writeHeld(turn, { ...sync, mode, names, ack, unproven, version: sync.version + 1 });
}
