// Under which licenses packages are that are shipped, and those that only build and test: none that is not on the list.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

interface Package {
  readonly license?: string;
  readonly dev?: boolean;
  readonly resolved?: string;
  readonly integrity?: string;
}

const ROOT = join(import.meta.dirname, "../../..");
const { packages } = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")) as {
  readonly packages: Readonly<Record<string, Package>>;
};
const ALL = Object.entries(packages).filter(([path]) => path !== "");

/** What asks for no more than to be named, and so may be bundled into programs under Apache-2.0. */
const SHIPPED = ["0BSD", "Apache-2.0", "BSD-3-Clause", "ISC", "MIT", "PSF-2.0", "Unlicense"];
/** What runs here only, and is passed on to nobody. */
const BUILDING = [...SHIPPED, "MPL-2.0", "MIT OR Apache-2.0"];

function outside(packagesOf: readonly (readonly [string, Package])[], allowed: readonly string[]): readonly string[] {
  return packagesOf
    .filter(([, { license }]) => !allowed.includes(license ?? ""))
    .map(([path, { license }]) => `${path}: ${license ?? "no license"}`);
}

test("of packages that are shipped", () => {
  const shipped = ALL.filter(([, { dev }]) => dev !== true);
  expect(shipped.length).toBeGreaterThan(10);
  expect(outside(shipped, SHIPPED)).toEqual([]);
  expect(SHIPPED.filter((license) => !shipped.some(([, one]) => one.license === license))).toEqual([]);
});

test("of packages that build and test", () => {
  expect(outside(ALL, BUILDING)).toEqual([]);
  expect(BUILDING.filter((license) => !ALL.some(([, one]) => one.license === license))).toEqual([]);
});

test("one without a license, or under another, would be found", () => {
  const others: readonly (readonly [string, Package])[] = [
    ["node_modules/a", { license: "AGPL-3.0-only" }],
    ["node_modules/b", {}],
    ["node_modules/c", { license: "MIT" }],
  ];
  expect(outside(others, SHIPPED)).toEqual(["node_modules/a: AGPL-3.0-only", "node_modules/b: no license"]);
});

test("every package is the one that was looked at: its hash is known, and none is from elsewhere than the registry", () => {
  const strange = ALL.filter(
    ([, { resolved, integrity = "" }]) => resolved !== undefined || !integrity.startsWith("sha512-"),
  );
  expect(strange.map(([path]) => path)).toEqual([]);
});
