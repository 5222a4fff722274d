/** The member as others should see it. */
import { electionCause } from "./election.ts";
import type { State } from "./state.ts";
import type { MemberView } from "./types.ts";

/** Derives what to publish about this member; pure, and equal for states that differ only in times. */
export function describeMember(state: State): MemberView {
  const { role, hold, record, heard, engine } = state;
  const sync = role.kind === "leader" ? (hold?.sync ?? null) : null;
  const shown = { syncNames: sync?.names ?? [], ack: sync?.ack ?? 0 };
  if (role.kind === "leader") {
    const reason = role.reasserting ? "RegisterRegressed" : role.routed ? null : "WaitingForStandbys";
    return {
      role: "leader",
      epoch: role.epoch,
      leader: state.identity.member,
      state: role.routed ? "Running" : "Starting",
      reason,
      ...shown,
    };
  }
  if (role.kind === "resigning" && engine.armed) {
    return {
      role: "leader",
      epoch: hold?.epoch ?? 0,
      leader: state.identity.member,
      state: "Running",
      reason: "HandingOver",
      ...shown,
    };
  }
  const isFollowing = engine.status === "follower" && engine.upstream !== null;
  const leader = isFollowing ? (engine.upstream?.leader ?? null) : (heard?.member ?? null);
  const base = { role: isFollowing ? "follower" : "none", epoch: record.epoch, leader, ...shown } as const;
  if (role.kind === "candidate" && role.stage !== "reading") return { ...base, state: "Electing", reason: null };
  return { ...base, ...engineCondition(state) };
}

function engineCondition(state: State): Pick<MemberView, "state" | "reason"> {
  const { engine, terminating, leaseGone, blocked, exited } = state;
  if (exited || terminating) return { state: "Stopped", reason: "Terminating" };
  if (engine.status === "writable") return { state: "Fenced", reason: "NoOffice" };
  if (engine.action?.kind === "Clone") return { state: "Cloning", reason: null };
  if (engine.action?.kind === "Rejoin" || engine.diverged) return { state: "Rewinding", reason: "Diverged" };
  if (engine.status === "follower" && engine.upstream !== null) return { state: "Running", reason: null };
  if (leaseGone) return { state: "Blocked", reason: "LeaseGone" };
  if (blocked !== null && electionCause(state) === null) return { state: "Blocked", reason: blocked };
  if (blocked !== null) return { state: "Blocked", reason: blocked };
  return { state: "Starting", reason: engine.volume === "data" ? null : "NoCopy" };
}
