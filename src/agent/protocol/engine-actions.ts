/** What the runtime answers about the engine: actions done or failed, probes, its end. */
import { takeEngineSet, takeOwnSeal, takePromotion } from "./candidacy.ts";
import { answerSealRequests, markDiverged } from "./following.ts";
import { leaveAfterExit } from "./leadership.ts";
import { resign } from "./office.ts";
import { isAtLeast, type Position } from "./position.ts";
import { stopForHandover } from "./resignation.ts";
import type { EngineAction } from "./state.ts";
import { takeVerifiedSet } from "./sync-change.ts";
import type { Turn } from "./turn.ts";
import type { EventBody } from "./exchange.ts";

/** Takes in the end of the action in flight; answers to replaced actions are ignored. */
export function concludeAction(turn: Turn, event: Extract<EventBody, { type: "ActionDone" | "ActionFailed" }>): void {
  const { action } = turn.state.engine;
  if (action === null || action.actionId !== event.actionId) return;
  turn.setEngine({ action: null });
  if (event.type === "ActionDone") return takeDone(turn, action, event.position);
  turn.setEngine({ retryAtMs: turn.now + turn.state.profile.periodMs });
  if (event.cause !== "ended") turn.report("warning", `${action.kind}Failed`, event.message);
  takeFailed(turn, action, event.cause === "diverged");
}

function takeDone(turn: Turn, action: EngineAction, position: Position | null): void {
  const { heard, role } = turn.state;
  if (position !== null) turn.setEngine({ position });
  switch (action.kind) {
    case "StartEngine":
      return turn.setEngine({ status: "follower", upstream: null, sealedFor: null });
    case "Follow":
      if (heard === null || heard.epoch !== action.epoch) return;
      return turn.setEngine({ upstream: { leader: heard.member, epoch: action.epoch } });
    case "Seal":
      turn.setEngine({ upstream: null, sealedFor: action.epoch });
      takeOwnSeal(turn, action.epoch, position);
      return answerSealRequests(turn, position);
    case "Promote":
      return takePromotion(turn, action.epoch);
    case "SetSyncSet":
      takeEngineSet(turn);
      return takeVerifiedSet(turn);
    case "Clone":
    case "Initialize":
      return turn.setEngine({ volume: "data", diverged: false });
    case "Rejoin":
      // Written down only now: until the copy is changed, its descent is the old one.
      if (heard?.epoch === action.epoch) turn.persist({ lineage: heard.lineage });
      return turn.setEngine({ diverged: false });
    case "PrepareHandover":
      return role.kind === "resigning" && role.stage === "preparing" ? stopForHandover(turn, role) : undefined;
    default:
      return action.kind satisfies never;
  }
}

function takeFailed(turn: Turn, action: EngineAction, diverged: boolean): void {
  const { role } = turn.state;
  switch (action.kind) {
    case "StartEngine":
      // A start that failed may have left processes behind.
      return turn.stopEngine("kill");
    case "Follow":
      return diverged ? markDiverged(turn, "The copy has a tail that the leader's log does not hold") : undefined;
    case "Seal":
      return answerSealRequests(turn, null);
    case "Promote":
      // Nobody knows whether it is writable: not without an office.
      if (role.kind === "leader") return undefined;
      return resign(turn, "yield", "");
    case "PrepareHandover":
      return role.kind === "resigning" && role.stage === "preparing" ? stopForHandover(turn, role) : undefined;
    case "Clone":
    case "Rejoin":
      return turn.setEngine({ volume: action.kind === "Clone" ? "incomplete" : turn.state.engine.volume });
    case "SetSyncSet":
    case "Initialize":
      return undefined;
    default:
      return action.kind satisfies never;
  }
}

/** Takes in a probe; which of the leader's standbys stream is remembered with the time at which they stopped. */
export function observeEngine(turn: Turn, event: Extract<EventBody, { type: "EngineState" }>): void {
  const { engine, role } = turn.state;
  if (engine.status !== "follower" && engine.status !== "writable") return;
  const cannotGoBack = role.kind === "leader" || engine.sealedFor !== null;
  if (cannotGoBack && isFromBefore(event.position, engine.position)) return;
  turn.setEngine({ position: event.position, standbys: event.standbys });
  if (role.kind !== "leader") return;
  for (const member of turn.others) {
    const isStreaming = event.standbys.some((standby) => standby.member === member && standby.streaming);
    const silentAtMs = isStreaming ? null : (turn.peer(member).silentAtMs ?? turn.now);
    if (silentAtMs !== turn.peer(member).silentAtMs) turn.setPeer(member, { silentAtMs });
  }
}

/**
 * Whether a probe began before the promotion of a leader, whose followers would take the former history for its own, or before the
 * seal of a copy, which would be taken for one that is not ahead of the next leader's.
 */
function isFromBefore(probed: Position | null, known: Position | null): boolean {
  return probed !== null && known !== null && !isAtLeast(probed, known);
}

/** The engine's main process ended by itself; what is left of it is killed. */
export function observeExit(turn: Turn): void {
  const { role, engine, profile } = turn.state;
  if (engine.status === "stopping" || engine.status === "stopped") return;
  turn.setEngine({ retryAtMs: turn.now + (role.kind === "leader" ? 0 : profile.periodMs) });
  if (role.kind === "leader") return leaveAfterExit(turn);
  if (role.kind === "resigning" || engine.armed) {
    turn.stopEngine("kill");
    if (role.kind === "candidate") resign(turn, "yield", "");
    return;
  }
  turn.stopEngine("kill");
}

/** No process of the engine lives: nothing can be written, and the fence may be disarmed. */
export function observeGone(turn: Turn): void {
  const { role, engine } = turn.state;
  if (engine.armed) turn.emit({ type: "DisarmFence" });
  turn.setEngine({
    status: "stopped",
    armed: false,
    action: null,
    position: null,
    standbys: [],
    upstream: null,
    sealedFor: null,
  });
  if (turn.state.sealRequests.length > 0) answerSealRequests(turn, null);
  if (role.kind === "leader") return leaveAfterExit(turn);
  if (role.kind === "candidate" && engine.armed) resign(turn, "yield", "");
}
