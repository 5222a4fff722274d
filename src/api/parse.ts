/** From what the API server or a file holds to our types, with defaults filled in and errors that name the field. */
import type { z } from "zod";
import { TerminalError } from "../errors.ts";
import { ClusterOperation } from "./cluster-operation.ts";
import { ClusterSpec } from "./cluster-spec.ts";
import { Engine } from "./engine.ts";

/**
 * A ClusterSpec as the rest of the program sees it: defaults filled in, quantities always strings, fields this version does
 * not know left out. CEL rules are the API server's to check.
 *
 * @throws {TerminalError} reason `InvalidObject`, naming every field that is wrong; happens when the object was written
 * under another version of the CRD.
 */
export function parseClusterSpec(object: unknown): ClusterSpec {
  return parseObject(ClusterSpec, object);
}

/** An Engine; see {@link parseClusterSpec}. @throws {TerminalError} reason `InvalidObject`. */
export function parseEngine(object: unknown): Engine {
  return parseObject(Engine, object);
}

/** A ClusterOperation; see {@link parseClusterSpec}. @throws {TerminalError} reason `InvalidObject`. */
export function parseClusterOperation(object: unknown): ClusterOperation {
  return parseObject(ClusterOperation, object);
}

/**
 * JSON text that parts of the program hand to each other, such as a ConfigMap's key or an annotation.
 *
 * @param where - What the text was read from, for the message: `annotation quorate.io/member-status of pod orders-0-0`.
 * @throws {TerminalError} reason `InvalidText` when it is no JSON, or not of this schema.
 */
export function parseText<Schema extends z.ZodType>(schema: Schema, text: string, where: string): z.output<Schema> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new TerminalError(`${where} is not JSON`, { reason: "InvalidText", cause });
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new TerminalError(`${where} is not as expected (${describeIssues(result.error)})`, { reason: "InvalidText" });
}

function parseObject<Schema extends z.ZodType>(schema: Schema, object: unknown): z.output<Schema> {
  const result = schema.safeParse(object);
  if (result.success) return result.data;
  throw new TerminalError(`Invalid fields (${describeIssues(result.error)})`, {
    reason: "InvalidObject",
    object: describeObject(object),
  });
}

/** More than this many at once helps nobody; the rest is counted. */
const MAX_ISSUES = 8;

function describeIssues(error: z.ZodError): string {
  const issues = error.issues.map(({ path, message }) => `${fieldOf(path)}: ${message}`);
  const rest = issues.length - MAX_ISSUES;
  return [...issues.slice(0, MAX_ISSUES), ...(rest > 0 ? [`and ${rest} more`] : [])].join("; ");
}

/** `["spec", "versions", 0, "image"]` → `spec.versions[0].image`. */
function fieldOf(path: readonly PropertyKey[]): string {
  const text = path.map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`)).join("");
  return text === "" ? "the whole" : text.replace(/^\./, "");
}

/** `Kind namespace/name` of whatever it is; parts that are no strings are left out. */
function describeObject(object: unknown): string {
  const { kind, metadata } = record(object);
  const { namespace, name } = record(metadata);
  const isText = (part: unknown) => typeof part === "string";
  return [isText(kind) ? kind : "object", [namespace, name].filter(isText).join("/")].filter(Boolean).join(" ");
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}
