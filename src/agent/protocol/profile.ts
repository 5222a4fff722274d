/** The timing of one failover profile, and the inequality that makes a lease and a fence deadline agree. */

/** Names a user can choose. */
export type ProfileName = "Fast" | "Standard";

/** Bound of the rate error of one node's clock: 1 %. */
export const CLOCK_RATE_ERROR = 0.01;

/** From “the deadline passed” to “no write is accepted any more”, in ms: timer, SIGKILL to all, end of the last process. */
export const FENCE_REACTION_MS = 1_000;

/**
 * All waits of the protocol, in ms. Only `leaseMs`, `renewDeadlineMs` and `periodMs` carry safety (Async mode) or detection
 * time; the rest bounds how long one step may take before another member may try.
 */
export interface Profile {
  readonly name: ProfileName;
  /** L: a lease seen unchanged for this long (on the observer's clock, plus the rate error) has expired. */
  readonly leaseMs: number;
  /** R: the fence deadline, counted from the send of the last confirmed renewal. */
  readonly renewDeadlineMs: number;
  /** P: heartbeats and renewals. */
  readonly periodMs: number;
  /** One peer request. */
  readonly messageTimeoutMs: number;
  /** One seal request: the member persists, stops its receiver and reads its position meanwhile. */
  readonly sealTimeoutMs: number;
  /** An election that has not come to a writable engine by then is given up. */
  readonly electionTimeoutMs: number;
  /** How long only the member named by a release may contend. */
  readonly handoverMs: number;
  /** Wait before the next try of an election, multiplied by the member's rank so that two do not collide for ever. */
  readonly retryMs: number;
}

/** The profiles: `Fast` for API servers that answer, `Standard` for those with long blips. */
export const PROFILES: Readonly<Record<ProfileName, Profile>> = {
  Fast: {
    name: "Fast",
    leaseMs: 6_000,
    renewDeadlineMs: 4_000,
    periodMs: 1_000,
    messageTimeoutMs: 700,
    sealTimeoutMs: 1_500,
    electionTimeoutMs: 30_000,
    handoverMs: 3_000,
    retryMs: 150,
  },
  Standard: {
    name: "Standard",
    leaseMs: 15_000,
    renewDeadlineMs: 10_000,
    periodMs: 2_000,
    messageTimeoutMs: 1_500,
    sealTimeoutMs: 3_000,
    electionTimeoutMs: 60_000,
    handoverMs: 6_000,
    retryMs: 300,
  },
};

/** Whether a holder is surely fenced before an observer may think its lease expired: R(1+ρ) + h < L(1−ρ). */
export function isFencedBeforeExpiry(profile: Profile): boolean {
  return (
    profile.renewDeadlineMs * (1 + CLOCK_RATE_ERROR) + FENCE_REACTION_MS < profile.leaseMs * (1 - CLOCK_RATE_ERROR)
  );
}

/** How long an observer must have seen the Lease unchanged before it has expired, in ms of its own clock: L(1+ρ). */
export function expiryWaitMs(profile: Profile): number {
  return Math.ceil(profile.leaseMs * (1 + CLOCK_RATE_ERROR));
}
