/**
 * Agents that take another's place under the real quorate-init: the engine stays, and so does the member when the new one is no good.
 * Images of versions before snapshots have a program only.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { PROGRAMS } from "../../hack/programs.ts";
import { makeSnapshot } from "../../hack/snapshot.ts";
import { choiceFolder, keepBundle, OF_IMAGE, readChoice, writeChoice } from "../../src/agent/replacement/choice.ts";
import { descendants, eventually, InitUnderTest, isAlive, processState, root } from "./harness.ts";

const SERVE = `import { serve } from ${JSON.stringify(join(root, "test/init/steady-agent.ts"))};\nawait serve("offered");\n`;

let image: string;
let runDir: string;
let init: InitUnderTest;

beforeAll(async () => {
  image = mkdtempSync(join(tmpdir(), "quorate-image-"));
  const make = (kept: string, entry: string, file: string) =>
    build({ ...PROGRAMS.get(kept), entryPoints: [join(root, "test/init", entry)], outfile: join(image, file) });
  await make("dist/agent.mjs", "launching-agent.ts", "program/agent.mjs");
  await make("dist/agent.mjs", "launching-agent.ts", "snapshot/agent.mjs");
  await make("dist/agent.cjs", "steady-snapshot.ts", "snapshot/agent.cjs");
  makeSnapshot(join(image, "snapshot/agent.cjs"));
});
afterAll(() => rmSync(image, { recursive: true }));

/** Who began to serve so far, once there are so many. */
function started(count: number): Promise<readonly string[]> {
  const look = (): readonly string[] | undefined => {
    const names = startsSoFar();
    return names.length >= count ? names : undefined;
  };
  return eventually(`${count} starts`, look, 40_000);
}

function startsSoFar(): readonly string[] {
  try {
    return readFileSync(join(runDir, "starts"), "utf8").split("\n").filter(Boolean);
  } catch {
    return [];
  }
}

const engine = (): number | undefined =>
  descendants(init.pid).find((pid) => readFileSync(`/proc/${pid}/cmdline`, "latin1").startsWith("sleep\0"));

async function engineOf(): Promise<number> {
  return eventually("the engine", engine);
}

/** The agent that runs gives way to one with this program, as a member's does. */
async function give(program: string, serveWithinMs = 8000): Promise<string> {
  const hash = "a".repeat(64);
  const folder = choiceFolder(runDir);
  const running = (await readChoice(folder)).hash;
  await keepBundle(folder, { hash, files: new Map([["agent.mjs", Buffer.from(program)]]) }, running);
  await writeChoice(folder, { ...OF_IMAGE, hash, serveWithinMs });
  await endAgent();
  return hash;
}

async function endAgent(): Promise<void> {
  const isAgent = (pid: number): boolean => processState(pid)?.parent === init.pid && pid !== engine() && isAlive(pid);
  process.kill(await eventually("the agent", () => descendants(init.pid).find(isAgent)), "SIGKILL");
}

const isFenced = (): boolean => init.log.some(({ event }) => event === "fence");

describe.each([
  ["program", "image"],
  ["snapshot", "snapshot"],
])("in an image whose agent is a %s", (kind, first) => {
  beforeEach(async () => {
    runDir = mkdtempSync(join(tmpdir(), "quorate-run-"));
    const agent = [process.execPath, join(image, kind, "agent.mjs")];
    init = await InitUnderTest.start({ mode: "pid-one", agent, env: { QUORATE_RUN_DIR: runDir } });
    if ((await started(1))[0] !== first) throw new Error(`the image's ${kind} was not started`);
  });
  afterEach(async () => {
    await init.close();
    rmSync(runDir, { recursive: true });
  });

  test("the next agent serves with the same engine, and is proven", async () => {
    const before = await engineOf();
    const hash = await give(SERVE);
    expect(await started(2)).toEqual([first, "offered"]);
    await eventually("its proof", () =>
      readFileSync(join(choiceFolder(runDir), "choice.json"), "utf8").includes("true"),
    );
    expect(await readChoice(choiceFolder(runDir))).toMatchObject({ hash, isProven: true });
    await endAgent();
    expect(await started(3)).toEqual([first, "offered", "offered"]);
    expect([await engineOf(), isFenced()]).toEqual([before, false]);
  });

  test.each([
    ["cannot be loaded", "this is no program", 8000, "it could not be started: SyntaxError"],
    ["throws", 'throw new Error("broken")', 8000, "it could not be started: Error: broken"],
    ["ends", "process.exit(3)", 8000, "it ended before it served"],
    [
      "does nothing",
      "await new Promise((resolve) => setTimeout(resolve, 1e9))",
      2500,
      "it did not serve within 2500 ms",
    ],
  ])(
    "an agent that %s gives way to the image's, before the fence deadline",
    async (_what, program, withinMs, reason) => {
      const before = await engineOf();
      const hash = await give(program, withinMs);
      expect(await started(2)).toEqual([first, "image"]);
      const { refused, hash: chosen } = await readChoice(choiceFolder(runDir));
      expect(chosen).toBeNull();
      expect(refused).toMatchObject({ hash, reason: expect.stringContaining(reason) as string });
      expect([await engineOf(), isFenced()]).toEqual([before, false]);
    },
  );

  test("an agent that serves and then ends again and again gives way at its fourth start", async () => {
    const before = await engineOf();
    await give(`${SERVE}setTimeout(() => process.exit(1), 100);\n`);
    expect(await started(5)).toEqual([first, "offered", "offered", "offered", "image"]);
    expect((await readChoice(choiceFolder(runDir))).refused?.reason).toBe("it ended 3 times soon after its start");
    expect([await engineOf(), isFenced()]).toEqual([before, false]);
  });
});
