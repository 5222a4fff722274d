import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { FenceClock } from "../../../src/agent/fence-clock.ts";

/** Both clocks of one machine; `suspend` lets only boottime and realtime go on, as a sleeping machine does. */
class Machine {
  monotonicMs = 5000;
  boottimeMs = 90_000;
  realtimeMs = 1_800_000_000_000;

  run(ms: number): void {
    this.monotonicMs += ms;
    this.suspend(ms);
  }

  suspend(ms: number): void {
    this.boottimeMs += ms;
    this.realtimeMs += ms;
  }

  get boottimeNs(): bigint {
    return BigInt(this.boottimeMs) * 1_000_000n;
  }
}

const WINDOW_MS = 4000;
let machine: Machine;

beforeEach(() => {
  machine = new Machine();
  vi.spyOn(performance, "now").mockImplementation(() => machine.monotonicMs);
  vi.spyOn(Date, "now").mockImplementation(() => machine.realtimeMs);
});
afterEach(() => {
  vi.restoreAllMocks();
});

describe("the fence deadline in init's time", () => {
  test("is the send plus the window", () => {
    const clock = new FenceClock();
    clock.sample(machine.boottimeNs);
    machine.run(100);
    const sentMs = clock.nowMs();
    expect(clock.deadlineNs(sentMs + WINDOW_MS, sentMs)).toBe(machine.boottimeNs + BigInt(WINDOW_MS) * 1_000_000n);
  });

  test("is never later because the machine slept after the send, whenever the clocks are compared again", () => {
    const clock = new FenceClock();
    clock.sample(machine.boottimeNs);
    machine.run(100);
    const sentMs = clock.nowMs();
    const atSendNs = machine.boottimeNs;
    machine.suspend(30_000);
    clock.sample(machine.boottimeNs);
    expect(clock.deadlineNs(sentMs + WINDOW_MS, sentMs)).toBeLessThanOrEqual(atSendNs + BigInt(WINDOW_MS) * 1_000_000n);
  });

  test("does not exist without a sample from before the send", () => {
    const clock = new FenceClock();
    const sentMs = clock.nowMs();
    machine.run(10);
    clock.sample(machine.boottimeNs);
    expect(clock.deadlineNs(sentMs + WINDOW_MS, sentMs)).toBeUndefined();
  });
});

describe("clocks are suspected", () => {
  test.each<[string, (machine: Machine) => void, boolean]>([
    ["not when time just passes", (one) => one.run(250), false],
    ["when the machine slept", (one) => one.suspend(5000), true],
    ["when somebody set the wall clock", (one) => void (one.realtimeMs -= 60_000), true],
  ])("%s", (_, happens, suspect) => {
    const clock = new FenceClock();
    clock.sample(machine.boottimeNs);
    happens(machine);
    expect(clock.sample(machine.boottimeNs)).toBe(suspect);
  });
});
