/**
 * The own engine while this member leads nothing: start it read-only, seal it when asked, receive from the leader, get a
 * copy when there is none. Only a leader whose epoch is at least the persisted one is followed or copied.
 */
import { electionCause } from "./election.ts";
import { comparePositions, type Position } from "./position.ts";
import type { EngineView, HeardLeader } from "./state.ts";
import type { Turn } from "./turn.ts";

/** A leader not heard for this many periods is not worth starting a copy from. */
const FRESH_PERIODS = 3;

/** Moves the engine of a member without office to where it should be. Called at the end of every turn. */
export function driveEngine(turn: Turn): void {
  const { state } = turn;
  const { engine, profile } = state;
  if (state.sealRequests.length > 0) driveSealRequests(turn);
  if (engine.status === "stopping") return retryStop(turn);
  if (state.terminating) return driveTermination(turn);
  if (turn.state.sealRequests.length > 0) return;
  const isFree = state.role.kind === "follower" || state.role.kind === "candidate" || isReleasing(turn);
  if (!isFree || engine.action !== null || turn.now < engine.retryAtMs) return;
  if (engine.status === "writable") return driveOrphan(turn);
  if (engine.status === "stopped" && engine.volume === "data" && !engine.diverged) {
    turn.setEngine({ status: "starting" });
    return turn.emit({ type: "StartEngine", actionId: turn.beginAction("StartEngine", state.record.epoch) });
  }
  const leader = state.heard;
  const isFresh = leader !== null && turn.now - leader.atMs < FRESH_PERIODS * profile.periodMs;
  if (!isFresh || leader.epoch < state.record.epoch || state.role.kind !== "follower") return;
  if (engine.status === "follower" && (leader.serving || mayReceiveEarly(engine, leader))) return follow(turn, leader);
  if (engine.status === "stopped" && leader.serving) copyFrom(turn, leader);
}

/**
 * Whether the copy may be connected to a leader that is still being promoted, so that writes need not wait for it afterwards. All it
 * can receive until then is more of what the leader begins with. A copy that is ahead, or of which that is not known for sure,
 * must not: it would confirm places in the new history by what it has of the old.
 */
function mayReceiveEarly({ sealedFor, position: own }: EngineView, { epoch, position: its }: HeardLeader): boolean {
  if (sealedFor !== epoch || own === null || its?.sendable !== true || own.history !== its.history) return false;
  const order = comparePositions(own, its);
  return order === "behind" || order === "equal";
}

function isReleasing(turn: Turn): boolean {
  const { role } = turn.state;
  return role.kind === "resigning" && role.stage === "releasing";
}

function retryStop(turn: Turn): void {
  const { engine, profile } = turn.state;
  if (turn.now - engine.stoppingAtMs < 2 * profile.leaseMs) return;
  turn.stopEngine("kill");
}

/** SIGTERM: stop what runs, and end once nothing is held and nothing runs. */
function driveTermination(turn: Turn): void {
  const { engine, role, hold, write, exited } = turn.state;
  if (exited || role.kind !== "follower" || hold !== null || write !== null) return;
  if (engine.status !== "stopped") return turn.stopEngine("fast");
  turn.set({ exited: true });
  turn.emit({ type: "Exit" });
}

/** A writable engine without an office: kept only while the Lease may still be taken for it. */
function driveOrphan(turn: Turn): void {
  const { state } = turn;
  if (state.role.kind !== "follower" || state.lease === null || state.read !== null || state.write !== null) return;
  if (electionCause(state) === null && turn.now >= state.quarantineAtMs) turn.stopEngine("kill");
}

/** Stops receiving as promised; a copy that cannot be read answers at once, and counts for nothing. */
function driveSealRequests(turn: Turn): void {
  const { engine, record } = turn.state;
  const kind = engine.action?.kind ?? null;
  if (kind === "Seal" || kind === "Follow") return;
  if (kind === null && engine.status === "follower") {
    turn.emit({ type: "Seal", actionId: turn.beginAction("Seal", record.epoch), epoch: record.epoch });
    return;
  }
  if (engine.status === "writable" && !engine.armed) return turn.stopEngine("kill");
  answerSealRequests(turn, null);
}

/** Answers every candidate that waits: the newest epoch is sealed, older ones are refused. */
export function answerSealRequests(turn: Turn, position: Position | null): void {
  const { sealRequests, record } = turn.state;
  turn.set({ sealRequests: [] });
  for (const { requestId, epoch } of sealRequests) {
    const sealed = epoch === record.epoch;
    const reason = sealed ? null : "older";
    turn.reply(requestId, {
      type: "SealReply",
      sealed,
      reason,
      epoch: record.epoch,
      position: sealed ? position : null,
    });
  }
}

function copyFrom(turn: Turn, leader: HeardLeader): void {
  const { engine, record } = turn.state;
  const { member: from, epoch } = leader;
  if (engine.volume === "data") {
    const sameHistoryUnsafe = !descendsFrom(leader, record.lineage);
    turn.emit({ type: "Rejoin", actionId: turn.beginAction("Rejoin", epoch), from, epoch, sameHistoryUnsafe });
    return;
  }
  // The copy is unreadable until it is complete, so its descent may be written down first.
  turn.persist({ lineage: leader.lineage });
  turn.emit({ type: "Clone", actionId: turn.beginAction("Clone", epoch), from, epoch });
}

function follow(turn: Turn, leader: HeardLeader): void {
  const { engine, record } = turn.state;
  const { member, epoch, position } = leader;
  if (position === null || (engine.upstream?.leader === member && engine.upstream.epoch === epoch)) return;
  if (!descendsFrom(leader, record.lineage))
    return markDiverged(turn, `Its data followed an epoch that ${member}'s does not descend from`);
  turn.persist({ lineage: leader.lineage });
  turn.setEngine({ sealedFor: null });
  turn.emit({ type: "Follow", actionId: turn.beginAction("Follow", epoch), leader: member, position, epoch });
}

function descendsFrom(leader: HeardLeader, lineage: readonly number[]): boolean {
  const last = lineage.at(-1);
  return last === undefined || leader.lineage.includes(last);
}

/** The copy has a tail that the leader does not: it is stopped, and brought back by a rejoin. */
export function markDiverged(turn: Turn, message: string): void {
  turn.report("warning", "Diverged", message);
  turn.stopEngine("fast");
  turn.setEngine({ diverged: true });
}
