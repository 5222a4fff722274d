import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Volume } from "../../../src/agent/engine/volume.ts";

let folder: string;
let volume: Volume;

async function fill(content: string): Promise<void> {
  await mkdir(join(folder, "engine"), { recursive: true });
  await writeFile(join(folder, "engine", content), "");
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "quorate-volume-"));
  volume = new Volume(join(folder, "engine"), join(folder, "quorate"));
});
afterEach(() => rm(folder, { recursive: true }));

test("a copy that was set aside leaves an empty volume, also when it was never complete", async () => {
  await fill("one");
  await volume.markIncomplete();
  await volume.setAside(false);
  expect(await volume.state()).toBe("empty");
  expect(await readdir(join(folder, "engine.aside"))).toEqual(["one"]);
  await volume.setAside(false); // again, as after an agent that died in between
  expect(await readdir(join(folder, "engine.aside"))).toEqual(["one"]);
});

test("only what a person may still want outlives the next complete copy", async () => {
  await fill("wanted");
  await volume.setAside(true);
  await fill("stale");
  await volume.setAside(false);
  await volume.dropAside();
  expect((await readdir(folder)).filter((name) => name.startsWith("engine"))).toEqual(["engine.former"]);
  expect(await readdir(join(folder, "engine.former"))).toEqual(["wanted"]);
});
