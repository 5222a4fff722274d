import { chmod, mkdir, mkdtemp, readFile, readlink, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { copyRuntime } from "../../../src/agent/install.ts";

const LARGE = Buffer.from(Array.from({ length: 9 * 2 ** 20 }, (_, at) => at % 251)); // more than two pieces
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "quorate-install-"));
  await mkdir(join(folder, "from/bin"), { recursive: true });
  await writeFile(join(folder, "from/bin/node"), LARGE);
  await chmod(join(folder, "from/bin/node"), 0o755);
  await writeFile(join(folder, "from/empty"), "");
  await symlink("bin/node", join(folder, "from/node"));
});
afterEach(() => rm(folder, { recursive: true }));

test("the copy has the content, the rights and the links", async () => {
  await copyRuntime(join(folder, "from"), join(folder, "to"));
  expect((await readFile(join(folder, "to/bin/node"))).equals(LARGE)).toBe(true);
  expect((await stat(join(folder, "to/bin/node"))).mode & 0o777).toBe(0o755);
  expect((await stat(join(folder, "to/empty"))).size).toBe(0);
  expect(await readlink(join(folder, "to/node"))).toBe("bin/node");
});

test("a copy that was cut short, or is of another version, is made whole", async () => {
  await mkdir(join(folder, "to/bin"), { recursive: true });
  await writeFile(join(folder, "to/bin/node"), Buffer.concat([LARGE.subarray(7), LARGE]));
  await writeFile(join(folder, "to/node"), "something else");
  await copyRuntime(join(folder, "from"), join(folder, "to"));
  expect((await readFile(join(folder, "to/bin/node"))).equals(LARGE)).toBe(true);
  expect(await readlink(join(folder, "to/node"))).toBe("bin/node");
});
