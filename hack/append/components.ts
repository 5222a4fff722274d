/** Groups of transactions that depend on each other in a circle. */
import type { Part } from "./dependencies.ts";

/** Tarjan's strongly connected components of more than one transaction, without recursion: histories are long. */
export function componentsOf({ graph, members, reasons }: Part): ReadonlySet<number>[] {
  const index = new Map<number, number>();
  const low = new Map<number, number>();
  const stack: number[] = [];
  const onStack = new Set<number>();
  const found: Set<number>[] = [];
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
  for (const root of members) {
    if (index.has(root)) continue;
    const visits = [enter(root)];
    for (let visit = visits.at(-1); visit !== undefined; visit = visits.at(-1)) {
      const { at } = visit;
      const edge = graph.get(at)?.[visit.next++];
      if (edge !== undefined) {
        const { to, reason } = edge;
        if (!members.has(to) || !reasons.includes(reason)) continue;
        if (!index.has(to)) visits.push(enter(to));
        else if (onStack.has(to)) lower(at, index.get(to) ?? 0);
        continue;
      }
      visits.pop();
      const parent = visits.at(-1);
      if (parent !== undefined) lower(parent.at, low.get(at) ?? 0);
      if (low.get(at) !== index.get(at)) continue;
      const component = new Set(stack.splice(stack.lastIndexOf(at)));
      for (const member of component) onStack.delete(member);
      if (component.size > 1) found.push(component);
    }
  }
  return found;
}
