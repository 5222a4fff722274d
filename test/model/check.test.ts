/**
 * The failover protocol, explored: every promise holds in every schedule within the bounds, and each sown mistake is found.
 * The same program runs longer by hand: `node test/model/run.ts --scenario one --budget 2`.
 */
import { execFile } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { MUTANTS, mutate } from "./mutants.ts";

/** Walks beyond the exhaustive part; QUORATE_MODEL_WALKS asks for more. */
const WALKS = process.env["QUORATE_MODEL_WALKS"] ?? "400";

function check(...args: readonly string[]): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    const argv = [join(import.meta.dirname, "run.ts"), ...args];
    execFile(process.execPath, argv, { maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
      resolve({
        code: typeof error?.code === "number" ? error.code : error === null ? 0 : -1,
        output: stdout + stderr,
      });
    });
  });
}

describe("no schedule breaks a promise", () => {
  test.each([
    "one",
    "one-async",
    "one-all",
    "one-degraded",
    "one-pair",
    "one-five",
    "one-learner",
    "stale-13",
    "stale-14",
    "stale-15",
    "forced",
    "forced-apart",
    "forced-lie",
  ])("exhaustively, scenario %s", async (scenario) => {
    const { code, output } = await check("--scenario", scenario);
    process.stdout.write(`  ${output.trim().split("\n").at(-1) ?? ""}\n`);
    expect(output).toContain("complete");
    expect({ code, broken: output.includes("BROKEN") }).toEqual({ code: 0, broken: false });
  });

  test.each(["one", "one-async", "one-all", "one-degraded", "one-pair"])(
    "in seeded walks, scenario %s",
    async (scenario) => {
      const { code, output } = await check("--scenario", scenario, "--walks", WALKS, "--steps", "500");
      process.stdout.write(`  ${output.trim().split("\n").at(-1) ?? ""}\n`);
      expect({ code, broken: output.includes("BROKEN") ? output : "" }).toEqual({ code: 0, broken: "" });
    },
  );
});

describe("the model finds the mistake", () => {
  test.each(MUTANTS.map((mutant) => [mutant.name, mutant] as const))("%s", async (_, mutant) => {
    const folder = mutate(mutant);
    try {
      const { code, output } = await check("--protocol", folder, ...mutant.args);
      expect({ code, broken: /^BROKEN: .+/m.test(output) }).toEqual({ code: 1, broken: true });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
