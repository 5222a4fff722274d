// Least privilege, both ways: what the operator asked of the API servers of this whole suite, against the roles that are shipped.
// It is a project of its own, which runs after all other files, and only together with them.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { load } from "js-yaml";
import { expect, inject, test } from "vitest";
import { buildAccess } from "../../src/build/access.ts";
import { contextOf } from "../unit/plan/fixture.ts";
import { readNotes, rightsGiven, type RightsAsked, type RoleRule } from "./rights.ts";

/** Rights that no test of this suite can need, and why the operator has them. */
const UNUSED: Readonly<Record<string, string>> = {
  "get nodes":
    "before a step that cannot be taken back it reads the nodes of the members live; here members are on none",
};

/** What the role in a file of deploy/ gives. */
async function shipped(path: string): Promise<readonly string[]> {
  const text = await readFile(join(import.meta.dirname, "../../deploy", path), "utf8");
  return rightsGiven((load(text) as { readonly rules: readonly RoleRule[] }).rules);
}

/** What the operator must have because it passes it on to members: nobody can give away what they do not have. */
function granted(): readonly string[] {
  const roles = buildAccess(contextOf(), ["orders-0"]).filter(({ kind }) => kind === "Role");
  return roles.flatMap(({ rules }) => rightsGiven(rules as readonly RoleRule[]));
}

async function suite(): Promise<readonly RightsAsked[]> {
  const notes = await readNotes(inject("rightsNotes"));
  // Each file with an operator leaves a note: fewer would prove nothing.
  if (notes.length < 10)
    throw new Error("there is nothing to sum up: run all of the projects api and api-rights, not this file alone");
  return notes;
}

test("nothing that the operator asks for is refused", async () => {
  expect((await suite()).flatMap(({ refused }) => refused)).toEqual([]);
});

test("and it has no right that it never uses", async () => {
  const used = new Set([...(await suite()).flatMap((note) => note.used), ...granted()]);
  const unused = (await shipped("webhook/rbac/clusterrole.yaml")).filter((right) => !used.has(right));
  expect(unused.sort()).toEqual(Object.keys(UNUSED).sort());
});
