// Content hashes of manifests: equal content, equal text, whatever the order of its keys.

/** JSON with sorted keys and without undefined fields: the same value always gives the same text. */
export function canonicalJson(value: unknown): string {
  return textOf(value) ?? "null";
}

/** Written piece by piece, because sorted copies of all that is compared in a pass are most of its garbage. */
function textOf(value: unknown): string | undefined {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  let text = "";
  if (Array.isArray(value)) {
    for (const item of value) text += `${text === "" ? "" : ","}${textOf(item) ?? "null"}`;
    return `[${text}]`;
  }
  for (const name of sortedNames(value)) {
    const field = textOf(Reflect.get(value, name));
    if (field !== undefined) text += `${text === "" ? "" : ","}${quoted(name)}:${field}`;
  }
  return `{${text}}`;
}

/** Whether two values have the same canonical JSON. Stops at the first difference, and writes no text. */
export function isSameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return textOf(a) === textOf(b);
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
    return a.every((item, at) => isSameJson(item ?? null, b[at] ?? null));
  }
  const [left, right] = [a as Readonly<Record<string, unknown>>, b as Readonly<Record<string, unknown>>];
  for (const name in left) if (!isSameJson(left[name], right[name])) return false;
  for (const name in right) if (left[name] === undefined && right[name] !== undefined) return false;
  return true;
}

function sortedNames(value: object): readonly string[] {
  const names = Object.keys(value);
  return names.some((name, at) => at > 0 && name < (names[at - 1] ?? "")) ? names.toSorted() : names;
}

const MOST_NAMES = 4_096; // users name labels and parameters
const quotedNames = new Map<string, string>();

/** A field's name as JSON: names are few, and quoting them anew is half of the time that comparing takes. */
function quoted(name: string): string {
  const known = quotedNames.get(name);
  if (known !== undefined) return known;
  if (quotedNames.size >= MOST_NAMES) quotedNames.clear();
  const text = JSON.stringify(name);
  quotedNames.set(name, text);
  return text;
}

/**
 * 64-bit hash of `value`'s canonical JSON as 16 hexadecimal digits.
 *
 * It finds changes; it protects nothing. Written out here (two lanes of 32-bit multiply and mix) because build/ is pure
 * and may not use node:crypto.
 */
export function contentHash(value: unknown): string {
  const text = canonicalJson(value);
  let low = 0x811c9dc5;
  let high = 0x9e3779b9;
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    low = Math.imul(low ^ unit, 0x85ebca77);
    high = Math.imul(high ^ unit, 0xc2b2ae3d);
  }
  low = Math.imul(low ^ (low >>> 16), 0x85ebca6b) ^ Math.imul(high ^ (high >>> 13), 0xc2b2ae35);
  high = Math.imul(high ^ (high >>> 16), 0x85ebca6b) ^ Math.imul(low ^ (low >>> 13), 0xc2b2ae35);
  return hex(high) + hex(low);
}

function hex(lane: number): string {
  return (lane >>> 0).toString(16).padStart(8, "0");
}
