// What an Engine cannot keep is refused before anything is built, with the field and the value that would do.
import { expect, test } from "vitest";
import { preflight } from "../../../src/plan/preflight.ts";
import { engine } from "./fixture.ts";
import { Simulator } from "./simulator.ts";

test("a durability that the Engine cannot keep", () => {
  const seen = new Simulator({ members: 3 }).observe();
  if (seen.cluster === undefined) throw new Error("no cluster");
  const weak = { ...seen, engine: { ...engine, durabilityModes: ["Async" as const] } };
  expect(preflight(weak, seen.cluster)).toMatchObject({
    ok: false,
    blocked: [
      {
        guard: "DurabilitySupported",
        message: expect.stringContaining("cannot keep durability Quorum. Set spec.durability.mode to one of Async."),
        override: expect.stringContaining('{"spec":{"durability":{"mode":"Async"}}}'),
      },
    ],
  });
  expect(preflight(seen, seen.cluster)).toMatchObject({ ok: true });
});
