import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "../../..");
const ENGINES = readdirSync(join(ROOT, "engines")).flatMap((file) => /^(.+)\.yaml$/.exec(file)?.[1] ?? []);

test("nothing under src knows an engine by name: what one needs, all can declare", () => {
  expect(ENGINES).toContain("postgres");
  const files = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" }).filter((file) =>
    file.endsWith(".ts"),
  );
  const named = files.flatMap((file) => {
    const text = readFileSync(join(ROOT, "src", file), "utf8");
    return ENGINES.filter((engine) => new RegExp(engine, "i").test(text)).map((engine) => `${file}: ${engine}`);
  });
  expect(named).toEqual([]);
});
