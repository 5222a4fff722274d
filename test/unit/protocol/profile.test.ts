// The inequality on which Async and stale reads stand.
import { describe, expect, test } from "vitest";
import { expiryWaitMs, isFencedBeforeExpiry, PROFILES } from "../../../src/agent/protocol/profile.ts";

describe("profiles", () => {
  test.each(Object.values(PROFILES))("$name: a holder is fenced before its lease can be thought expired", (profile) => {
    expect(isFencedBeforeExpiry(profile)).toBe(true);
    expect(expiryWaitMs(profile)).toBeGreaterThan(profile.leaseMs);
  });

  test.each(Object.values(PROFILES))("$name: a failed renewal leaves time for a round of promises", (profile) => {
    // 1.5 periods until the round starts, one message timeout until it ends.
    expect(1.5 * profile.periodMs + profile.messageTimeoutMs).toBeLessThan(profile.renewDeadlineMs);
  });

  test("a deadline too near to the lease is refused", () => {
    expect(isFencedBeforeExpiry({ ...PROFILES.Fast, renewDeadlineMs: 4_900 })).toBe(false);
  });
});
