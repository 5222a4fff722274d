/** Cycles of dependencies: transactions that cannot have happened in any order, each class by the name that Adya gave it. */
import { componentsOf } from "./components.ts";
import { type Dependency, type Graph, type Part, REASONS, type Reason } from "./dependencies.ts";
import type { Transaction } from "./history.ts";

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

/**
 * How many first edges are tried for a class in one group. In a large tangle a G-single may thus be called G2; that there is a cycle is
 * known without trying, and what it costs stays in proportion to the group.
 */
const MOST_TRIES = 200;

/** A cycle, and what it is called. */
export interface Cycle {
  readonly name: string;
  readonly edges: readonly Dependency[];
}

/** One short cycle of each group of transactions that depend on each other in a circle, of the first class that has one. */
export function cyclesOf(graph: Graph, history: readonly Transaction[]): Cycle[] {
  const everything = { graph, members: new Set(graph.keys()), reasons: REASONS };
  return componentsOf(everything).flatMap((members) => {
    for (const { name, reasons, hasOneRw } of CLASSES) {
      const circular: readonly Reason[] = hasOneRw ? [...reasons, "rw"] : reasons;
      for (const component of componentsOf({ graph, members, reasons: circular })) {
        const part = { graph, members: component, reasons };
        const edges = shortCycle(part, firstsOf(part, hasOneRw === true), history);
        if (edges !== undefined) return [{ name, edges }];
      }
    }
    return [];
  });
}

/**
 * Edges with which a cycle may begin: the one `rw`, or else one that goes back in the history, as one of every cycle does. Those that go
 * back furthest come first: they are the ones that are not as they should be.
 */
function firstsOf({ graph, members, reasons }: Part, hasOneRw: boolean): Dependency[] {
  const isFirst = ({ from, to, reason }: Dependency): boolean =>
    members.has(to) && (hasOneRw ? reason === "rw" : from > to && reasons.includes(reason));
  const firsts = [...members].flatMap((from) => (graph.get(from) ?? []).filter(isFirst));
  return firsts.toSorted((a, b) => b.from - b.to - (a.from - a.to)).slice(0, MOST_TRIES);
}

function shortCycle(
  part: Part,
  firsts: readonly Dependency[],
  history: readonly Transaction[],
): readonly Dependency[] | undefined {
  let best: readonly Dependency[] | undefined;
  for (const first of firsts) {
    const path = shortestPath(part, first.to, first.from);
    if (path === undefined) continue;
    const back = part.reasons.includes("time") ? withoutDetours(path, history) : path;
    if (best === undefined || back.length + 1 < best.length) best = [first, ...back];
    if (best.length === 2) break; // there are none that are shorter
  }
  return best;
}

function shortestPath({ graph, members, reasons }: Part, from: number, to: number): readonly Dependency[] | undefined {
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
  for (let step = reachedBy.get(to); step !== undefined; step = reachedBy.get(step.from)) path.push(step);
  return path.toReversed();
}

/** The graph holds only the edges of time that no others imply: here one of those that are implied stands for all that it spans. */
function withoutDetours(path: readonly Dependency[], history: readonly Transaction[]): Dependency[] {
  const short: Dependency[] = [];
  for (let at = 0; at < path.length; ) {
    const first = path[at];
    if (first === undefined) break;
    const { from } = first;
    const last = path.findLastIndex(({ to }, index) => index > at && isBefore(history[from], history[to]));
    short.push(last < 0 ? first : { from, to: path[last]?.to ?? from, reason: "time", list: "" });
    at = Math.max(at, last) + 1;
  }
  return short;
}

function isBefore(one: Transaction | undefined, other: Transaction | undefined): boolean {
  return one?.outcome === "ok" && other !== undefined && one.endMs < other.startMs;
}
