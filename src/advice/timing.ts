// The times that leadership hangs on, against the answers that were really got.
import { PROFILES } from "../agent/protocol/profile.ts";
import type { Advice } from "./advice.ts";
import type { Facts } from "./facts.ts";
import { advise, keep, unknown } from "./verdict.ts";

/** A renewal that is late by so much of its deadline leaves no time for a second try. */
const LATE_SHARE = 0.25;
/** Fast only where a renewal in the worst five minutes still has eight times its time. */
const SOON_SHARE = 0.125;
const MOST_ERRORS = 0.001;
const DAY_SECONDS = 86_400;
/** A probe that tolerates less than so many of the slowest answers ends engines that are only slow. */
const ANSWERS_TOLERATED = 20;

/** The profile of the leader's Lease, by how long writes of it take. */
export function adviseLease({ intent, seen }: Facts): Advice {
  const { profile } = intent.failover;
  if (intent.topology !== "ActivePassive") return unknown("Lease", "leadership is the engine's own, without a Lease");
  const { leaseWriteP99Seconds: p99, leaseErrorShare: failed = 0 } = seen;
  if (p99 === undefined) return unknown("Lease", "no leader has written its Lease yet");
  const found = `99 of 100 writes of the Lease take ${milliseconds(p99)} at most, ${Number((failed * 100).toFixed(2))} % fail, in profile ${profile}`;
  const deadlineSeconds = (name: "Fast" | "Standard") => PROFILES[name].renewDeadlineMs / 1000;
  const isLate = (name: "Fast" | "Standard") => p99 > LATE_SHARE * deadlineSeconds(name) || failed > MOST_ERRORS;
  if (profile === "Fast" && isLate("Fast"))
    return advise("Lease", "Change", `${found}: a slow API server would cost the leader its office`, [
      ["spec.failover.profile", "Standard"],
    ]);
  if (profile === "Standard" && isLate("Standard"))
    return advise("Lease", "Change", `${found}: nothing tolerates more; look at the API server (QuorateLeaseSlow)`, []);
  const allowsFast = p99 <= SOON_SHARE * deadlineSeconds("Fast") && failed <= MOST_ERRORS;
  if (profile === "Standard" && allowsFast && seen.overSeconds >= DAY_SECONDS)
    return advise("Lease", "Change", `${found}: Fast would replace an unreachable leader after 6 s instead of 15 s`, [
      ["spec.failover.profile", "Fast"],
    ]);
  return keep("Lease", found);
}

/** The pods' liveness probes, by how long the engine's answers take. quorate sets them; what somebody changed is told. */
export function adviseProbes({ livenessToleratesSeconds: tolerated, seen }: Facts): Advice {
  const { answerP99Seconds: p99 } = seen;
  if (tolerated === undefined || p99 === undefined)
    return unknown("Probes", "no pod with a probe, or no answer of an engine");
  const found = `a member may be silent for ${tolerated} s, and 99 of 100 answers take ${milliseconds(p99)} at most`;
  if (tolerated >= ANSWERS_TOLERATED * p99) return keep("Probes", found);
  return advise(
    "Probes",
    "Change",
    `${found}: slow is taken for dead; find out why the engine is slow before it is killed`,
    [],
  );
}

function milliseconds(seconds: number): string {
  return `${Math.max(1, Math.round(seconds * 1000))} ms`;
}
