// Metrics of the machinery that all programs share: API calls, watches, the queue, reconciliation, events.
// Base units, `_total` on counters, closed label sets known at start; names of objects and uids are never labels.
import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import { type ApiCall, VERBS } from "../kube/client.ts";
import type { EventOutcome } from "../kube/events.ts";
import { RECONNECT_REASONS, type ReflectorObserver } from "../kube/reflector.ts";
import { PRIORITIES, type QueueObserver } from "../queue/queue.ts";

const CODE_CLASSES = ["2xx", "4xx", "409", "429", "5xx", "none"] as const;
/** How a pass over a key ended. */
export const RECONCILE_RESULTS = ["success", "requeued", "retryable", "terminal", "bug"] as const;
export type ReconcileResult = (typeof RECONCILE_RESULTS)[number];
const EVENT_OUTCOMES: readonly EventOutcome[] = ["created", "counted", "limited", "failed"];

/** Observes API calls: pass the result as `observe` to KubeClient. `none` is a call without an answer. */
export function apiCallMetrics(registry: Registry): (call: ApiCall) => void {
  const registers = [registry];
  const seconds = new Histogram({
    name: "quorate_api_request_duration_seconds",
    help: "Duration of one request to the Kubernetes API, in seconds; of a watch, until it was accepted.",
    labelNames: ["verb"],
    buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers,
  });
  const total = new Counter({
    name: "quorate_api_requests_total",
    help: "Requests to the Kubernetes API by verb and class of answer; none means no answer came.",
    labelNames: ["verb", "code"],
    registers,
  });
  for (const verb of VERBS) {
    seconds.zero({ verb });
    for (const code of CODE_CLASSES) total.inc({ verb, code }, 0);
  }
  return (call) => {
    seconds.observe({ verb: call.verb }, call.seconds);
    total.inc({ verb: call.verb, code: codeClassOf(call.code) });
  };
}

/** Observes reflectors. What it returns is called once per reflector, with a name such as `pods` out of a set fixed at start. */
export function watchMetrics(
  registry: Registry,
): (resource: string, age: () => number) => Required<Omit<ReflectorObserver, "heard">> {
  const registers = [registry];
  const ages = new Map<string, () => number>();
  const reconnects = new Counter({
    name: "quorate_watch_reconnects_total",
    help: "Times a watch had to be opened again, by reason; Closed is the server's planned end.",
    labelNames: ["resource", "reason"],
    registers,
  });
  const failures = new Counter({
    name: "quorate_watch_sink_errors_total",
    help: "Exceptions thrown by receivers of watch events. Always a bug.",
    labelNames: ["resource"],
    registers,
  });
  const age = new Gauge({
    name: "quorate_watch_last_event_age_seconds",
    help: "Time since anything was heard on a watch, in seconds; the age of what this process knows.",
    labelNames: ["resource"],
    registers: [], // not prom-client's global one, which a second instance in this process would meet
    collect() {
      for (const [resource, ageMs] of ages) this.set({ resource }, ageMs() / 1000);
    },
  });
  registry.registerMetric(age);
  return (resource, ageMs) => {
    ages.set(resource, ageMs);
    failures.inc({ resource }, 0);
    for (const reason of RECONNECT_REASONS) reconnects.inc({ resource, reason }, 0);
    return {
      reconnecting: (reason) => reconnects.inc({ resource, reason }),
      sinkFailed: () => failures.inc({ resource }),
    };
  };
}

/** Observes a work queue: pass the result as its `observer`. */
export function queueMetrics(registry: Registry): QueueObserver {
  const registers = [registry];
  const depth = new Gauge({
    name: "quorate_queue_depth",
    help: "Keys that are ready and wait for a worker.",
    labelNames: ["priority"],
    registers,
  });
  const wait = new Histogram({
    name: "quorate_queue_wait_seconds",
    help: "Time a key was ready before a worker took it, in seconds.",
    labelNames: ["priority"],
    buckets: [0.001, 0.005, 0.025, 0.1, 0.5, 1, 5, 15, 60, 300],
    registers,
  });
  const retries = new Counter({
    name: "quorate_queue_retries_total",
    help: "Keys queued again after a failure.",
    registers,
  });
  for (const priority of PRIORITIES) {
    depth.set({ priority }, 0);
    wait.zero({ priority });
  }
  return {
    depth: (priority, keys) => depth.set({ priority }, keys),
    waited: (priority, seconds) => wait.observe({ priority }, seconds),
    retried: () => retries.inc(),
  };
}

/** Observes passes over keys. What it returns is called once per controller, and what that returns after every pass. */
export function reconcileMetrics(
  registry: Registry,
): (controller: string) => (result: ReconcileResult, seconds: number) => void {
  const registers = [registry];
  const total = new Counter({
    name: "quorate_reconcile_total",
    help: "Reconciliations by result; bug is an exception that was not thrown on purpose.",
    labelNames: ["controller", "result"],
    registers,
  });
  const duration = new Histogram({
    name: "quorate_reconcile_duration_seconds",
    help: "Duration of one reconciliation, in seconds.",
    labelNames: ["controller"],
    buckets: [0.005, 0.025, 0.1, 0.5, 1, 5, 15, 60],
    registers,
  });
  return (controller) => {
    duration.zero({ controller });
    for (const result of RECONCILE_RESULTS) total.inc({ controller, result }, 0);
    return (result, seconds) => {
      total.inc({ controller, result });
      duration.observe({ controller }, seconds);
    };
  };
}

/** Observes an event recorder: pass the result as its `observe`. */
export function eventMetrics(registry: Registry): (outcome: EventOutcome) => void {
  const total = new Counter({
    name: "quorate_events_recorded_total",
    help: "Kubernetes events by what became of them; limited ones were held back per object, failed ones are lost.",
    labelNames: ["outcome"],
    registers: [registry],
  });
  for (const outcome of EVENT_OUTCOMES) total.inc({ outcome }, 0);
  return (outcome) => total.inc({ outcome });
}

/** Whether this process leads, as a gauge of 0 and 1. */
export function leadershipMetrics(registry: Registry, isLeading: () => boolean): void {
  const leading = new Gauge({
    name: "quorate_operator_leading",
    help: "1 while this operator replica holds the leader Lease.",
    registers: [],
    collect() {
      this.set(isLeading() ? 1 : 0);
    },
  });
  registry.registerMetric(leading);
}

function codeClassOf(code: number): (typeof CODE_CLASSES)[number] {
  if (code === 0) return "none";
  if (code === 409) return "409";
  if (code === 429) return "429";
  if (code >= 500) return "5xx";
  return code >= 400 ? "4xx" : "2xx";
}
