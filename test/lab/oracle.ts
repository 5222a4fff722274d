/** What every client that counted has to have seen, whatever was done to the cluster meanwhile. */
import { expect } from "vitest";

/** What a client counted that must never be. */
interface Wrongs {
  readonly lost: number;
  readonly unexpected: number;
  readonly outOfOrder: number;
}

/** Expects no acknowledged row to be lost, none that nobody wrote, and none of an older epoch after a newer one. */
export function expectNothingLost({ lost, unexpected, outOfOrder }: Wrongs): void {
  expect({ lost, unexpected, outOfOrder }).toEqual({ lost: 0, unexpected: 0, outOfOrder: 0 });
}
