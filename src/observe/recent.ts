// What was used lately, so that a memory of much that passes by stays small.

/** Values by key: all of those used last, and some before. */
export class Recent<V> {
  readonly #limit: number;
  #younger = new Map<string, V>();
  #older = new Map<string, V>();

  /** @param limit - How many are kept for certain; at most twice as many are. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** The value that is known by `key`. */
  find(key: string): V | undefined {
    const young = this.#younger.get(key);
    if (young !== undefined) return young;
    const old = this.#older.get(key);
    if (old !== undefined) this.#add(key, old);
    return old;
  }

  /** The value that is known by `key`, which is `value` from now on if there was none. */
  use(key: string, value: V): V {
    const known = this.find(key);
    if (known === undefined) this.#add(key, value);
    return known ?? value;
  }

  #add(key: string, value: V): void {
    if (this.#younger.size >= this.#limit) {
      this.#older = this.#younger;
      this.#younger = new Map();
    }
    this.#younger.set(key, value);
  }
}
