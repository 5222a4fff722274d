import { describe, expect, test } from "vitest";
import { z } from "zod";
import { fieldPath, toStructuralSchema } from "../../../hack/generate/structural-schema.ts";
import { cel, labelMap, listMap, quantity, timestamp } from "../../../src/api/schema.ts";

describe("toStructuralSchema", () => {
  test.each([
    {
      why: "a small integer fits int32",
      zod: z.int32().min(1).max(5).default(3),
      crd: { type: "integer", format: "int32", minimum: 1, maximum: 5, default: 3 },
    },
    {
      why: "the limits of int32 itself are left to the format",
      zod: z.int32(),
      crd: { type: "integer", format: "int32" },
    },
    {
      why: "an integer with one limit is int64: Kubernetes refuses values outside of the format",
      zod: z.int().min(0),
      crd: { type: "integer", format: "int64", minimum: 0 },
    },
    {
      why: "a limit of more than 32 bits is kept",
      zod: z.int().min(0).max(4294967295),
      crd: { type: "integer", format: "int64", minimum: 0, maximum: 4294967295 },
    },
    {
      why: "exclusive limits are booleans",
      zod: z.int().gt(0).max(9),
      crd: { type: "integer", format: "int32", minimum: 0, exclusiveMinimum: true, maximum: 9 },
    },
    { why: "a literal is an enum of one", zod: z.literal("x"), crd: { type: "string", enum: ["x"] } },
    { why: "nullable", zod: z.string().max(3).nullable(), crd: { type: "string", maxLength: 3, nullable: true } },
    {
      why: "a quantity is an integer or a string",
      zod: quantity("size of it.").prefault("1Gi"),
      crd: {
        description: "size of it.",
        default: "1Gi",
        maxLength: 32,
        pattern: "^[0-9]+(\\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei)?$",
        anyOf: [{ type: "integer" }, { type: "string" }],
        "x-kubernetes-int-or-string": true,
      },
    },
    {
      why: "the server checks times itself, without zod's long pattern",
      zod: timestamp("since then."),
      crd: { description: "since then.", type: "string", format: "date-time" },
    },
    {
      why: "a map",
      zod: labelMap("labels of it."),
      crd: {
        description: "labels of it.",
        type: "object",
        maxProperties: 32,
        additionalProperties: {
          type: "string",
          maxLength: 63,
          pattern: "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$",
        },
      },
    },
    {
      why: "unknown fields of a strict object are pruned without being asked",
      zod: z.strictObject({ a: z.boolean() }),
      crd: { type: "object", required: ["a"], properties: { a: { type: "boolean" } } },
    },
    {
      why: "unknown fields of a loose object are kept",
      zod: z.looseObject({ a: z.boolean() }),
      crd: {
        type: "object",
        required: ["a"],
        properties: { a: { type: "boolean" } },
        "x-kubernetes-preserve-unknown-fields": true,
      },
    },
    { why: "anything", zod: z.unknown(), crd: { "x-kubernetes-preserve-unknown-fields": true } },
    {
      why: "a list of objects with keys and rules",
      zod: z
        .array(z.object({ name: z.string() }).meta(cel([{ rule: "true", message: "never: no" }])))
        .max(2)
        .meta(listMap("name")),
      crd: {
        type: "array",
        maxItems: 2,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
        items: {
          type: "object",
          required: ["name"],
          properties: { name: { type: "string" } },
          "x-kubernetes-validations": [{ rule: "true", message: "never: no" }],
        },
      },
    },
    {
      why: "the default of an object holds those of its fields, because rules see it before they are filled in",
      zod: z.object({ a: z.object({ b: z.int32().min(0).max(9).default(4), c: z.string().optional() }).prefault({}) }),
      crd: {
        type: "object",
        properties: {
          a: {
            type: "object",
            default: { b: 4 },
            properties: {
              b: { type: "integer", format: "int32", minimum: 0, maximum: 9, default: 4 },
              c: { type: "string" },
            },
          },
        },
      },
    },
    {
      why: "one schema used twice is written twice, because a CRD has no references",
      zod: (() => {
        const shared = z.object({ a: z.boolean() });
        return z.object({ x: shared, y: shared.optional() });
      })(),
      crd: {
        type: "object",
        required: ["x"],
        properties: {
          x: { type: "object", required: ["a"], properties: { a: { type: "boolean" } } },
          y: { type: "object", required: ["a"], properties: { a: { type: "boolean" } } },
        },
      },
    },
  ])("$why", ({ zod, crd }) => {
    expect(toStructuralSchema(zod)).toEqual(crd);
  });

  interface Cyclic {
    next?: Cyclic | undefined;
  }
  const cyclic: z.ZodType<Cyclic> = z.object({ next: z.lazy(() => cyclic).optional() });
  const union = z.discriminatedUnion("type", [
    z.object({ type: z.literal("a") }),
    z.object({ type: z.literal("b"), size: z.string() }),
  ]);

  test.each([
    { zod: z.number(), says: "the API holds no floating-point numbers: use z.int(), or a string with a pattern" },
    {
      zod: z.string().refine((text) => text !== "x"),
      says: "refine is not known to the API server: write a cel() rule",
    },
    { zod: z.string().trim(), says: "the API server does not change what users write: use a pattern" },
    { zod: z.string().transform(Number), says: "transform, pipe and preprocess are not known to the API server" },
    { zod: quantity("x").default("1Gi"), says: "the default of a transformed value is lost: use prefault" },
    { zod: z.boolean().catch(true), says: "catch accepts anything: use default" },
    {
      zod: union,
      says: "a union of objects cannot be made structural: use a discriminator field, an optional object per case and cel() rules",
    },
    {
      zod: z.union([z.string(), z.int()]),
      says: "a union cannot be made structural: use quantity() or a discriminator field",
    },
    {
      zod: z.tuple([z.string()]),
      says: "a tuple or an array of a union cannot be made structural: use an object with named fields",
    },
    {
      zod: z.string().regex(/a/).regex(/b/),
      says: "an intersection, or a second pattern, cannot be made structural: write one schema",
    },
    {
      zod: z.string().regex(/^(?!x)/),
      says: "the pattern uses look-around or a back-reference, which the API server's RE2 does not know",
    },
    {
      zod: z.object({ a: z.string() }).catchall(z.string()),
      says: "named fields and a catchall exclude each other in a CRD: put the map in a field of its own",
    },
    {
      zod: z.record(z.enum(["a", "b"]), z.string()),
      says: "a record with fixed keys cannot be made structural: use an object",
    },
    {
      zod: z.string().meta({ "x-kubernetes-int-or-string": true }),
      says: "x-kubernetes-int-or-string needs a union of z.int() and z.string()",
    },
    { zod: z.string().meta({ writeOnly: true }), says: "writeOnly has no place in a CRD" },
  ])("refuses with the field: $says", ({ zod, says }) => {
    const schema = z.object({ list: z.array(z.object({ field: zod })) });
    expect(() => toStructuralSchema(schema, ["spec"])).toThrow(`spec.list[].field: ${says}`);
  });

  test("refuses what refers to itself, and dates", () => {
    expect(() => toStructuralSchema(cyclic, ["spec"])).toThrow(/^spec: Cycle detected/);
    expect(() => toStructuralSchema(z.date(), ["spec"])).toThrow("spec: Date cannot be represented in JSON Schema");
  });
});

test("fieldPath writes paths as users know them", () => {
  expect(fieldPath([])).toBe("<root>");
  expect(fieldPath(["spec", "tolerations", "[]", "key"])).toBe("spec.tolerations[].key");
  expect(fieldPath(["spec", "labels", "*"])).toBe("spec.labels.*");
});
