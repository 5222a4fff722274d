// Engines come with the operator, and are carried out by agents that may be two minor versions older: an action may name no variable that
// those do not have. What each version has is kept in context/<version>.txt; a release leaves its file behind.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { actionContext, readSettings } from "../../../src/agent/settings.ts";
import { shippedSpec } from "../../engine/host-cluster.ts";
import { VERSION } from "../../../src/version.ts";

const FOLDER = join(import.meta.dirname, "context");
const ENGINES = readdirSync(join(import.meta.dirname, "../../../engines"))
  .filter((name) => name.endsWith(".yaml"))
  .map((name) => name.slice(0, -".yaml".length));

/** Variables of a member that agents of this version fill in. */
function variables(): readonly string[] {
  const names = ["NAMESPACE", "CLUSTER", "MEMBER", "POD", "POD_UID", "POD_IP"];
  const settings = readSettings(Object.fromEntries(names.map((name) => [`QUORATE_${name}`, "x"])));
  return Object.keys(actionContext(settings, shippedSpec("postgres"))).toSorted();
}

/** Variables that an Engine's actions name where the agent has to know them. */
function namedBy(engine: string): readonly string[] {
  const { start, actions, sessions } = shippedSpec(engine);
  const text = JSON.stringify([start, actions, sessions]);
  return [...new Set([...text.matchAll(/\$\((QUORATE_[A-Z_]+)\)/g)].map(([, name = ""]) => name))];
}

test("what this version has is written down, for Engines of those that come after it", async () => {
  await expect(`${variables().join("\n")}\n`).toMatchFileSnapshot(`context/${VERSION}.txt`);
});

test.each(readdirSync(FOLDER).flatMap((file) => ENGINES.map((engine) => [engine, file] as const)))(
  "the Engine %s names only what agents of %s have",
  (engine, file) => {
    const known = readFileSync(join(FOLDER, file), "utf8").trim().split("\n");
    expect(namedBy(engine)).not.toEqual([]);
    expect(namedBy(engine).filter((name) => !known.includes(name))).toEqual([]);
  },
);
