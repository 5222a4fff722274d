// Takes keys from the queue and decides what becomes of each after its pass: the one place of all retry policy.
import { type Clock, type Random, sleep } from "../clock.ts";
import { OperatorError, RetryableError } from "../errors.ts";
import type { Priority, QueueItem, WorkQueue } from "../queue/queue.ts";
import { clusterLabels } from "../telemetry/cluster-registry.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { ReconcileResult } from "../telemetry/metrics.ts";
import type { Pass, PassResult } from "./reconcile.ts";

export interface WorkersOptions {
  readonly queue: WorkQueue;
  readonly reconcile: (pass: Pass) => Promise<PassResult>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly observe: (result: ReconcileResult, seconds: number) => void;
  /** Passes at the same time, each of another key. */
  readonly concurrency: number;
}

const RESYNC_MS = 600_000;

/**
 * Works until `signal` aborts; resolves when the passes under way have ended. One more worker than `concurrency` is kept
 * free for failovers: passes that the API server keeps waiting hold up each other, and no failover.
 */
export async function runWorkers(options: WorkersOptions, signal: AbortSignal): Promise<void> {
  const any = Array.from({ length: options.concurrency }, () => work(options, "resync", signal));
  await Promise.all([...any, work(options, "failover", signal)]);
}

async function work(options: WorkersOptions, least: Priority, signal: AbortSignal): Promise<void> {
  const { queue, clock } = options;
  for (;;) {
    const item = await queue.take(signal, least);
    if (item === undefined) return;
    const startMs = clock.monotonicMs();
    let result: ReconcileResult = "bug";
    try {
      const passed = await options.reconcile({ key: item.key, failures: item.failures, signal });
      result = settle(options, item, passed);
    } catch (error) {
      result = signal.aborted ? "success" : settleFailure(options, item, error);
    } finally {
      options.observe(result, (clock.monotonicMs() - startMs) / 1000);
      queue.done(item.key);
    }
    // A pass at rest waits for nothing, and thousands in a row would keep out news, renewals and probes.
    await sleep(clock, 0);
  }
}

function settle(
  { queue, random }: WorkersOptions,
  { key }: QueueItem,
  { requeueAfterMs }: PassResult,
): ReconcileResult {
  queue.forget(key);
  const resyncMs = RESYNC_MS * (0.9 + 0.2 * random()); // spread, so that not all clusters resync together
  queue.addAfter(
    key,
    Math.min(resyncMs, requeueAfterMs ?? resyncMs),
    requeueAfterMs === undefined ? "resync" : "change",
  );
  return requeueAfterMs === undefined ? "success" : "requeued";
}

function settleFailure({ queue, log }: WorkersOptions, item: QueueItem, error: unknown): ReconcileResult {
  const { key, failures } = item;
  const priority = item.priority === "failover" ? "failover" : "change"; // what failed once is no mere resync any more
  if (!(error instanceof OperatorError)) {
    queue.retry(key, 0, priority);
    log.error({ ...clusterLabels(key), err: error }, "Pass ended by a bug");
    return "bug";
  }
  if (error.retry === "never") {
    queue.forget(key);
    queue.addAfter(key, RESYNC_MS, "resync");
    log.error({ ...clusterLabels(key), err: error }, "Pass was refused and waits for a change");
    return "terminal";
  }
  const retryAfterMs = error instanceof RetryableError ? (error.retryAfterMs ?? 0) : 0;
  if (error.reason === "CacheBehindOwnWrites") {
    queue.addAfter(key, retryAfterMs, priority); // not a failure: nothing was tried
    return "requeued";
  }
  const delayMs = queue.retry(key, retryAfterMs, priority);
  const level = failures < 2 ? "debug" : "warn";
  log[level]({ ...clusterLabels(key), failures, delayMs, err: error }, "Pass failed and is tried again");
  return "retryable";
}
