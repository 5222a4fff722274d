// As much of Grafana Alloy's configuration language as its examples here use: blocks, attributes, and references to components.

/** An attribute's value; a reference to a component's export is an object of its own kind. */
export type AlloyValue =
  | string
  | boolean
  | Reference
  | readonly AlloyValue[]
  | { readonly [name: string]: string | boolean };

/** `loki.write.default.receiver` and the like. */
export class Reference {
  readonly to: string;

  /** @param to - Component, label and export. */
  constructor(to: string) {
    this.to = to;
  }
}

/** One block: a component at the outside, its parts within. */
export interface AlloyBlock {
  readonly name: string;
  readonly label: string;
  readonly values: Readonly<Record<string, AlloyValue>>;
  readonly blocks: readonly AlloyBlock[];
}

interface OpenBlock extends AlloyBlock {
  readonly values: Record<string, AlloyValue>;
  readonly blocks: AlloyBlock[];
}

/** What components of a kind give to others. */
const EXPORTS: Readonly<Record<string, readonly string[]>> = {
  "discovery.kubernetes": ["targets"],
  "discovery.relabel": ["output", "rules"],
  "loki.process": ["receiver"],
  "loki.source.kubernetes": [],
  "loki.write": ["receiver"],
};

/** Reads a configuration. @throws Error at the first line that is none. */
export function parseAlloy(text: string): readonly AlloyBlock[] {
  const outside: OpenBlock = { name: "", label: "", values: {}, blocks: [] };
  const open = [outside];
  for (const line of text.split("\n").map((one) => one.trim())) {
    const inner = open.at(-1);
    const begun = /^([\w.]+)(?: "(\w+)")? \{$/.exec(line);
    const attribute = /^(\w+) *= (.+)$/.exec(line);
    if (line === "") continue;
    if (line === "}" && open.length > 1) open.pop();
    else if (begun !== null && inner !== undefined) {
      const block: OpenBlock = { name: begun[1] ?? "", label: begun[2] ?? "", values: {}, blocks: [] };
      inner.blocks.push(block);
      open.push(block);
    } else if (attribute?.[1] !== undefined && inner !== undefined && inner !== outside) {
      inner.values[attribute[1]] = valueOf(attribute[2] ?? "");
    } else throw new Error(`not understood: ${line}`);
  }
  if (open.length > 1) throw new Error(`${open.at(-1)?.name ?? ""} has no end`);
  return outside.blocks;
}

function valueOf(text: string): AlloyValue {
  if (/^[a-z_]+(\.\w+)+$/.test(text)) return new Reference(text);
  if (/^\[[^"]*\]$/.test(text)) return text.slice(1, -1).split(", ").map(valueOf);
  // Names of an object's fields need no quotes here.
  const json = text.replaceAll(/(\w+) = /g, '"$1": ');
  return JSON.parse(json) as AlloyValue;
}

/** All that a block and its parts refer to. */
export function referencesIn({ values, blocks }: AlloyBlock): string[] {
  const own = Object.values(values)
    .flat()
    .flatMap((value) => (value instanceof Reference ? value.to : []));
  return [...own, ...blocks.flatMap(referencesIn)];
}

/** What others can refer to. @throws Error for a kind of component that is not known. */
export function exportsOf({ name, label }: AlloyBlock): string[] {
  const given = EXPORTS[name];
  if (given === undefined) throw new Error(`no component is called ${name}`);
  return given.map((one) => `${name}.${label}.${one}`);
}
