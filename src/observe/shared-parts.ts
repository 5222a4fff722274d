// Objects of different clusters are mostly alike: the same probes, volumes, scripts, owners. Equal parts are kept once.

const LONGEST_KEY = 256; // parts that print longer are rarely equal, and their keys would cost what sharing saves
const MAX_PARTS = 8_192;
const MAX_TEXTS = 64; // an engine's files; intents pass through

/** Replaces parts of plain JSON by equal ones seen lately. What it returns must not be changed: others hold it, too. */
export class SharedParts {
  readonly #parts = new Map<string, object>(); // by their JSON, the one used longest ago first
  readonly #texts = new Map<string, string>();

  /** `value`, or an equal one, with all that can be shared in it shared. */
  share<T>(value: T): T {
    return this.#shared(value)[0] as T;
  }

  /** @returns the value to keep, and its JSON while that is short enough to be a key. */
  #shared(value: unknown): [unknown, string | undefined] {
    if (typeof value === "string" && value.length > LONGEST_KEY) return [this.#text(value), undefined];
    if (typeof value !== "object" || value === null) return [value, JSON.stringify(value)];
    const kept: unknown[] = [];
    let key: string | undefined = Array.isArray(value) ? "[" : "{";
    for (const [name, field] of Object.entries(value)) {
      const [part, json] = this.#shared(field);
      kept.push(part);
      key = key === undefined || json === undefined ? undefined : `${key}${JSON.stringify(name)}:${json},`;
      if (key !== undefined && key.length > LONGEST_KEY) key = undefined;
    }
    if (key !== undefined) key += Array.isArray(value) ? "]" : "}";
    const known = key === undefined ? undefined : this.#parts.get(key);
    const shared = known ?? rebuilt(value, kept);
    if (key !== undefined) remember(this.#parts, key, shared, MAX_PARTS);
    return [shared, key];
  }

  #text(text: string): string {
    const known = this.#texts.get(text) ?? text;
    remember(this.#texts, known, known, MAX_TEXTS);
    return known;
  }
}

function rebuilt(value: object, parts: readonly unknown[]): object {
  if (Array.isArray(value)) return [...parts];
  return Object.fromEntries(Object.keys(value).map((name, at) => [name, parts[at]]));
}

/** Sets the newest entry and drops the oldest beyond the limit. */
function remember<V>(map: Map<string, V>, key: string, value: V, limit: number): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= limit) return;
  const [oldest] = map.keys();
  if (oldest !== undefined) map.delete(oldest);
}
