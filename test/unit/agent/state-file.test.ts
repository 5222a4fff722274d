import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readStateFile, writeStateFile } from "../../../src/agent/state-file.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quorate-state-"));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

describe("the state file", () => {
  test("is undefined before it was written, then what was written last", async () => {
    const path = join(folder, "deep/er/promises.json");
    expect(await readStateFile(path)).toBeUndefined();
    await writeStateFile(path, { epoch: 1 });
    await writeStateFile(path, { epoch: 2 });
    expect(await readStateFile(path)).toEqual({ epoch: 2 });
    expect(await readdir(join(folder, "deep/er"))).toEqual(["promises.json"]);
  });

  test("is not taken for new when it cannot be read: a member must not forget its promises", async () => {
    const path = join(folder, "torn.json");
    await writeFile(path, '{"epoch":');
    await expect(readStateFile(path)).rejects.toThrow(SyntaxError);
  });
});
