// Mistakes are places in the source: one that moved could not be sown any more, and nobody would notice before `make mutants`.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { MUTANTS } from "./mutants.ts";

const SOURCES = join(import.meta.dirname, "../../src");

test.each(MUTANTS)("there is one place for: $name", ({ file, find, replace, also }) => {
  for (const place of [{ file, find, replace }, ...(also === undefined ? [] : [also])]) {
    const source = readFileSync(join(SOURCES, place.file), "utf8");
    expect(source.split(place.find)).toHaveLength(2);
    expect(place.replace).not.toBe(place.find);
  }
});
