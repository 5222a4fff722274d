// What goes wrong with requests and watches, as data: a schedule is a list of these, and shrinking takes some away.

/** When, among the writes of one actor, counted from 1 over all its incarnations. */
interface AtWrite {
  readonly actor: string;
  readonly write: number;
}

/** One thing that goes wrong with a write. Virtual time throughout. */
export type WriteFault =
  /** P1: the process ends before the write is sent. */
  | ({ readonly kind: "CrashBefore" } & AtWrite)
  /** P1: the write is carried out, and the process ends before it hears of it. */
  | ({ readonly kind: "CrashAfter" } & AtWrite)
  /** P4: the write is carried out, its answer is lost. */
  | ({ readonly kind: "LoseAnswer" } & AtWrite)
  /** P4: the write gets no answer, and is carried out later all the same. */
  | ({ readonly kind: "Ghost"; readonly delayMs: number } & AtWrite)
  /** P5: the API server refuses. */
  | ({ readonly kind: "Refuse"; readonly code: 409 | 429 | 500 | 503; readonly times: number } & AtWrite)
  /** P5: the API server takes long. */
  | ({ readonly kind: "Slow"; readonly delayMs: number } & AtWrite);

/** One thing that goes wrong with what an actor hears. */
export type WatchFault =
  /** P2, P3: from the n-th event of the kind on nothing of it is heard for so long; then everything, at once. */
  | {
      readonly kind: "HoldWatch";
      readonly actor: string;
      readonly of: string;
      readonly event: number;
      readonly forMs: number;
    }
  /** P6: the connection falls silent: what comes later is lost, and nobody says so. */
  | { readonly kind: "SilenceWatch"; readonly actor: string; readonly of: string; readonly event: number }
  /** P6: the connection breaks. */
  | { readonly kind: "BreakWatch"; readonly actor: string; readonly of: string; readonly event: number }
  /** P5: the connection breaks, and the API server has forgotten the version to go on from. */
  | { readonly kind: "ForgetVersions"; readonly actor: string; readonly of: string; readonly event: number };

/** One thing that happens at a time, in ms after the scenario's own first step. */
export type TimedFault =
  /** P9: no link between the two for so long; `oneWay`: only from the first to the second. */
  | {
      readonly kind: "Cut";
      readonly a: string;
      readonly b: string;
      readonly atMs: number;
      readonly forMs: number;
      readonly oneWay?: boolean;
    }
  /** P7: the process is stopped for so long. */
  | { readonly kind: "Pause"; readonly actor: string; readonly atMs: number; readonly forMs: number }
  /** P1: the process ends at any moment, and comes back by itself. */
  | { readonly kind: "Crash"; readonly actor: string; readonly atMs: number }
  /** P8: a second operator believes that it leads, too, for so long. */
  | { readonly kind: "SecondOperator"; readonly atMs: number; readonly forMs: number }
  /** P2: the members hear of no new intent for so long. */
  | { readonly kind: "Deaf"; readonly atMs: number; readonly forMs: number }
  /** P10: the spec is changed in the middle, and changed back later where it says so. */
  | { readonly kind: "ChangeSpec"; readonly atMs: number; readonly patch: object };

/** P7: clocks that differ for the whole run. */
export interface SkewFault {
  readonly kind: "Skew";
  readonly actor: string;
  readonly rate: number;
  readonly aheadMs: number;
}

/** Anything that goes wrong. */
export type Fault = WriteFault | WatchFault | TimedFault | SkewFault;

/** A fault in one line. */
export function describeFault(fault: Fault): string {
  const { kind, ...rest } = fault;
  return `${kind} ${Object.entries(rest)
    .map(([name, value]) => `${name}=${typeof value === "object" ? JSON.stringify(value) : String(value)}`)
    .join(" ")}`;
}

/** What faults do to one actor's traffic, in turn. */
export class FaultPlan {
  readonly #faults: readonly Fault[];
  readonly #writes = new Map<string, number>();
  readonly #events = new Map<string, number>();
  #hasBegun = false;

  constructor(faults: readonly Fault[]) {
    this.#faults = faults;
  }

  /** From now on writes and events are counted, and faults happen. */
  begin(): void {
    this.#hasBegun = true;
  }

  /** Counts a write of `actor`. @returns what goes wrong with it, if anything. */
  takeWrite(actor: string): WriteFault | undefined {
    if (!this.#hasBegun) return undefined;
    const count = (this.#writes.get(actor) ?? 0) + 1;
    this.#writes.set(actor, count);
    return this.#faults.find((fault): fault is WriteFault => {
      if (!("write" in fault) || fault.actor !== actor) return false;
      const last = fault.kind === "Refuse" ? fault.write + fault.times - 1 : fault.write;
      return count >= fault.write && count <= last;
    });
  }

  /** Counts a change of `kind` on its way to `actor`. @returns what goes wrong with the watch there. */
  takeEvent(actor: string, kind: string): WatchFault | undefined {
    if (!this.#hasBegun) return undefined;
    const key = `${actor} ${kind}`;
    const count = (this.#events.get(key) ?? 0) + 1;
    this.#events.set(key, count);
    return this.#faults.find(
      (fault): fault is WatchFault =>
        "of" in fault && fault.actor === actor && fault.of === kind && fault.event === count,
    );
  }

  /** How many writes each actor has made. */
  get writes(): ReadonlyMap<string, number> {
    return this.#writes;
  }

  /** How many changes each actor was sent, by `actor kind`. */
  get events(): ReadonlyMap<string, number> {
    return this.#events;
  }
}
