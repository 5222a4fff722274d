/** Notices a follower that receives nothing although its leader is there, most often because the leader's log no longer reaches back. */

/** How long a receiver may need to connect, also to a leader that was just promoted on a busy node. */
const CUT_OFF_AFTER_MS = 30_000;

/** What people are told of it. */
export const NOT_RECEIVING = {
  reason: "NotReceiving",
  message:
    "Receives nothing from its leader, which may no longer have the log that this member needs: order a Rebuild then",
} as const;

/** Follows one member from observation to observation. */
export class ReceivingWatch {
  #sinceMs: number | undefined;

  /** @param isMissing - The engine should receive, and says that it does not. @returns whether that has been so for too long. */
  isCutOff(isMissing: boolean, nowMs: number): boolean {
    if (!isMissing) this.#sinceMs = undefined;
    else this.#sinceMs ??= nowMs;
    return this.#sinceMs !== undefined && nowMs - this.#sinceMs >= CUT_OFF_AFTER_MS;
  }
}
