/** The snapshot that lies beside the agent's program: quorate-init starts it, and does without when it does not work. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { makeSnapshot } from "../../hack/snapshot.ts";
import { choiceFolder, OF_IMAGE, writeChoice } from "../../src/agent/replacement/choice.ts";
import { eventually, InitUnderTest } from "./harness.ts";

/** Says that it was started, and with what words. */
const agent = (name: string, then: string): string => `
  const { appendFileSync } = require("node:fs");
  const main = () => { appendFileSync(process.env.STARTS, "${name} " + process.argv.slice(2).join(" ") + "\\n"); ${then} };`;
const HELLO = 'require("node:fs").writeSync(3, "HELLO\\n");';
const STAY = `${HELLO} setInterval(() => undefined, 1000);`;
const FROM_SNAPSHOT = 'require("node:v8").startupSnapshot.setDeserializeMainFunction(main);';

let folder: string;
let init: InitUnderTest | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "quorate-snapshot-"));
  const asModule = 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);';
  writeFileSync(join(folder, "agent.mjs"), `${asModule}${agent("program", STAY)} main();`);
});
afterEach(async () => {
  await init?.close();
  init = undefined;
  rmSync(folder, { recursive: true });
});

function snapshotThat(then: string): void {
  writeFileSync(join(folder, "agent.cjs"), `${agent("snapshot", then)}${FROM_SNAPSHOT}`);
  makeSnapshot(join(folder, "agent.cjs"));
}

/** How the agent was started so far, once there are so many starts. */
async function starts(count: number): Promise<readonly string[]> {
  const file = join(folder, "starts");
  init ??= await InitUnderTest.start({
    mode: "pid-one",
    agent: [process.execPath, "--max-semi-space-size=1", join(folder, "agent.mjs"), "run", "it"],
    env: { STARTS: file, QUORATE_RUN_DIR: folder },
  });
  return eventually(`${count} starts`, () => {
    try {
      const lines = readFileSync(file, "utf8").split("\n").filter(Boolean);
      return lines.length >= count ? lines : undefined;
    } catch {
      return undefined;
    }
  });
}

test("the agent starts from it, with the same words", async () => {
  snapshotThat(STAY);
  expect(await starts(1)).toEqual(["snapshot run it"]);
});

test("where there is none, the program is started", async () => {
  expect(await starts(1)).toEqual(["program run it"]);
});

test("the program is started where another agent was chosen in this pod", async () => {
  snapshotThat(STAY);
  await writeChoice(choiceFolder(folder), OF_IMAGE);
  expect(await starts(1)).toEqual(["program run it"]);
});

test.each([
  [
    "was made by another Node",
    (blob: Buffer) => Buffer.from(blob.toString("latin1").replace(process.versions.node, "24.0.0"), "latin1"),
  ],
  ["is no snapshot", () => Buffer.from("nothing of the kind")],
  ["is empty", () => Buffer.alloc(0)],
  ["is cut short", (blob: Buffer) => blob.subarray(0, 1_000_000)],
])("one that %s gives way to the program at once", async (_what, change) => {
  snapshotThat(STAY);
  const file = join(folder, "agent.blob");
  const blob = readFileSync(file);
  chmodSync(file, 0o600);
  writeFileSync(file, change(blob));
  expect(await starts(1)).toEqual(["program run it"]);
  expect(await init?.logged("agent-without-snapshot")).toMatchObject({ unheard: 1 });
  expect(init?.log.filter(({ event }) => event === "agent-start")).toHaveLength(2);
});

test("one that ends before it said HELLO gives way to the program at once", async () => {
  snapshotThat("process.exit(1);");
  expect(await starts(2)).toEqual(["snapshot run it", "program run it"]);
});

test("one that ends soon after it said HELLO, twice in a row, gives way to the program", async () => {
  snapshotThat(`${HELLO} setTimeout(() => process.exit(1), 100);`);
  expect(await starts(3)).toEqual(["snapshot run it", "snapshot run it", "program run it"]);
  expect(await init?.logged("agent-without-snapshot")).toMatchObject({ unheard: 0 });
});
