/** Leaving an office: a candidate that gives up, a leader that lost its lease. */
import type { State } from "./state.ts";
import type { Turn } from "./turn.ts";

/**
 * The candidate gives up for now. What it holds goes back to the Lease, `target` named in it; a member's rank spreads the
 * next tries so that two do not collide for ever.
 */
export function standDown(turn: Turn, target = ""): void {
  const { state } = turn;
  const rank = Math.max(0, state.intent?.members.indexOf(turn.self) ?? 0);
  const contendAtMs = turn.now + state.profile.retryMs * (rank + 1);
  turn.set({ contendAtMs, nominated: false, role: { kind: "follower" } });
  turn.emit({ type: "WakeAt", atMs: contendAtMs });
  if (state.hold !== null) resign(turn, "yield", target);
}

/** Begins to give the lease back. An engine that may be writable is stopped first; one that is not goes on. */
export function resign(turn: Turn, why: "term" | "engine-exited" | "yield", target: string): void {
  const { hold, engine } = turn.state;
  if (hold === null) return;
  const role = {
    kind: "resigning",
    why,
    target,
    switchoverId: null,
    startedAtMs: turn.now,
    killAtMs: null,
    isTold: false,
  } as const;
  turn.set({ role: { ...role, stage: engine.armed ? "stopping" : "releasing" } });
  if (engine.armed && engine.status !== "stopping") turn.stopEngine(why === "term" ? "fast" : "kill");
}

/**
 * The lease is somebody else's, or the deadline is reached: nothing may be written from here on. The routes are left alone,
 * whoever leads next has written or will write them.
 */
export function loseOffice(turn: Turn, reason: string, message: string): void {
  const { engine } = turn.state;
  turn.report("warning", reason, message);
  turn.set({ hold: null, role: { kind: "follower" }, nominated: false });
  if (engine.armed) turn.stopEngine("kill");
  else if (engine.action?.kind === "SetSyncSet") turn.setEngine({ action: null });
}

/** Asks for the engine to be dead after it ended by itself, so that what is left of it cannot answer a client. */
export function clearEngine(turn: Turn): void {
  if (turn.state.engine.status !== "stopping" && turn.state.engine.status !== "stopped") turn.stopEngine("kill");
}

/**
 * Whether the engine of a leader that ended is started in place: the Lease still names this boot, which has left nothing to anybody, so
 * nobody else can lead before it expires.
 */
export function restartsInPlace({ role, lease, identity }: State): boolean {
  return role.kind === "follower" && lease?.view.content.holder === identity.holder;
}
