// Five members that all write, in a small world in which they die, lose what they have and hear little.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ActiveWorld, type Fault } from "./active-world.ts";

describe("in a world of five", () => {
  test("that is calm the group is begun once, and all come together", () => {
    const world = new ActiveWorld((count) => count - 1);
    for (let period = 0; period < 30; period++) world.step();
    expect(world.isWhole).toBe(true);
    world.strike("killAll", "m0");
    for (let period = 0; period < 30; period++) world.step();
    expect(world.isWhole).toBe(true);
    expect(world.founded).toBe(2);
    expect(world.acked).toBeGreaterThan(0);
  });

  test("a lost volume and nobody that serves is left to a person", () => {
    const world = new ActiveWorld((count) => count - 1);
    for (let period = 0; period < 30; period++) world.step();
    world.strike("killAll", "m0");
    world.strike("volume", "m3");
    for (let period = 0; period < 60; period++) world.step();
    expect(world.needsConsent).toBe(true);
    expect(world.founded).toBe(1);
  });

  test("two groups never write, nothing acknowledged gets lost, and in peace all come together again", () => {
    const kind = fc.constantFrom<Fault>("none", "kill", "kill", "killAll", "volume", "cut", "heal", "stop");
    const faults = fc.array(fc.record({ kind, ordinal: fc.nat(4) }), { maxLength: 40 });
    const schedule = fc.record({ faults, choices: fc.infiniteStream(fc.nat(39)) });
    fc.assert(
      fc.property(schedule, ({ faults: struck, choices }) => {
        let disorder = true;
        const world = new ActiveWorld((count) => (disorder ? (choices.next().value ?? 0) % count : count - 1));
        for (const { kind: fault, ordinal } of struck) {
          world.strike(fault, `m${ordinal}`);
          for (let period = 0; period < 4; period++) world.step();
        }
        disorder = false;
        world.heal();
        for (let period = 0; period < 300 && !world.isWhole; period++) world.step();
        expect(world.isWhole || world.needsConsent).toBe(true);
      }),
      { numRuns: Number(process.env["GROUP_RUNS"] ?? "150") },
    );
  });
});
