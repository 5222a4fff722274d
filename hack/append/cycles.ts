/** Cycles of dependencies: transactions that cannot have happened in any order, each class by the name that Adya gave it. */
import type { Dependency, Graph, Reason } from "./dependencies.ts";

/** A class of cycles, weakest guarantee first: what breaks it breaks all that come after. */
interface Class {
  readonly name: string;
  readonly reasons: readonly Reason[];
  /** Exactly one edge of the cycle is a `rw`; else any number of those in `reasons`. */
  readonly hasOneRw?: true;
}

const CLASSES: readonly Class[] = (["", "time"] as const).flatMap((time) => {
  const reasons = (...own: Reason[]): Reason[] => (time === "" ? own : [...own, time]);
  const suffix = time === "" ? "" : ", in time";
  return [
    { name: `G0${suffix}`, reasons: reasons("ww") },
    { name: `G1c${suffix}`, reasons: reasons("ww", "wr") },
    { name: `G-single${suffix}`, reasons: reasons("ww", "wr"), hasOneRw: true as const },
    { name: `G2${suffix}`, reasons: reasons("ww", "wr", "rw") },
  ];
});

/** A cycle, and what it is called. */
export interface Cycle {
  readonly name: string;
  readonly edges: readonly Dependency[];
}

/** One cycle of each group of transactions that depend on each other in a circle: of the first class that has one, a shortest of those. */
export function cyclesOf(graph: Graph): Cycle[] {
  return componentsOf(graph).flatMap((component) => {
    const members = new Set(component);
    for (const { name, reasons, hasOneRw } of CLASSES) {
      const edges = shortestCycle({ graph, members, reasons }, hasOneRw === true);
      if (edges !== undefined) return [{ name, edges }];
    }
    return [];
  });
}

/** Edges that are looked at: between these transactions, for these reasons. */
interface Part {
  readonly graph: Graph;
  readonly members: ReadonlySet<number>;
  readonly reasons: readonly Reason[];
}

function shortestCycle(part: Part, hasOneRw: boolean): readonly Dependency[] | undefined {
  const { graph, members, reasons } = part;
  let best: readonly Dependency[] | undefined;
  for (const from of members) {
    const firsts = (graph.get(from) ?? []).filter(
      ({ to, reason }) => members.has(to) && (hasOneRw ? reason === "rw" : reasons.includes(reason)),
    );
    for (const first of firsts) {
      const back = shortestPath(part, first.to, from);
      if (back !== undefined && (best === undefined || back.length + 1 < best.length)) best = [first, ...back];
    }
    if (best?.length === 2) break; // there are none that are shorter
  }
  return best;
}

function shortestPath(part: Part, from: number, to: number): readonly Dependency[] | undefined {
  const { graph, members, reasons } = part;
  const reachedBy = new Map<number, Dependency | undefined>([[from, undefined]]);
  let edge: readonly number[] = [from];
  while (edge.length > 0 && !reachedBy.has(to)) {
    const next: number[] = [];
    for (const at of edge) {
      for (const dependency of graph.get(at) ?? []) {
        if (!members.has(dependency.to) || !reasons.includes(dependency.reason) || reachedBy.has(dependency.to))
          continue;
        reachedBy.set(dependency.to, dependency);
        next.push(dependency.to);
      }
    }
    edge = next;
  }
  if (!reachedBy.has(to)) return undefined;
  const path: Dependency[] = [];
  for (let step = reachedBy.get(to); step !== undefined; step = reachedBy.get(step.from)) path.unshift(step);
  return path;
}

/** Tarjan's strongly connected components of more than one transaction, without recursion: histories are long. */
function componentsOf(graph: Graph): readonly (readonly number[])[] {
  const index = new Map<number, number>();
  const low = new Map<number, number>();
  const stack: number[] = [];
  const onStack = new Set<number>();
  const found: number[][] = [];
  const lower = (at: number, value: number): void => {
    low.set(at, Math.min(low.get(at) ?? value, value));
  };
  const enter = (at: number): { readonly at: number; next: number } => {
    index.set(at, index.size);
    low.set(at, index.get(at) ?? 0);
    stack.push(at);
    onStack.add(at);
    return { at, next: 0 };
  };
  for (const root of graph.keys()) {
    if (index.has(root)) continue;
    const visits = [enter(root)];
    for (let visit = visits.at(-1); visit !== undefined; visit = visits.at(-1)) {
      const { at } = visit;
      const to = graph.get(at)?.[visit.next++]?.to;
      if (to !== undefined) {
        if (!index.has(to)) visits.push(enter(to));
        else if (onStack.has(to)) lower(at, index.get(to) ?? 0);
        continue;
      }
      visits.pop();
      const parent = visits.at(-1);
      if (parent !== undefined) lower(parent.at, low.get(at) ?? 0);
      if (low.get(at) !== index.get(at)) continue;
      const component = stack.splice(stack.lastIndexOf(at));
      for (const member of component) onStack.delete(member);
      if (component.length > 1) found.push(component);
    }
  }
  return found;
}
