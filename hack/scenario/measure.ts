/** Injects one fault again and again under one client and takes the write gap of each. */
import { type Fault, inject } from "./faults.ts";
import { pause } from "./shell.ts";
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
}

/** How to measure. */
export interface MeasureOptions {
  readonly runs: number;
  /** Time after a fault in which its gap must show; then it is healed. */
  readonly watchMs: number;
  /** Quiet time after healing: a leader must have stayed a while, or the failover budget rightly steps in. */
  readonly quietMs: number;
  readonly onRun?: (run: number, description: string) => void;
}

const UNHEALTHY_AFTER_MS = 180_000;

/** Runs the measurement. */
export async function measure(subject: Subject, fault: Fault, options: MeasureOptions): Promise<Measurement> {
  await subject.untilHealthy(UNHEALTHY_AFTER_MS);
  // The writer is told to stop by its pod's deletion of time: it gets more than it can need and is asked for its verdict.
  const writer = new WriterRun({ ...subject.writer, name: `writer-${fault}`, seconds: 0 });
  await writer.start();
  const windows: { fromMs: number; toMs: number }[] = [];
  for (let run = 1; run <= options.runs; run++) {
    const injected = await inject(fault, subject);
    options.onRun?.(run, injected.description);
    await pause(options.watchMs);
    await injected.heal();
    await subject.untilHealthy(UNHEALTHY_AFTER_MS);
    windows.push({ fromMs: injected.atMs, toMs: Date.now() });
    await pause(options.quietMs);
  }
  const verdict = await writer.finish();
  const gapsMs = windows.map(({ fromMs, toMs }) => {
    const gaps = verdict.gaps.filter((gap) => gap.atMs + gap.ms > fromMs && gap.atMs < toMs);
    return Math.max(0, ...gaps.map((gap) => gap.ms));
  });
  const { acked, unknown, lost, unexpected, outOfOrder } = verdict;
  return { subject: subject.name, fault, gapsMs, acked, unknown, lost, unexpected, outOfOrder };
}
