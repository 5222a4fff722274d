/** Injects one fault again and again, each subject under a client of its own, and takes the write gap of each. */
import { type Fault, inject } from "./faults.ts";
import { pause, TimeoutError, until } from "./shell.ts";
import type { Subject } from "./subject.ts";
import { WriterRun } from "./writer-run.ts";

/** What many runs of one fault cost. */
export interface Measurement {
  readonly subject: string;
  readonly fault: Fault;
  /** Largest write gap of each run, in ms; a run without a gap worth naming counts 0. */
  readonly gapsMs: readonly number[];
  readonly acked: number;
  readonly unknown: number;
  readonly lost: number;
  readonly unexpected: number;
  readonly outOfOrder: number;
  /** The subject was not whole again in time after its last fault, and got no further one. */
  readonly isBroken: boolean;
}

/** How to measure. */
export interface MeasureOptions {
  /** Faults into each subject, or into each by its place; spread evenly over the rounds. */
  readonly runs: number | readonly number[];
  /** Least time after a fault until it is healed; in any case the client writes again before. */
  readonly watchMs: number;
  /** Quiet time of a subject between two faults: a leader must have stayed a while, or the failover budget rightly steps in. */
  readonly quietMs: number;
  readonly onRun?: (subject: Subject, run: number, description: string) => void;
}

const UNHEALTHY_AFTER_MS = 180_000;

/** Runs the measurement of one subject. */
export async function measure(subject: Subject, fault: Fault, options: MeasureOptions): Promise<Measurement> {
  const [result] = await measureInTurns([subject], fault, options);
  if (result === undefined) throw new Error("one subject gives one result");
  return result;
}

/** Runs the measurement of several subjects that take turns: each is left alone while the others are broken. */
export async function measureInTurns(
  subjects: readonly Subject[],
  fault: Fault,
  options: MeasureOptions,
): Promise<Measurement[]> {
  const bouts = subjects.map((subject) => new Bout(subject, fault, options));
  for (const bout of bouts) await bout.start();
  const runs = bouts.map((_, at) => (typeof options.runs === "number" ? options.runs : (options.runs[at] ?? 0)));
  const rounds = Math.max(...runs);
  for (let round = 1; round <= rounds; round++) {
    for (const [at, bout] of bouts.entries()) {
      const [before, after] = [round - 1, round].map((done) => Math.floor((done * (runs[at] ?? 0)) / rounds));
      if (after !== before && !bout.isBroken) await bout.run();
    }
  }
  const results: Measurement[] = [];
  for (const bout of bouts) results.push(await bout.finish());
  return results;
}

/** One subject with its client and the windows in which its faults showed. */
class Bout {
  readonly #subject: Subject;
  readonly #fault: Fault;
  readonly #options: MeasureOptions;
  readonly #writer: WriterRun;
  readonly #windows: { readonly fromMs: number; readonly toMs: number }[] = [];
  #quietSinceMs = 0;
  #isBroken = false;

  constructor(subject: Subject, fault: Fault, options: MeasureOptions) {
    this.#subject = subject;
    this.#fault = fault;
    this.#options = options;
    // It writes until its pod is deleted, and then says its verdict.
    this.#writer = new WriterRun({ ...subject.writer, name: `writer-${fault}`, seconds: 0 });
  }

  async start(): Promise<void> {
    await this.#subject.untilHealthy(UNHEALTHY_AFTER_MS);
    await this.#writer.start();
  }

  get isBroken(): boolean {
    return this.#isBroken;
  }

  async run(): Promise<void> {
    const { watchMs, quietMs, onRun } = this.#options;
    // Another subject's node may have been cut meanwhile: whole first, then quiet.
    await this.#subject.untilHealthy(UNHEALTHY_AFTER_MS);
    await pause(Math.max(0, this.#quietSinceMs + quietMs - Date.now()));
    const injected = await inject(this.#fault, this.#subject);
    onRun?.(this.#subject, this.#windows.length + 1, injected.description);
    await pause(watchMs);
    const watchedMs = injected.atMs + watchMs;
    await until("writes to go on", UNHEALTHY_AFTER_MS, async () => {
      const { lastTick } = this.#writer;
      return lastTick !== undefined && lastTick.atMs > watchedMs && lastTick.newly > 0 ? true : undefined;
    });
    await injected.heal();
    try {
      await this.#subject.untilHealthy(UNHEALTHY_AFTER_MS);
    } catch (error) {
      if (!(error instanceof TimeoutError)) throw error;
      this.#isBroken = true;
    }
    this.#quietSinceMs = Date.now();
    this.#windows.push({ fromMs: injected.atMs, toMs: this.#quietSinceMs });
  }

  async finish(): Promise<Measurement> {
    const verdict = await this.#writer.finish();
    const gapsMs = this.#windows.map(({ fromMs, toMs }) => {
      const gaps = verdict.gaps.filter((gap) => gap.atMs + gap.ms > fromMs && gap.atMs < toMs);
      return Math.max(0, ...gaps.map((gap) => gap.ms));
    });
    const { acked, unknown, lost, unexpected, outOfOrder } = verdict;
    const counts = { acked, unknown, lost, unexpected, outOfOrder };
    return { subject: this.#subject.name, fault: this.#fault, gapsMs, ...counts, isBroken: this.#isBroken };
  }
}
