// The draft that `engine new` writes.
import { execFileSync } from "node:child_process";
import { load } from "js-yaml";
import { describe, expect, test } from "vitest";
import { neededActions } from "../../../src/api/engine-actions.ts";
import { parseEngine } from "../../../src/api/parse.ts";
import { Topology } from "../../../src/api/topology.ts";
import { draftEngine } from "../../../src/cli/engine-draft.ts";

const ANSWERS = { name: "mydb", version: "17", image: "mydb:17", port: 7000, user: 1000, group: 1000, start: ["mydb"] };

describe.each(Topology.options)("%s", (topology) => {
  const { spec } = parseEngine(load(draftEngine({ ...ANSWERS, topology })));

  test("declares every action that is needed, and no other", () => {
    expect(Object.keys(spec.actions).toSorted()).toEqual([...neededActions(topology)].toSorted());
  });

  test("has a script for each, which says what is to be written and fails until it is", () => {
    for (const action of Object.values(spec.actions)) {
      const [path = ""] = action?.exec ?? [];
      const script = spec.files[path.replace("$(QUORATE_ENGINE_DIR)/", "")] ?? "";
      expect(script).toMatch(/^#!\/bin\/sh\n# \w/);
      expect(() => execFileSync("sh", ["-c", script], { stdio: "pipe" })).toThrow(/is not written yet/);
    }
    expect(Object.keys(spec.files)).toHaveLength(Object.keys(spec.actions).length);
  });
});
