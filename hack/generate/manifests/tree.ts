// Manifests are written once, as trees, and rendered twice: as plain YAML for kustomize, with values filled in, and as
// templates of the Helm chart. What depends on a value is a node of its own here, so that neither form can forget it.
import type { ChartValues } from "./values.ts";

/** A leaf that comes from a value. */
export class Setting {
  /** Go template expression without braces; strings must come out quoted. */
  readonly expression: string;
  readonly plain: (values: ChartValues) => string | number | boolean;

  constructor(expression: string, plain: Setting["plain"]) {
    this.expression = expression;
    this.plain = plain;
  }
}

/** A whole object or list that comes from a value, left out while that is empty. */
export class Block {
  /** Path of the value, such as `.Values.nodeSelector`. */
  readonly expression: string;
  readonly plain: (values: ChartValues) => object;

  constructor(expression: string, plain: Block["plain"]) {
    this.expression = expression;
    this.plain = plain;
  }
}

/** Something that must be true of the values. */
export interface Condition {
  /** Argument of `if` in a Go template. */
  readonly expression: string;
  readonly plain: (values: ChartValues) => boolean;
}

/** A field or an item that is there only when `condition` holds. */
export class When {
  readonly condition: Condition;
  readonly tree: Tree;

  constructor(condition: Condition, tree: Tree) {
    this.condition = condition;
    this.tree = tree;
  }
}

/** A field or an item with a comment above it, for those who read what they install. */
export class Commented {
  readonly comment: string;
  readonly tree: Tree;

  constructor(comment: string, tree: Tree) {
    this.comment = comment;
    this.tree = tree;
  }
}

/** A manifest, or a part of one. */
export type Tree =
  | string
  | number
  | boolean
  | Setting
  | Block
  | When
  | Commented
  | readonly Tree[]
  | { readonly [field: string]: Tree };

/** In place of a field's name: the block's own fields stand beside the others of the map. */
export const MERGED_FIELD = "";

/** Fields of a map, and those that a value adds to it. */
export function merged(fields: { readonly [field: string]: Tree }, more: Block): Tree {
  return { ...fields, [MERGED_FIELD]: more };
}

/** An object of the installation; `comment` says what it is for. */
export interface Manifest {
  readonly comment?: string;
  readonly condition?: Condition;
  readonly tree: Tree;
}

/** The namespace that the operator is installed in. */
export const NAMESPACE = new Setting(".Release.Namespace", () => "quorate-system");

/** The operator looks after the clusters of its own namespace only. */
export const ONE_NAMESPACE: Condition = {
  expression: 'eq .Values.watch "ReleaseNamespace"',
  plain: ({ watch }) => watch === "ReleaseNamespace",
};
