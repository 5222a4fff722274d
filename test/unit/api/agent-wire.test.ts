// Members and operators of different versions: what one says, the other understands. What each version says is kept in
// wire/<version>.txt, a line for each field: its path, whether it must be there, and the values that it may have. A release leaves its
// file behind, and this version is held against those of the two minor versions before it.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import * as z from "zod";
import { MessageJson, ReplyEnvelope, ReplyJson, RequestEnvelope } from "../../../src/agent/peer-wire.ts";
import { Intent, MemberReport, SyncSet } from "../../../src/api/agent-wire.ts";
import { VERSION } from "../../../src/version.ts";

const FOLDER = join(import.meta.dirname, "wire");
const SCHEMAS = { Intent, MemberReport, SyncSet, MessageJson, ReplyJson, RequestEnvelope, ReplyEnvelope };

/** What is looked at of a JSON schema. */
interface JsonSchema {
  readonly const?: string;
  readonly enum?: readonly unknown[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
}

interface Field {
  readonly isRequired: boolean;
  readonly values: readonly string[];
}

/** Every field below a schema by its path. Of alternatives that a field `type` tells apart each has its own path. */
function fieldsOf(schema: JsonSchema, path: string): ReadonlyMap<string, Field> {
  const found = new Map<string, Field>();
  const add = (more: ReadonlyMap<string, Field>): void => more.forEach((field, at) => found.set(at, field));
  for (const one of [...(schema.anyOf ?? []), ...(schema.oneOf ?? [])]) {
    const kind = one.properties?.["type"]?.const;
    add(fieldsOf(one, kind === undefined ? path : `${path}(${kind})`));
  }
  if (schema.items !== undefined) add(fieldsOf(schema.items, `${path}[]`));
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    const at = `${path}.${name}`;
    const alternatives = [property, ...(property.anyOf ?? [])];
    const values = alternatives.flatMap((one) => one.enum ?? []).map(String);
    found.set(at, { isRequired: schema.required?.includes(name) === true, values: values.toSorted() });
    add(fieldsOf(property, at));
  }
  return found;
}

function shapeOf(io: "input" | "output"): ReadonlyMap<string, Field> {
  const all = Object.entries(SCHEMAS).map(([name, schema]) =>
    fieldsOf(z.toJSONSchema(schema, { io }) as JsonSchema, name),
  );
  return new Map(all.flatMap((fields) => [...fields]));
}

function print(fields: ReadonlyMap<string, Field>): string {
  const lines = [...fields].map(([path, { isRequired, values }]) =>
    [path, isRequired ? "required" : "optional", ...values].join(" "),
  );
  return `${lines.toSorted().join("\n")}\n`;
}

function read(text: string): ReadonlyMap<string, Field> {
  const rows = text.trim().split("\n");
  return new Map(
    rows.map((row) => {
      const [path = "", needed, ...values] = row.split(" ");
      return [path, { isRequired: needed === "required", values }];
    }),
  );
}

/** What breaks between then and now, in either direction. */
function breaks(then: ReadonlyMap<string, Field>): string[] {
  const asked = shapeOf("input");
  const said = shapeOf("output");
  const parentOf = (path: string): string => path.replace(/(\[\])?\.[^.]+$/, "").replace(/\([^)]*\)$/, "");
  /** A field is new to the one who did not say what it is in, either. */
  const isInSomethingNew = (path: string): boolean => parentOf(path).includes(".") && !then.has(parentOf(path));
  const missing = [...asked].filter(([path, { isRequired }]) => {
    return isRequired && then.get(path)?.isRequired !== true && !isInSomethingNew(path);
  });
  const unsaid = [...then].filter(([path, { isRequired }]) => isRequired && said.get(path)?.isRequired !== true);
  const unknown = [...then].flatMap(([path, { values }]) =>
    values.filter((value) => !asked.get(path)?.values.includes(value)).map((value) => `${path} ${value}`),
  );
  return [
    ...missing.map(([path]) => `${path} is required, and they do not say it: give it a default`),
    ...unsaid.map(([path]) => `${path} is required of us, and we do not always say it`),
    ...unknown.map((what) => `${what} is not understood any more`),
  ];
}

test("what this version says is written down, for those that come after it", async () => {
  await expect(print(shapeOf("input"))).toMatchFileSnapshot(`wire/${VERSION}.txt`);
});

test.each(readdirSync(FOLDER))("beside agents of %s everything is understood, in both directions", (file) => {
  expect(breaks(read(readFileSync(join(FOLDER, file), "utf8")))).toEqual([]);
});

test("what a newer version adds is passed over", () => {
  const closed = Object.entries(SCHEMAS).filter(([, schema]) =>
    JSON.stringify(z.toJSONSchema(schema, { io: "input" })).includes('"additionalProperties":false'),
  );
  expect(closed.map(([name]) => name)).toEqual([]);
});

test("a break would be found, of every kind", () => {
  const now = shapeOf("input");
  const without = new Map([...now].filter(([path]) => path !== "Intent.generation"));
  const asking = new Map([...now, ["MemberReport.mood", { isRequired: true, values: [] }]]);
  const saying = new Map([...now, ["MemberReport.state", { isRequired: true, values: ["Dreaming"] }]]);
  expect(breaks(without)).toEqual(["Intent.generation is required, and they do not say it: give it a default"]);
  expect(breaks(asking)).toEqual(["MemberReport.mood is required of us, and we do not always say it"]);
  expect(breaks(saying)).toEqual(["MemberReport.state Dreaming is not understood any more"]);
  expect(read(print(now))).toEqual(now);
});
