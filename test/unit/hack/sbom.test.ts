// What is said to be in a shipment is what is in it: code that was looked at and left out is not.
import { expect, test } from "vitest";
import { billOfMaterials, bundledPackages, debianPackage } from "../../../hack/release/sbom.ts";

const integrity = `sha512-${Buffer.from("archive").toString("base64")}`;
const lock = {
  packages: {
    "node_modules/a": { version: "1.0.0", license: "MIT", integrity },
    "node_modules/a/node_modules/@b/c": { version: "2.0.0", license: "(MIT OR ISC)", integrity },
    "node_modules/unused": { version: "3.0.0", integrity },
  },
};

function bundle(inputs: Readonly<Record<string, number>>) {
  const entries = Object.entries(inputs).map(([path, bytesInOutput]) => [path, { bytesInOutput }] as const);
  return { outputs: { "dist/a.mjs": { inputs: Object.fromEntries(entries) } } };
}

test("packages of which code is in a bundle, whichever folder they were found in, each once", () => {
  const one = bundle({ "src/a.ts": 10, "../x/node_modules/a/index.js": 3, "node_modules/unused/index.js": 0 });
  const other = bundle({ "node_modules/a/lib/b.js": 3, "node_modules/a/node_modules/@b/c/index.js": 5 });
  expect(bundledPackages([one, other], lock).map(({ purl }) => purl)).toEqual([
    "pkg:npm/a@1.0.0",
    "pkg:npm/%40b/c@2.0.0",
  ]);
});

test("a package that the lock does not pin is refused", () => {
  expect(() => bundledPackages([bundle({ "node_modules/stray/index.js": 1 })], lock)).toThrow(
    "stray is not in the lock",
  );
});

test("a package of Debian by its stanza", () => {
  const stanza = "Package: libstdc++6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 12.2.0-14+deb12u1\n";
  expect(debianPackage(stanza)).toMatchObject({
    name: "libstdc++6",
    purl: "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14%2Bdeb12u1?arch=amd64",
  });
  expect(() => debianPackage("Package: a\n")).toThrow("without Version");
});

test("the list has every file and package, and nothing that differs between two builds", () => {
  const packages = bundledPackages(
    [bundle({ "node_modules/a/node_modules/@b/c/i.js": 5, "node_modules/a/i.js": 5 })],
    lock,
  );
  const files = [
    { path: "opt/b", sha256: "bb" },
    { path: "opt/a", sha256: "aa" },
  ];
  const shipment = { type: "container", name: "quorate/agent", version: "1.2.3", files, packages } as const;
  const list = billOfMaterials(shipment) as { readonly components: readonly { readonly name: string }[] };
  expect(list.components.map(({ name }) => name)).toEqual(["@b/c", "a", "opt/a", "opt/b"]);
  expect(list).toMatchObject({
    bomFormat: "CycloneDX",
    components: [{ licenses: [{ expression: "(MIT OR ISC)" }] }, { licenses: [{ license: { id: "MIT" } }] }, {}, {}],
  });
  const turned = { ...shipment, files: files.toReversed(), packages: packages.toReversed() };
  expect(JSON.stringify(billOfMaterials(turned))).toBe(JSON.stringify(list));
});
