// Counters of single clusters. Each is a few numbers; series with their labels are made when they are shown.
import type { ClusterRegistry, Row } from "./cluster-registry.ts";

/** What is counted of each cluster, by the value of one label. Keys are `namespace/name`. */
export interface ClusterCounter<V extends string> {
  /** The cluster is there: so are its counts, at zero at first. A counter that appears with 1 looks as if nothing had happened. */
  readonly known: (key: string) => void;
  readonly add: (key: string, value: V, count?: number) => void;
  /** The cluster is gone, and with it its counts. */
  readonly gone: (key: string) => void;
}

/** Makes a counter whose series of one cluster are told apart by `label`, which has one of `values`. */
export function clusterCounter<V extends string>(
  registry: ClusterRegistry,
  text: { readonly name: string; readonly help: string },
  label: string,
  values: readonly V[],
): ClusterCounter<V> {
  const counts = new Map<string, number[]>();
  const countsOf = (key: string): number[] => {
    const known = counts.get(key) ?? values.map(() => 0);
    counts.set(key, known);
    return known;
  };
  registry.show({
    ...text,
    type: "counter",
    labels: [label],
    *rows(): Iterable<Row> {
      for (const [key, own] of counts) {
        for (const [at, value] of values.entries()) yield { key, labels: { [label]: value }, value: own[at] ?? 0 };
      }
    },
  });
  return {
    known: (key) => void countsOf(key),
    add: (key, value, count = 1) => {
      const own = countsOf(key);
      const at = values.indexOf(value);
      own[at] = (own[at] ?? 0) + count;
    },
    gone: (key) => void counts.delete(key),
  };
}
