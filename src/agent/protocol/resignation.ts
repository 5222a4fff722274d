/**
 * Giving up the office on purpose: a switchover, SIGTERM, a dead engine. The Lease is released only when no process of the
 * engine lives, so whoever takes it next is never a second writer, and the release names who should.
 */
import { healthyStandbys } from "./leadership.ts";
import { isLeaseOurs, mayWriteAgain, writeLease } from "./lease.ts";
import { compareValues } from "./position.ts";
import { furthestFlushed } from "./quorum.ts";
import type { Resigning, State } from "./state.ts";
import type { Turn } from "./turn.ts";

/** Begins the planned change that the intent asks for, or says why not; each id once. */
export function considerSwitchover(turn: Turn): void {
  const { role, intent, switchoverDone } = turn.state;
  const wanted = intent?.switchover ?? null;
  if (role.kind !== "leader" || wanted === null || wanted.id === switchoverDone || !role.routed || role.change !== null)
    return;
  if (wanted.from !== null && wanted.from !== turn.self) return;
  const { id, to } = wanted;
  const answer = (result: "Done" | "Refused", message: string): void => {
    turn.set({ switchoverDone: id });
    turn.emit({ type: "SwitchoverResult", id, result, message });
  };
  if (to === turn.self) return answer("Done", `${turn.self} leads already`);
  if (wanted.from === null && to === null)
    return answer("Refused", "Name the leader to move away from, or the member to move to");
  const target = to ?? furthestFlushed(healthyStandbys(turn.state));
  const refusal = target === null ? "No follower is healthy" : refusalFor(turn.state, target);
  if (target === null || refusal !== null) return answer("Refused", refusal ?? "No follower is healthy");
  turn.set({ switchoverDone: id, handedOver: null });
  beginResignation(turn, {
    kind: "resigning",
    why: "switchover",
    target,
    switchoverId: id,
    stage: "preparing",
    startedAtMs: turn.now,
    killAtMs: null,
    isTold: false,
  });
}

/** Why that member cannot take over as planned; null: it can. */
function refusalFor(state: State, target: string): string | null {
  const { hold, engine, intent } = state;
  const standby = healthyStandbys(state).find(({ member }) => member === target);
  if (standby === undefined || standby.flushed === null) return `${target} does not follow healthily`;
  const isListed = hold?.sync?.mode === "Async" || hold?.sync?.names.includes(target) === true;
  if (!isListed) return `${target} is not in the synchronous set`;
  const own = engine.position?.value ?? standby.flushed;
  const limit = BigInt(standby.flushed) + BigInt(intent?.maxLag ?? "0");
  return compareValues(own, limit.toString()) > 0 ? `${target} is more than ${intent?.maxLag ?? "0"} behind` : null;
}

/**
 * SIGTERM at a leader: hand over to the best follower, then end. A pod that is deleted by force is killed two seconds later, and
 * a leader that is killed with the Lease in its hands is replaced only when that expires. So with little time nothing is
 * prepared, and from half of it on a clean stop is not waited for.
 */
export function resignForTerm(turn: Turn, graceMs: number | null): void {
  const { hold, profile } = turn.state;
  const isHurried = graceMs !== null && graceMs <= profile.leaseMs;
  const target = furthestFlushed(healthyStandbys(turn.state)) ?? "";
  const stage = target === "" || isHurried ? "stopping" : "preparing";
  // What a kill leaves unconfirmed was not acknowledged, but by a leader that waits for nobody.
  const killAtMs = isHurried && hold?.sync?.mode !== "Async" ? turn.now + graceMs / 2 : null;
  const role = { kind: "resigning", why: "term", target, switchoverId: null, stage, startedAtMs: turn.now } as const;
  beginResignation(turn, { ...role, killAtMs, isTold: false });
}

function beginResignation(turn: Turn, role: Resigning): void {
  const { hold } = turn.state;
  if (hold === null) return;
  turn.set({ role });
  turn.report(
    "info",
    "HandingOver",
    role.target === "" ? "Stops; nobody is fit to take over" : `Hands over to ${role.target}`,
  );
  if (role.stage === "preparing") {
    turn.emit({ type: "PrepareHandover", actionId: turn.beginAction("PrepareHandover", hold.epoch) });
  } else stopForHandover(turn, role);
}

/** The engine is prepared, or would not be: stop serving and stop it. */
export function stopForHandover(turn: Turn, role: Resigning): void {
  const { hold } = turn.state;
  if (hold === null) return;
  turn.set({ role: { ...role, stage: "stopping" } });
  turn.emit({ type: "Route", ready: false, epoch: hold.epoch });
  turn.stopEngine("fast");
}

/** Moves a resignation on. Called at the end of every turn. */
export function driveResignation(turn: Turn): void {
  const { role, engine, hold, profile } = turn.state;
  if (role.kind !== "resigning") return;
  if (hold === null) return turn.set({ role: { kind: "follower" } });
  if (role.stage === "preparing" && turn.now - role.startedAtMs >= profile.leaseMs) return stopForHandover(turn, role);
  const isLate = role.killAtMs !== null && turn.now >= role.killAtMs && engine.stoppingAtMs < role.killAtMs;
  if (role.stage === "stopping" && engine.status === "stopping" && isLate) turn.stopEngine("kill");
  if (role.stage === "stopping" && !engine.armed) turn.set({ role: { ...role, stage: "releasing" } });
  release(turn);
}

function release(turn: Turn): void {
  const { role, hold, lease } = turn.state;
  if (role.kind !== "resigning" || role.stage !== "releasing" || hold === null || lease === null) return;
  if (!mayWriteAgain(turn)) return;
  // Gone, gone back or somebody else's: there is nothing left to give back.
  if (!isLeaseOurs(turn)) return turn.set({ hold: null, role: { kind: "follower" } });
  const { failovers } = hold;
  const { epoch, sync } = { epoch: hold.epoch, sync: lease.view.content.sync };
  writeLease(turn, "release", { holder: "", epoch, leader: turn.self, handover: role.target, failovers, sync });
}

/**
 * The register did not take the release: say so to the others, who may then replace this member as one that is dead. It is the
 * only way for a pod that was deleted by force, whose token the API server refuses from some moment on.
 */
export function tellStopped(turn: Turn): void {
  const { role, hold } = turn.state;
  if (role.kind !== "resigning" || role.stage !== "releasing" || role.isTold || hold === null) return;
  turn.set({ role: { ...role, isTold: true } });
  turn.send(turn.others, { type: "Stopped", epoch: hold.epoch }, 0);
}

/** The Lease is free: tell the one it was left to. */
export function finishRelease(turn: Turn): void {
  const { role, hold, profile } = turn.state;
  turn.set({ hold: null, contendAtMs: turn.now + profile.retryMs });
  if (role.kind !== "resigning" || hold === null) return;
  if (role.target !== "") turn.send([role.target], { type: "Nominate", epoch: hold.epoch }, 0);
  const handedOver =
    role.switchoverId === null ? null : { id: role.switchoverId, target: role.target, epoch: hold.epoch };
  turn.set({ role: { kind: "follower" }, handedOver });
}

/** A new leader was heard: says whether the switchover ended as wanted. */
export function concludeSwitchover(turn: Turn, leader: string, epoch: number): void {
  const { handedOver } = turn.state;
  if (handedOver === null || epoch <= handedOver.epoch) return;
  const { id, target } = handedOver;
  turn.set({ handedOver: null });
  const isDone = leader === target;
  const message = isDone ? `${leader} leads epoch ${epoch}` : `${leader} leads epoch ${epoch}, not ${target}`;
  turn.emit({ type: "SwitchoverResult", id, result: isDone ? "Done" : "Failed", message });
}
