// What is shipped comes under licenses that let us; a package without one, or with another, needs a person's look first.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

/** Ask for a notice at most. */
const ALLOWED = ["0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "PSF-2.0", "Unlicense"];

interface Package {
  readonly license?: string;
  readonly dev?: boolean;
  readonly integrity?: string;
}

const lock = JSON.parse(readFileSync(join(import.meta.dirname, "../../package-lock.json"), "utf8")) as {
  readonly packages: Readonly<Record<string, Package>>;
};
const { "": own, ...all } = lock.packages;
const shipped = Object.entries(all).filter(([, { dev }]) => dev !== true);

test("every package that is shipped has a license of the list", () => {
  expect(own?.license).toBe("Apache-2.0");
  expect(shipped.length).toBeGreaterThan(20);
  const others = shipped.filter(([, { license = "none" }]) => !ALLOWED.includes(license));
  expect(others.map(([path, { license }]) => `${path}: ${license ?? "none"}`)).toEqual([]);
});

test("every package is pinned by its content", () => {
  const loose = Object.entries(all).filter(([, { integrity }]) => integrity?.startsWith("sha512-") !== true);
  expect(loose.map(([path]) => path)).toEqual([]);
});
