import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { checkBase } from "../../../hack/release/base.ts";

test("a library that is not the pinned one is named, with what to do", async () => {
  const root = await mkdtemp(join(tmpdir(), "quorate-base-"));
  try {
    await mkdir(join(root, "opt/quorate/lib"), { recursive: true });
    await writeFile(join(root, "opt/quorate/lib/libc.so.6"), "another one");
    await expect(checkBase(root)).rejects.toThrow(/libc\.so\.6, .*ld-linux-x86-64\.so\.2.* make pin-base$/);
  } finally {
    await rm(root, { recursive: true });
  }
});
