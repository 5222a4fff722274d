/** A replicated log as an engine keeps it: entries stamped with the epoch of their writer, promotions included. */
import type { Position } from "../../src/agent/protocol/position.ts";

/** One entry: a client's row, or the mark a promotion leaves. `id` is unique over the whole run. */
export interface Entry {
  readonly id: number;
  readonly epoch: number;
  readonly mark: boolean;
}

/** One member's engine with its volume. `flushed` is what each standby has confirmed on its connection. */
export interface ModelEngine {
  readonly volume: "empty" | "data" | "incomplete";
  readonly mode: "stopped" | "follower" | "writable";
  readonly log: readonly Entry[];
  readonly epoch: number;
  readonly upstream: string | null;
  readonly names: readonly string[];
  readonly ack: number;
  readonly flushed: Readonly<Record<string, number>>;
  readonly acked: number;
  readonly verify: { readonly actionId: number; readonly boot: number; readonly index: number } | null;
}

/** An engine on a new volume. */
export const EMPTY_ENGINE: ModelEngine = {
  volume: "empty",
  mode: "stopped",
  log: [],
  epoch: 0,
  upstream: null,
  names: [],
  ack: 0,
  flushed: {},
  acked: 0,
  verify: null,
};

/** Where the log ends; histories are named by the promotion that opened them. */
export function positionOf(engine: ModelEngine): Position | null {
  if (engine.volume !== "data" || engine.mode === "stopped") return null;
  const ancestors: { history: string; value: string }[] = [];
  let history = "0";
  engine.log.forEach((entry, index) => {
    if (!entry.mark) return;
    ancestors.push({ history, value: String(index) });
    history = `${entry.epoch}.${entry.id}`;
  });
  const sendable = engine.mode === "follower" && engine.upstream === null;
  return { history, value: String(engine.log.length), ancestors, ...(sendable && { sendable }) };
}

/** Whether `log` is a beginning of `other`. */
export function isPrefix(log: readonly Entry[], other: readonly Entry[]): boolean {
  const last = log.at(-1);
  return last === undefined || (log.length <= other.length && other[log.length - 1]?.id === last.id);
}

/** How many entries W of the synchronous standbys have confirmed (all of the log when none is asked). */
export function confirmedLength(engine: ModelEngine): number {
  if (engine.ack === 0) return engine.log.length;
  const lengths = engine.names.map((name) => engine.flushed[name] ?? 0).toSorted((a, b) => b - a);
  return lengths[engine.ack - 1] ?? 0;
}
