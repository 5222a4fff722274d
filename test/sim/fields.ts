// Fields of objects: who owns which (server-side apply), and JSON merge patch. Lists are taken as a whole: this program writes
// none that others write parts of.

type Json = Readonly<Record<string, unknown>>;
/** The way to one value, as JSON: names may hold any character. */
type Path = string;

const NOT_OWNED = ["apiVersion", "kind"];

/** The object after an apply by `manager`, and the fields that it owns from now on. */
export function applyFields<T extends object>(
  live: T,
  desired: object,
  manager: string,
  owners: ReadonlyMap<string, ReadonlySet<Path>>,
): { readonly object: T; readonly owned: ReadonlySet<Path> } {
  const wanted = leavesOf(desired as Json);
  const owned = new Set(wanted.keys());
  const others = [...owners].filter(([name]) => name !== manager).map(([, paths]) => paths);
  let object = live as Json;
  for (const path of owners.get(manager) ?? []) {
    // A field that was given up goes unless somebody else wants it.
    if (!owned.has(path) && !others.some((paths) => paths.has(path)))
      object = without(object, JSON.parse(path) as string[]);
  }
  for (const [path, value] of wanted) object = withValue(object, JSON.parse(path) as string[], value);
  return { object: object as T, owned };
}

/** RFC 7396. */
export function mergeFields(live: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const result: Record<string, unknown> = isObject(live) ? { ...live } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete result[name];
    else result[name] = mergeFields(result[name], value);
  }
  return result;
}

/** Whether two values are the same as JSON: a field that is undefined is none. */
export function isSameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    return (
      Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((one, at) => isSameJson(one, b[at]))
    );
  }
  const [left, right] = [a as Json, b as Json];
  for (const name in left) if (!isSameJson(left[name], right[name])) return false;
  for (const name in right) if (left[name] === undefined && right[name] !== undefined) return false;
  return true;
}

function leavesOf(object: Json, above: readonly string[] = []): Map<Path, unknown> {
  const leaves = new Map<Path, unknown>();
  for (const [name, value] of Object.entries(object)) {
    const way = [...above, name];
    if (value === undefined || (above.length === 0 && NOT_OWNED.includes(name))) continue;
    if (isObject(value) && Object.keys(value).length > 0) {
      for (const [path, leaf] of leavesOf(value, way)) leaves.set(path, leaf);
    } else leaves.set(JSON.stringify(way), value);
  }
  return leaves;
}

function withValue(object: Json, [name = "", ...rest]: readonly string[], value: unknown): Json {
  if (rest.length === 0) return { ...object, [name]: value };
  const inner = object[name];
  return { ...object, [name]: withValue(isObject(inner) ? inner : {}, rest, value) };
}

function without(object: Json, [name = "", ...rest]: readonly string[]): Json {
  const { [name]: inner, ...others } = object;
  if (rest.length === 0 || !isObject(inner)) return others;
  const left = without(inner, rest);
  return Object.keys(left).length === 0 ? others : { ...object, [name]: left };
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
