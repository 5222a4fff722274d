import { describe, expect, test } from "vitest";
import { checkConventions } from "../../../hack/generate/conventions.ts";
import { objectSchema, toCustomResourceDefinition } from "../../../hack/generate/crd.ts";
import { KINDS } from "../../../hack/generate/kinds.ts";
import type { StructuralSchema } from "../../../hack/generate/structural-schema.ts";

describe("checkConventions", () => {
  const good: StructuralSchema = { type: "string", maxLength: 3, description: "field says something." };

  test.each<{ says: string; schema: StructuralSchema }>([
    { says: 'field: its description must start with "field"', schema: { ...good, description: "fields are here." } },
    { says: 'field: its description must start with "field"', schema: { ...good, description: "The field." } },
    { says: "field: its description must end with a full stop", schema: { ...good, description: "field says" } },
    { says: "field: a string needs max()", schema: { type: "string", description: "field says something." } },
    {
      says: "field: an array needs max()",
      schema: { type: "array", items: { type: "boolean" }, description: "field says something." },
    },
    {
      says: "field: an array of objects needs a list type",
      schema: { type: "array", maxItems: 1, items: { type: "object" }, description: "field says something." },
    },
    {
      says: "field: a map needs maxProperties",
      schema: { type: "object", additionalProperties: { type: "boolean" }, description: "field says something." },
    },
    {
      says: "field.*: a string needs max()",
      schema: {
        type: "object",
        maxProperties: 1,
        additionalProperties: { type: "string" },
        description: "field says something.",
      },
    },
    {
      says: "field: unknown fields would be kept: name every field",
      schema: { "x-kubernetes-preserve-unknown-fields": true, description: "field says something." },
    },
    {
      says: 'field: the message "no" must say what is wrong, a colon, and the fix',
      schema: { ...good, "x-kubernetes-validations": [{ rule: "true", message: "no" }] },
    },
    {
      says: 'field[].inner: its description must start with "inner"',
      schema: {
        type: "array",
        maxItems: 1,
        "x-kubernetes-list-type": "atomic",
        items: { type: "object", properties: { inner: { type: "boolean", description: "wrong." } } },
        description: "field says something.",
      },
    },
  ])("$says", ({ says, schema }) => {
    expect(checkConventions({ field: schema })).toEqual([says]);
  });

  test("a good field", () => {
    expect(checkConventions({ field: good })).toEqual([]);
  });
});

describe.each(KINDS)("$kind", (kind) => {
  test("keeps the conventions: names in descriptions, limits everywhere, no unknown fields", () => {
    expect(checkConventions(objectSchema(kind).properties ?? {})).toEqual([]);
  });

  test("fits into the annotation of a client-side apply", () => {
    expect(JSON.stringify(toCustomResourceDefinition(kind)).length).toBeLessThan(262_144);
  });

  test("is in the category quorate and not in all", () => {
    expect(toCustomResourceDefinition(kind)).toHaveProperty("spec.names.categories", ["quorate"]);
  });
});
