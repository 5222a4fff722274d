// Objects of different clusters are mostly alike: the same probes, volumes, scripts, owners. Equal parts are kept once.

import { Recent } from "./recent.ts";

const LONGEST_KEY = 256; // parts that print longer are rarely equal, and their keys would cost what sharing saves
const RECENT_PARTS = 4_096;
const RECENT_WORDS = 4_096; // names, times, uids: mostly of the object that is taken in and of those around it
const RECENT_TEXTS = 32; // an engine's files; intents pass through

/** Replaces parts of plain JSON by equal ones seen lately. What it returns must not be changed: others hold it, too. */
export class SharedParts {
  readonly #parts = new Recent<object>(RECENT_PARTS); // by their JSON
  readonly #words = new Recent<string>(RECENT_WORDS);
  readonly #texts = new Recent<string>(RECENT_TEXTS);

  /** `value`, or an equal one, with all that can be shared in it shared. */
  share<T>(value: T): T {
    return this.#shared(value)[0] as T;
  }

  /** @returns the value to keep, and its JSON while that is short enough to be a key. */
  #shared(value: unknown): [unknown, string | undefined] {
    if (typeof value === "string" && value.length > LONGEST_KEY) return [this.#texts.use(value, value), undefined];
    if (typeof value === "string") return [this.#words.use(value, value), JSON.stringify(value)];
    if (typeof value !== "object" || value === null) return [value, JSON.stringify(value)];
    const kept: unknown[] = [];
    let key: string | undefined = Array.isArray(value) ? "[" : "{";
    for (const [name, field] of Object.entries(value)) {
      const [part, json] = this.#shared(field);
      kept.push(part);
      key = key === undefined || json === undefined ? undefined : `${key}${JSON.stringify(name)}:${json},`;
      if (key !== undefined && key.length > LONGEST_KEY) key = undefined;
    }
    if (key === undefined) return [rebuilt(value, kept), undefined];
    key += Array.isArray(value) ? "]" : "}";
    return [this.#parts.find(key) ?? this.#parts.use(key, rebuilt(value, kept)), key];
  }
}

/** A copy with these parts; of the same shape, so that it takes no more memory than its original. */
function rebuilt(value: object, parts: readonly unknown[]): object {
  if (Array.isArray(value)) return [...parts];
  const copy: Record<string, unknown> = { ...value };
  for (const [at, name] of Object.keys(copy).entries()) copy[name] = parts[at];
  return copy;
}
