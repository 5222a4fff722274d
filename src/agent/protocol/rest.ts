/** When a member can do without its agent for a moment: nobody waits for it, and what it holds outlasts the change. */
import { isBound, isRegressed } from "./election.ts";
import type { Leader, State } from "./state.ts";

/** Less than this the start of an agent can take on a busy machine. */
const LEAST_START_MS = 1000;

/** How long a follower may be without an agent: its engine goes on receiving, and somebody else leads. */
const FOLLOWER_MS = 30_000;

/** How soon the next agent has to serve if this one ends now; null while it should not end. A death at any other time is as safe, but may be felt. */
export function restMs(state: State): number | null {
  const { engine, read, write, terminating, exited, leaseGone, sealRequests, role } = state;
  const isBusy = engine.action !== null || read !== null || write !== null || sealRequests.length > 0;
  if (isBusy || terminating || exited || leaseGone || isBound(state) || isRegressed(state)) return null;
  if (role.kind === "follower") return isFollowing(state) ? FOLLOWER_MS : null;
  return role.kind === "leader" ? leaderRestMs(state, role) : null;
}

/** Follows one that it heard from just now. */
function isFollowing({ engine, heard, nowAtMs, profile }: State): boolean {
  if (engine.status !== "follower" || engine.upstream === null || engine.diverged) return false;
  return heard !== null && heard.serving && nowAtMs - heard.atMs < 2 * profile.periodMs;
}

/**
 * Leads by a Lease that was just renewed: the next agent takes it anew, under an engine that runs on. Of what is left of the fence
 * deadline it may have half: the other half is for a second start, of the image's agent, should it not serve.
 */
function leaderRestMs({ hold, engine, nowAtMs, profile }: State, role: Leader): number | null {
  const isSettled = role.routed && role.verified && role.change === null && role.promises === null && !role.reasserting;
  if (!isSettled || hold === null || engine.status !== "writable") return null;
  const halfMs = Math.floor((hold.confirmedAtMs + profile.renewDeadlineMs - nowAtMs) / 2);
  return halfMs >= LEAST_START_MS ? halfMs : null;
}
