// What a new pod template would change, for people: one line per field, old → new, and never more than fits a screen.

const MAX_LINES = 8;
const MAX_LINE = 180;
const MAX_VALUE = 60;
/** Maps to which the API server adds nothing by itself: what is only in the live one was taken away. */
const WHOLE_MAPS = ["labels", "annotations", "nodeSelector", "requests", "limits"];
/** Says nothing that the other lines do not. */
const SILENT = /\.annotations\.quorate\.io\/template-hash$/;

/**
 * The differences between a live pod template, which has the API server's defaults in it, and one that would replace it.
 * Lists of named things, such as containers, are compared by name.
 */
export function templateDifferences(live: unknown, desired: unknown): readonly string[] {
  const lines = walk(live, desired, "").filter((found) => !SILENT.test(found.split(": ")[0] ?? ""));
  const shown = lines.slice(0, MAX_LINES).map((found) => cut(found, MAX_LINE));
  return lines.length <= MAX_LINES ? shown : [...shown, `and ${lines.length - MAX_LINES} more`];
}

function walk(live: unknown, desired: unknown, path: string): string[] {
  if (desired === undefined || same(live, desired)) return [];
  if (isNamedList(desired) && (live === undefined || isNamedList(live))) return walkNamed(live ?? [], desired, path);
  if (isMap(desired) && isMap(live)) {
    const added = Object.entries(desired).flatMap(([key, value]) => walk(live[key], value, join(path, key)));
    const isWhole = WHOLE_MAPS.includes(path.split(".").at(-1) ?? "");
    const gone = isWhole ? Object.keys(live).filter((key) => desired[key] === undefined) : [];
    return [...added, ...gone.map((key) => line(join(path, key), live[key], undefined))];
  }
  return [line(path, live, desired)];
}

interface Named {
  readonly name: string;
}

function walkNamed(live: readonly Named[], desired: readonly Named[], path: string): string[] {
  const names = [...new Set([...live, ...desired].map(({ name }) => name))];
  return names.flatMap((name) => {
    const at = `${path}[${name}]`;
    const before = live.find((item) => item.name === name);
    const after = desired.find((item) => item.name === name);
    if (before === undefined || after === undefined) return [line(at, before, after)];
    return walk(before, after, at);
  });
}

function line(path: string, before: unknown, after: unknown): string {
  return `${path}: ${textOf(before)} → ${textOf(after)}`;
}

function textOf(value: unknown): string {
  if (value === undefined) return "none";
  return cut(typeof value === "string" ? value : JSON.stringify(value), MAX_VALUE);
}

function cut(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length)}…` : text;
}

function join(path: string, key: string): string {
  return path === "" ? key : `${path}.${key}`;
}

function same(a: unknown, b: unknown): boolean {
  return a === b || (typeof b === "object" && JSON.stringify(a) === JSON.stringify(b));
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isNamedList(value: unknown): value is readonly Named[] {
  return (
    Array.isArray(value) && value.length > 0 && value.every((item) => isMap(item) && typeof item["name"] === "string")
  );
}
