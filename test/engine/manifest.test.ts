import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { assembleEngine } from "../../engines/assemble.ts";
import { postgresSpec } from "./host-cluster.ts";

const FOLDER = fileURLToPath(new URL("../../engines/postgres", import.meta.url));
const spec = postgresSpec();

describe("engines/postgres.yaml", () => {
  it("is what engines/postgres makes of it", () => {
    expect(readFileSync(`${FOLDER}.yaml`, "utf8")).toBe(assembleEngine(FOLDER));
  });

  it("lets users change no fixed parameter", () => {
    const { fixed, reloadable, defaults } = spec.parameters;
    expect(reloadable.filter((name) => fixed.includes(name))).toEqual([]);
    expect(Object.keys(defaults).filter((name) => fixed.includes(name))).toEqual([]);
    expect(fixed).toEqual(fixed.toSorted());
  });

  it("sets in its configuration only what it declares as fixed, or computes as a default", () => {
    const [, after = ""] = (spec.files["parameters.sh"] ?? "").split("include 'postgresql.parameters.conf'");
    const names = [...after.matchAll(/^([a-z_]+) = /gm)].map((match) => match[1]);
    expect(names.length).toBeGreaterThan(20);
    expect(names.filter((name) => name !== undefined && !spec.parameters.fixed.includes(name))).toEqual([]);
  });

  it("has scripts that bash can read", () => {
    for (const [name, text] of Object.entries(spec.files)) {
      if (name.endsWith(".sql")) continue;
      const { status, stderr } = spawnSync("bash", ["-n"], { input: text, encoding: "utf8" });
      expect({ name, status, stderr }).toEqual({ name, status: 0, stderr: "" });
    }
  });

  it("runs only files that it brings along", () => {
    const referred = JSON.stringify([spec.start, spec.sessions, spec.actions]).matchAll(
      /\$\(QUORATE_ENGINE_DIR\)\/([\w.-]+)/g,
    );
    const missing = [...referred].map((match) => match[1] ?? "").filter((name) => !(name in spec.files));
    expect(missing).toEqual([]);
  });
});
