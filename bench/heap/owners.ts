/** Who holds a heap: the stores by kind, what is remembered beside objects, and the rest. Reads one of V8's snapshots. */
import { readFile } from "node:fs/promises";

interface Snapshot {
  readonly snapshot: {
    readonly meta: {
      readonly node_fields: readonly string[];
      readonly node_types: readonly [readonly string[]];
      readonly edge_fields: readonly string[];
      readonly edge_types: readonly [readonly string[]];
    };
  };
  readonly nodes: readonly number[];
  readonly edges: readonly number[];
  readonly strings: readonly string[];
}

/** Bytes by owner; of what several hold, the first that is asked has all. */
export type Owners = Readonly<Record<string, number>>;

/** Reads a snapshot. @returns bytes by owner, with all of the heap as `total`. */
export async function ownersOf(file: string): Promise<Owners> {
  const heap = new Heap(JSON.parse(await readFile(file, "utf8")) as Snapshot);
  const bytes: Record<string, number> = {};
  const roots = heap.stores();
  for (const { node } of roots) heap.bar(node);
  for (const { node, kind } of roots) bytes[`store ${kind}`] = heap.claim(node);
  for (const { value, table } of heap.remembered()) {
    const name = `beside objects: ${table}`;
    bytes[name] = (bytes[name] ?? 0) + heap.claim(value);
  }
  for (const { node, name } of heap.instancesOf(ALONE)) bytes[name] = (bytes[name] ?? 0) + heap.claim(node);
  const held = Object.values(bytes).reduce((sum, one) => sum + one, 0);
  return { ...bytes, rest: heap.total - held, total: heap.total };
}

/** Classes of which there is one that remembers something of each cluster; what is shared is asked last. */
const ALONE = [
  "NamedObjects",
  "OwnWrites",
  "StatusWriter",
  "LeaderTimeline",
  "Measurer",
  "RuleKeeper",
  "WorkQueue",
  "_Registry",
  "Registry",
  "SharedParts",
];
const BESIDE = /^\d+ \/ part of key .* pair in WeakMap \(table @(\d+)\)$/;

class Heap {
  readonly #nodes: readonly number[];
  readonly #edges: readonly number[];
  readonly #strings: readonly string[];
  readonly #types: readonly string[];
  readonly #edgeTypes: readonly string[];
  readonly #width: number;
  readonly #firstEdge: Uint32Array;
  readonly #claimed: Uint8Array;

  constructor({ snapshot, nodes, edges, strings }: Snapshot) {
    const { node_fields: fields, node_types: types, edge_types: edgeTypes } = snapshot.meta;
    this.#nodes = nodes;
    this.#edges = edges;
    this.#strings = strings;
    this.#types = types[0];
    this.#edgeTypes = edgeTypes[0];
    this.#width = fields.length;
    const count = nodes.length / fields.length;
    this.#firstEdge = new Uint32Array(count + 1);
    for (let at = 0; at < count; at += 1) {
      this.#firstEdge[at + 1] = (this.#firstEdge[at] ?? 0) + (nodes[at * fields.length + 4] ?? 0);
    }
    this.#claimed = new Uint8Array(count);
  }

  /** Bytes of everything. */
  get total(): number {
    let sum = 0;
    for (let at = 0; at < this.#claimed.length; at += 1) sum += this.#size(at);
    return sum;
  }

  stores(): readonly { readonly node: number; readonly kind: string }[] {
    const found: { readonly node: number; readonly kind: string }[] = [];
    for (let at = 0; at < this.#claimed.length; at += 1) {
      if (this.#typeOf(at) !== "object" || this.#nameOf(at) !== "Store") continue;
      const kind = this.#edgesOf(at).find(({ name }) => name === "kind");
      if (kind !== undefined) found.push({ node: at, kind: this.#nameOf(kind.to) });
    }
    return found;
  }

  instancesOf(names: readonly string[]): readonly { readonly node: number; readonly name: string }[] {
    const found: { node: number; name: string }[] = [];
    for (let at = 0; at < this.#claimed.length; at += 1) {
      const name = this.#nameOf(at);
      if (this.#typeOf(at) === "object" && names.includes(name)) found.push({ node: at, name });
    }
    return found.toSorted((a, b) => names.indexOf(a.name) - names.indexOf(b.name));
  }

  /** What WeakMaps hold by their keys, with the name of the variable that has the map. */
  remembered(): readonly { readonly value: number; readonly table: string }[] {
    const found: { readonly value: number; readonly table: string }[] = [];
    const names = this.#tables();
    for (let at = 0; at < this.#claimed.length; at += 1) {
      for (const { type, name, to } of this.#edgesOf(at)) {
        const id = type === "internal" ? BESIDE.exec(name)?.[1] : undefined;
        if (id !== undefined && this.#nodes[at * this.#width + 2] !== Number(id)) {
          found.push({ value: to, table: names.get(Number(id)) ?? "?" });
        }
      }
    }
    for (const [id, name] of names) found.push({ value: this.#byId(id), table: name });
    return found;
  }

  #byId(id: number): number {
    for (let at = 0; at < this.#claimed.length; at += 1) if (this.#nodes[at * this.#width + 2] === id) return at;
    return 0;
  }

  /** Names of the tables of WeakMaps, by their ids. */
  #tables(): ReadonlyMap<number, string> {
    const names = new Map<number, string>();
    for (let at = 0; at < this.#claimed.length; at += 1) {
      for (const { name, to } of this.#edgesOf(at)) {
        if (this.#nameOf(to) !== "WeakMap" || this.#typeOf(to) !== "object") continue;
        const table = this.#edgesOf(to).find((edge) => edge.name === "table");
        if (table !== undefined && /^#?[A-Za-z]\w+$/.test(name))
          names.set(this.#nodes[table.to * this.#width + 2] ?? 0, name);
      }
    }
    return names;
  }

  /** Keeps what others reach from being counted for them. */
  bar(node: number): void {
    this.#claimed[node] = 1;
  }

  /** Takes all that is reached from `node` and nobody's yet. @returns its bytes. */
  claim(node: number): number {
    const isBarred = this.#claimed[node] === 1 && this.#nameOf(node) === "Store";
    if (this.#claimed[node] === 1 && !isBarred) return 0;
    this.#claimed[node] = 1;
    let sum = this.#size(node);
    const open = [node];
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      for (const { type, name, to } of this.#edgesOf(at)) {
        if (type === "weak" || this.#claimed[to] === 1 || !this.#isData(to)) continue;
        if (type === "internal" && BESIDE.test(name)) continue;
        this.#claimed[to] = 1;
        sum += this.#size(to);
        open.push(to);
      }
    }
    return sum;
  }

  /** No code, no shapes, no closures: those lead to everything. */
  #isData(at: number): boolean {
    const type = this.#typeOf(at);
    const isSystem = type === "object shape" || type === "code" || type === "closure" || type === "hidden";
    return !isSystem && !this.#nameOf(at).startsWith("system / ") && this.#nameOf(at) !== "global";
  }

  #edgesOf(at: number): readonly { readonly type: string; readonly name: string; readonly to: number }[] {
    const found: { type: string; name: string; to: number }[] = [];
    for (let edge = this.#firstEdge[at] ?? 0; edge < (this.#firstEdge[at + 1] ?? 0); edge += 1) {
      const type = this.#edgeTypes[this.#edges[edge * 3] ?? 0] ?? "";
      const label = this.#edges[edge * 3 + 1] ?? 0;
      const isIndexed = type === "element" || type === "hidden";
      found.push({
        type,
        name: isIndexed ? String(label) : (this.#strings[label] ?? ""),
        to: (this.#edges[edge * 3 + 2] ?? 0) / this.#width,
      });
    }
    return found;
  }

  #typeOf(at: number): string {
    return this.#types[this.#nodes[at * this.#width] ?? 0] ?? "";
  }

  #nameOf(at: number): string {
    return this.#strings[this.#nodes[at * this.#width + 1] ?? 0] ?? "";
  }

  #size(at: number): number {
    return this.#nodes[at * this.#width + 3] ?? 0;
  }
}
