// The operator's part of the trace of a change: the change itself, the passes that follow it, and their steps.
import { whileChanging } from "../api/traceparent.ts";
import { traceOf } from "../plan/change-trace.ts";
import type { ClusterView, Observation } from "../plan/observation.ts";
import type { Step } from "../plan/plan.ts";
import type { Tracer } from "../telemetry/tracer.ts";
import { describeStep } from "./describe-step.ts";

/** Carries out the steps of a pass as a part of the change that they follow; long after it as a trace of their own. */
export function inChange(
  tracer: Tracer,
  seen: Observation,
  steps: readonly Step[],
  work: () => Promise<void>,
): Promise<void> {
  const { cluster } = seen;
  const trace = cluster === undefined ? undefined : traceOf(seen, cluster);
  if (cluster === undefined || trace === undefined) return work();
  const attributes = attributesOf(cluster);
  const { changedMs = seen.nowMs } = cluster;
  // A shard's change is the whole's, whose own pass notes it.
  if (cluster.status.observedGeneration !== cluster.generation && cluster.intent.shard === undefined) {
    const seconds = Math.max(0, seen.nowMs - changedMs) / 1000;
    tracer.noteRoot({ name: "ClusterSpec changed", attributes, seconds }, trace.traceparent);
  }
  if (steps.length === 0) return work();
  return tracer.inTrace(whileChanging(trace.traceparent, seen.nowMs), { name: "reconcile", attributes }, work);
}

/** Carries out a step as a part of its pass. */
export function inStep(tracer: Tracer, step: Step, work: () => Promise<void>): Promise<void> {
  const { action = "", kind = "", ...attributes } = describeStep(step);
  return tracer.inSpan({ name: `${action} ${kind}`.trim(), attributes: { action, kind, ...attributes } }, work);
}

function attributesOf({ namespace, name, generation }: ClusterView): Readonly<Record<string, string | number>> {
  return { namespace, cluster: name, generation };
}
