/** The documentation as a site, by the command that makes it. Links and the list of pages are the matter of test/unit/docs.test.ts. */
import { execFile } from "node:child_process";
import { access, glob, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "../..");
/** The tool that makes it is installed first. */
const BUILD_MS = 180_000;

test(
  "every page of docs becomes a page of the site",
  async () => {
    await rm(join(ROOT, "dist/site"), { recursive: true, force: true });
    await promisify(execFile)("make", ["-s", "site"], { cwd: ROOT });
    let count = 0;
    for await (const page of glob("**/*.md", { cwd: join(ROOT, "docs") })) {
      const path = page.replace(/README\.md$/, "index.md").replace(/\.md$/, ".html");
      await access(join(ROOT, "dist/site", path));
      count++;
    }
    expect(count).toBeGreaterThan(30);
  },
  BUILD_MS,
);
