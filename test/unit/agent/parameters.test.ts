import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ActionError } from "../../../src/agent/engine/driver.ts";
import { ParameterKeeper } from "../../../src/agent/parameters.ts";

let folder: string;
let isUp: boolean;
/** What the engine read, each time it was asked to. */
let read: string[];
/** How the engine answers the next reload. */
let answer: Error | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "quorate-parameters-"));
  [isUp, read, answer] = [true, [], undefined];
});
afterEach(() => rm(folder, { recursive: true }));

const file = (): Promise<string> => readFile(join(folder, "parameters"), "utf8");

async function keeper(): Promise<ParameterKeeper> {
  const made = new ParameterKeeper({
    file: join(folder, "parameters"),
    stateFile: join(folder, "parameters.json"),
    restartParameters: { size: "10" },
    reload: async () => {
      read.push(await file());
      if (answer !== undefined) throw answer;
    },
    isUp: () => isUp,
    changed: () => undefined,
  });
  await made.load();
  return made;
}

async function wanted(made: ParameterKeeper, verbosity: string): Promise<void> {
  await made.want({ parameters: { verbosity } });
  await made.apply();
}

test("a running engine takes a new value once, and no restart parameter changes", async () => {
  const made = await keeper();
  await wanted(made, "1");
  await made.apply();
  await wanted(made, "2");
  expect(read).toEqual(["verbosity\t1\nsize\t10\n", "verbosity\t2\nsize\t10\n"]);
});

test("an engine that is down reads the file when it starts", async () => {
  const made = await keeper();
  isUp = false;
  await wanted(made, "1");
  expect(read).toEqual([]);
  expect(await file()).toContain("verbosity\t1");
});

test("a refused value is told, and no start meets it, by this agent or the next", async () => {
  const made = await keeper();
  await wanted(made, "1");
  answer = new ActionError("reload", 3, "parameter verbosity: lots");
  await wanted(made, "lots");
  expect(made.refused).toContain("parameter verbosity: lots");
  expect(await file()).toContain("verbosity\t1");
  const next = await keeper();
  await wanted(next, "lots");
  expect(next.refused).toContain("parameter verbosity: lots");
  expect(await file()).toContain("verbosity\t1");
  answer = undefined;
  await wanted(next, "2");
  expect(next.refused).toBeUndefined();
  expect(await file()).toContain("verbosity\t2");
});

test("an engine that could not be asked is asked again", async () => {
  const made = await keeper();
  answer = new ActionError("reload", 1, "the database system is starting up");
  await wanted(made, "1");
  expect(made.refused).toBeUndefined();
  answer = undefined;
  await made.apply();
  await made.apply();
  expect(read).toHaveLength(2);
});

test("a renewed certificate is read once, also beside a value that was refused", async () => {
  const made = await keeper();
  await wanted(made, "1");
  made.readAgain();
  await made.apply();
  await made.apply();
  expect(read).toHaveLength(2);
  answer = new ActionError("reload", 3, "parameter verbosity: lots");
  await wanted(made, "lots");
  answer = undefined;
  made.readAgain();
  await made.apply();
  await made.apply();
  expect(read.slice(3)).toEqual(["verbosity\t1\nsize\t10\n"]);
  expect(made.refused).toContain("parameter verbosity: lots");
});
