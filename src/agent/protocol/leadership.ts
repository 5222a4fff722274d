/**
 * Staying leader: renewals, heartbeats, failsafe promises while the API server is away, the fence, and the one case in which
 * a leader takes a new epoch without a restart (the register went back, or its agent was restarted under a running engine).
 */
import { confirmHold, isLeaseOurs, mayWriteAgain, writeHeld, writeLease } from "./lease.ts";
import { clearEngine, loseOffice, resign } from "./office.ts";
import { comparePositions } from "./position.ts";
import { compareVersions, furthestFlushed, requiredSealed } from "./quorum.ts";
import type { Candidate, Leader, State } from "./state.ts";
import type { Turn } from "./turn.ts";
import type { ReplyMessage } from "./exchange.ts";
import { FAILOVER_BUDGET, FAILOVER_WINDOW_MS, MAX_LINEAGE, type SyncSet, type SyncVersion } from "./types.ts";

/** The promoted candidate becomes leader and says so at once: followers can begin to receive. */
export function becomeLeader(turn: Turn, candidate: Candidate): void {
  const { hold } = turn.state;
  if (hold === null || hold.sync === null) return;
  turn.setEngine({ status: "writable", upstream: null, diverged: false });
  const verified = isHeldAlready(turn.self, candidate, hold.sync);
  turn.set({ role: { ...newLeader(turn, candidate.epoch, hold.sync), verified }, blocked: null, heard: null });
  turn.report("info", "Promoted", `Leads epoch ${candidate.epoch} (${candidate.cause})`);
  sendHeartbeats(turn);
}

/**
 * Whether W standbys of the set were sealed where this member was: then they have durably all there was at promotion, and
 * nothing has to be sent to them to prove it. The usual case of a planned change, whose leader ended with every byte sent.
 * One that was ahead does not count: it will be rewound, and may be copied anew.
 */
function isHeldAlready(self: string, { answers }: Candidate, { names, ack }: SyncSet): boolean {
  const own = answers[self] ?? null;
  if (own === null || ack === 0) return false;
  const same = names.filter((member) => {
    const answer = answers[member] ?? null;
    return answer !== null && comparePositions(answer, own) === "equal";
  });
  return same.length >= ack;
}

/** The Lease was taken anew under an engine that ran on: tell its hooks the epoch and lead. */
export function enterAdoptedOffice(turn: Turn, candidate: Candidate): void {
  const { hold, engine } = turn.state;
  if (hold === null || hold.sync === null) return;
  if (engine.status !== "writable")
    return loseOffice(turn, "EngineGone", "The engine ended before its new agent could take the Lease");
  takeEpoch(turn, hold.sync);
  turn.set({ role: newLeader(turn, candidate.epoch, hold.sync), heard: null });
  turn.report("info", "Adopted", `Leads epoch ${candidate.epoch}; the engine was not touched`);
  sendHeartbeats(turn);
}

function newLeader(turn: Turn, epoch: number, sync: SyncSet): Leader {
  return {
    kind: "leader",
    epoch,
    sinceAtMs: turn.now,
    verified: false,
    routed: false,
    change: null,
    told: { mode: sync.mode, names: sync.names, ack: sync.ack },
    promises: null,
    heartbeatAtMs: turn.now,
    reasserting: false,
  };
}

/** Makes a writable engine one of the epoch of `sync`: durable, fenced by the lease just confirmed, hooks told. */
function takeEpoch(turn: Turn, sync: SyncSet): void {
  const { hold, profile } = turn.state;
  if (hold === null) return;
  turn.persist({
    epoch: sync.epoch,
    lineage: sync.lineage.slice(-MAX_LINEAGE),
    sync: { epoch: sync.epoch, version: sync.version },
  });
  turn.emit({ type: "ExtendFence", deadlineMs: hold.confirmedAtMs + profile.renewDeadlineMs });
  turn.emit({ type: "Promote", actionId: turn.beginAction("Promote", sync.epoch), epoch: sync.epoch });
}

/** What a leader does at the end of every turn, but for the synchronous set and planned changes. */
export function driveLeader(turn: Turn): void {
  const { role, profile } = turn.state;
  if (role.kind !== "leader") return;
  if (turn.now - role.heartbeatAtMs >= profile.periodMs) sendHeartbeats(turn);
  driveBudget(turn, role);
  driveFailsafe(turn);
  driveReassertion(turn);
  driveRoute(turn);
}

/** Renews the Lease each period while it is held for an office, and gives up when the deadline is reached. */
export function driveHold(turn: Turn): void {
  const { hold, role, profile, engine, write } = turn.state;
  if (hold === null) return;
  if (engine.armed && turn.now >= hold.confirmedAtMs + profile.renewDeadlineMs) {
    return loseOffice(turn, "Fenced", "Neither the Lease nor enough members confirmed in time");
  }
  if (role.kind === "follower") return resign(turn, "yield", "");
  if (write !== null || !isLeaseOurs(turn) || (role.kind === "resigning" && role.stage === "releasing")) return;
  if (turn.now - hold.renewedAtMs >= profile.periodMs) writeHeld(turn, hold.sync);
}

function driveBudget(turn: Turn, leader: Leader): void {
  const { hold } = turn.state;
  if (hold === null || hold.failovers === 0 || turn.now - leader.sinceAtMs < FAILOVER_WINDOW_MS) return;
  turn.set({ hold: { ...hold, failovers: 0 } });
}

/** Sends a heartbeat to every other member now. */
export function sendHeartbeats(turn: Turn): void {
  const { role, hold, engine } = turn.state;
  if (role.kind !== "leader" || hold === null || hold.sync === null) return;
  turn.set({ role: { ...role, heartbeatAtMs: turn.now } });
  const { version, lineage } = hold.sync;
  const sync = { epoch: hold.sync.epoch, version };
  turn.send(turn.others, { type: "Heartbeat", epoch: role.epoch, sync, position: engine.position, lineage }, 0);
}

/** How many of `names` have persisted that they know of `version`. */
export function countKnowing(state: State, names: readonly string[], version: SyncVersion): number {
  return names.filter((member) => {
    const peer = state.peers[member];
    return peer !== undefined && compareVersions(peer.sync, version) >= 0;
  }).length;
}

/**
 * Opens the route once W standbys have flushed all there was at promotion (what a crash left behind could otherwise be read
 * and then lost) and W have persisted the epoch (so that a register that goes back is noticed by any quorum).
 */
function driveRoute(turn: Turn): void {
  const { role, hold } = turn.state;
  if (
    role.kind !== "leader" ||
    role.routed ||
    !role.verified ||
    role.reasserting ||
    hold === null ||
    hold.sync === null
  )
    return;
  if (countKnowing(turn.state, hold.sync.names, { epoch: role.epoch, version: 1 }) < hold.sync.ack) return;
  turn.set({ role: { ...role, routed: true } });
  turn.emit({ type: "Route", ready: true, epoch: role.epoch });
}

// ----------------------------------------------------------------------------------------------------------------- failsafe

/** Whether promises by these members make it impossible that anyone else comes to lead while they last. */
function isProtected(turn: Turn, promised: readonly string[]): boolean {
  const { hold, write } = turn.state;
  const sets = [hold?.sync ?? null, write?.content.sync ?? null].filter((set) => set !== null);
  return sets.every((set) => {
    if (set.mode === "Async") return turn.others.every((member) => promised.includes(member));
    const free = set.names.filter((member) => !promised.includes(member)).length;
    return free < requiredSealed(set);
  });
}

/** While renewals fail or are late, asks for a round of promises each period. */
function driveFailsafe(turn: Turn): void {
  const { role, hold, profile, write } = turn.state;
  if (role.kind !== "leader" || hold === null) return;
  const isDoubtful = write?.status === "unresolved" || !isLeaseOurs(turn) || role.reasserting;
  const isLate = turn.now - hold.confirmedAtMs >= 1.5 * profile.periodMs;
  if (!isLate && !isDoubtful) return;
  if (role.promises !== null && turn.now - role.promises.sentAtMs < profile.periodMs) return;
  const round = turn.takeId();
  turn.set({ role: { ...role, promises: { sentAtMs: turn.now, round, promised: [] } } });
  turn.send(turn.others, { type: "Promise", epoch: role.epoch }, round);
  if (isProtected(turn, [])) confirmHold(turn, turn.now, hold.sync);
}

/** Takes in a promise: enough of them are worth a renewal, counted from the send of their round. */
export function takePromise(
  turn: Turn,
  from: string,
  round: number,
  reply: Extract<ReplyMessage, { type: "PromiseReply" }>,
): void {
  const { role, hold } = turn.state;
  if (role.kind !== "leader" || role.promises === null || role.promises.round !== round || hold === null) return;
  if (!reply.granted) return;
  const promises = { ...role.promises, promised: [...role.promises.promised, from] };
  turn.set({ role: { ...role, promises } });
  if (isProtected(turn, promises.promised)) confirmHold(turn, promises.sentAtMs, hold.sync);
}

// --------------------------------------------------------------------------------------------------- a register that went back

/** The Lease shows an epoch below the one held. A running leader asserts itself anew, above every epoch it knows of. */
export function beginReassertion(turn: Turn): void {
  const { role } = turn.state;
  if (role.kind !== "leader")
    return loseOffice(turn, "RegisterRegressed", "The Lease went back while this member was taking or leaving office");
  if (role.reasserting) return;
  turn.report("warning", "RegisterRegressed", `The Lease is below epoch ${role.epoch}; asserting it anew`);
  turn.set({ role: { ...role, reasserting: true, promises: null } });
}

function driveReassertion(turn: Turn): void {
  const { role, hold, lease, identity, record, seenEpoch } = turn.state;
  if (role.kind !== "leader" || !role.reasserting || hold === null || hold.sync === null || lease === null) return;
  if (!mayWriteAgain(turn) || turn.state.engine.action?.kind === "Promote") return;
  if (role.promises === null || !isProtected(turn, role.promises.promised)) return;
  const epoch = 1 + Math.max(role.epoch, record.epoch, seenEpoch, lease.view.content.epoch);
  const sync = { ...hold.sync, epoch, version: 1, lineage: [...hold.sync.lineage, epoch].slice(-MAX_LINEAGE) };
  const { holder, member } = identity;
  writeLease(turn, "acquire", { holder, epoch, leader: member, handover: "", failovers: hold.failovers, sync });
}

/** The Lease is ours again, at a new epoch. The route opens again when enough members know of it. */
export function finishReassertion(turn: Turn): void {
  const { role, hold } = turn.state;
  if (role.kind !== "leader" || hold === null || hold.sync === null) return;
  const { epoch } = hold.sync;
  turn.set({
    role: { ...role, epoch, reasserting: false, routed: false, verified: false, change: null, promises: null },
  });
  takeEpoch(turn, hold.sync);
  sendHeartbeats(turn);
}

// ---------------------------------------------------------------------------------------------------------------- engine exit

/**
 * The leader's engine ended by itself. Hands over at once when followers can go on without this copy and the budget allows;
 * otherwise this member starts it again, as a follower that takes a new epoch.
 */
export function leaveAfterExit(turn: Turn): void {
  const { hold, intent } = turn.state;
  if (hold === null) return;
  turn.emit({ type: "Route", ready: false, epoch: hold.epoch });
  const standbys = healthyStandbys(turn.state);
  const sync = hold.sync;
  const names = standbys.map(({ member }) => member).filter((member) => sync?.names.includes(member) === true);
  const isCovered = sync !== null && names.length >= requiredSealed(sync);
  const target = furthestFlushed(standbys);
  const isInBudget = hold.failovers < FAILOVER_BUDGET;
  if (!isInBudget) turn.report("warning", "Stalled", "Too many failovers; the engine is restarted in place");
  if (isCovered && isInBudget && target !== null && intent?.paused === false) {
    turn.set({ hold: { ...hold, failovers: hold.failovers + 1 } });
    return resign(turn, "engine-exited", target);
  }
  turn.report("warning", "EngineExited", "The engine ended; it is restarted in place");
  turn.set({ hold: null, role: { kind: "follower" } });
  clearEngine(turn);
}

/** The standbys that stream from this leader and whose agents answer. */
export function healthyStandbys(state: State): readonly { member: string; flushed: string | null }[] {
  const { engine, profile, role } = state;
  if (role.kind !== "leader") return [];
  return engine.standbys.filter(({ member, streaming }) => {
    const peer = state.peers[member];
    if (!streaming || peer === undefined || peer.dead || !peer.healthy || peer.heardAtMs === null) return false;
    return peer.sync.epoch === role.epoch && state.nowAtMs - peer.heardAtMs < 2.5 * profile.periodMs;
  });
}
