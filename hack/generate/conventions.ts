// What every field of the API must have, beyond what the API server asks for.
import { fieldPath, type StructuralSchema } from "./structural-schema.ts";

/** Formats whose values the API server itself keeps short. */
const SHORT_FORMATS = new Set(["date-time", "date", "ipv4", "ipv6", "uuid"]);

/**
 * The problems of a set of fields, as `path: what is wrong`; empty when there is none.
 * A description starts with the name of its field and ends with a full stop; strings, arrays and maps have a limit, so
 * that CEL rules over them have a bounded cost; arrays of objects say how they merge.
 */
export function checkConventions(fields: Readonly<Record<string, StructuralSchema>>): string[] {
  return Object.entries(fields)
    .filter(([name]) => name !== "apiVersion" && name !== "kind" && name !== "metadata")
    .flatMap(([name, schema]) => checkField(schema, [name]));
}

function checkField(schema: StructuralSchema, path: readonly string[]): string[] {
  const own = [...describedBadly(schema, path.at(-1) ?? ""), ...unlimited(schema), ...mergedOrKeptUnclearly(schema)];
  const messages = (schema["x-kubernetes-validations"] ?? [])
    .filter(({ message }) => !message.includes(": "))
    .map(({ message }) => `the message "${message}" must say what is wrong, a colon, and the fix`);
  return [
    ...[...own, ...messages].map((problem) => `${fieldPath(path)}: ${problem}`),
    ...Object.entries(schema.properties ?? {}).flatMap(([name, child]) => checkField(child, [...path, name])),
    ...(schema.items ? checkField(schema.items, [...path, "[]"]) : []),
    ...(schema.additionalProperties ? checkField(schema.additionalProperties, [...path, "*"]) : []),
  ];
}

function describedBadly({ description = "" }: StructuralSchema, name: string): string[] {
  if (name === "[]" || name === "*") return [];
  return [
    ...(new RegExp(`^${name}\\b`).test(description) ? [] : [`its description must start with "${name}"`]),
    ...(description.endsWith(".") ? [] : ["its description must end with a full stop"]),
  ];
}

function unlimited(schema: StructuralSchema): string[] {
  const short = schema.maxLength !== undefined || schema.enum !== undefined || SHORT_FORMATS.has(schema.format ?? "");
  return [
    ...(schema.type === "string" && !short ? ["a string needs max()"] : []),
    ...(schema.type === "array" && schema.maxItems === undefined ? ["an array needs max()"] : []),
    ...(schema.additionalProperties && schema.maxProperties === undefined ? ["a map needs maxProperties"] : []),
  ];
}

function mergedOrKeptUnclearly(schema: StructuralSchema): string[] {
  const listType = schema["x-kubernetes-list-type"];
  return [
    ...(schema.items?.type === "object" && listType === undefined ? ["an array of objects needs a list type"] : []),
    ...(schema["x-kubernetes-preserve-unknown-fields"] ? ["unknown fields would be kept: name every field"] : []),
  ];
}
