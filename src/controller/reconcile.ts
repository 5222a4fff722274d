// One pass over one key, and the only function that knows all stages: observe ▸ plan ▸ act ▸ status.
import type { AgentBundle } from "../agent-bundle.ts";
import type { Clock } from "../clock.ts";
import { OperatorError } from "../errors.ts";
import type { KubeApi } from "../kube/api.ts";
import type { OwnWrites } from "../kube/own-writes.ts";
import { act, type Ledger } from "../act/act.ts";
import type { SecretSource } from "../act/secret-source.ts";
import { type StatusOutcome, type StatusWriter, UNREPORTED } from "../act/status-writer.ts";
import type { Measurer } from "../observe/measurer.ts";
import type { NamedObjects } from "../observe/named-objects.ts";
import { readLive } from "../observe/live-stores.ts";
import { observe } from "../observe/observe.ts";
import type { Stores } from "../observe/stores.ts";
import type { BuildSettings } from "../build/context.ts";
import type { ClusterView, Observation } from "../plan/observation.ts";
import { cannotBeTakenBack, type Plan, type Step } from "../plan/plan.ts";
import { planCluster } from "../plan/plan-cluster.ts";
import type { Tracer } from "../telemetry/tracer.ts";
import { inChange, inStep } from "./change-spans.ts";
import { computeStatus, type Failure } from "../status/status.ts";

/** What a pass needs to know beside its key. */
export interface Pass {
  readonly key: string;
  /** How often this key failed in a row before. */
  readonly failures: number;
  readonly signal: AbortSignal;
}

/** How a pass ended, when it did not throw. */
export interface PassResult {
  /** Look again after so long; absent: only when something changes. */
  readonly requeueAfterMs: number | undefined;
  /** Number of steps carried out and whether status was written; 0 and false at rest. */
  readonly steps: number;
  readonly wroteStatus: boolean;
}

export interface ReconcilerOptions {
  readonly api: KubeApi;
  readonly clock: Clock;
  readonly secretSource: SecretSource;
  readonly stores: Stores;
  readonly named: NamedObjects;
  readonly measurer: Pick<Measurer, "of">;
  readonly ownWrites: OwnWrites;
  readonly statuses: StatusWriter;
  readonly settings: BuildSettings;
  /** The agent that `settings` say can be offered. */
  readonly agentBundle?: AgentBundle | undefined;
  readonly tracer: Tracer;
  /** A step was carried out. */
  readonly onStep: (key: string, step: Step) => void;
  /** A pass came to its end; for events. Not called for a cluster that is gone. */
  readonly onPlan: (seen: Observation, cluster: ClusterView, plan: Plan) => void;
  /** There is no such cluster (any more). */
  readonly onGone: (key: string) => void;
}

const FAILURES_BEFORE_REPORT = 3; // a lost race passes by itself and would only make the status flicker

/** Makes the function that reconciles one cluster. It throws what kept the pass from its end, after status was written. */
export function reconciler(options: ReconcilerOptions): (pass: Pass) => Promise<PassResult> {
  const { ownWrites, stores, statuses, tracer } = options;
  return async ({ key, failures, signal }) => {
    ownWrites.ensureSeen(key);
    const look = await lookAt(options, key, signal);
    if (look === undefined) {
      ownWrites.forget(key);
      statuses.forget(key);
      options.onGone(key);
      return { requeueAfterMs: undefined, steps: 0, wroteStatus: false };
    }
    const { observed, seen, plan } = look;
    let thrown: unknown;
    try {
      const actor = { ...options, traced: (step: Step, work: () => Promise<void>) => inStep(tracer, step, work) };
      await inChange(tracer, seen, plan.steps, () => act(actor, plan.steps, ledgerOf(options, key), signal));
    } catch (error) {
      thrown = error;
    }
    const { written, dueInMs } = await report(statuses, { observed, seen, plan, thrown, failures, signal });
    if (written !== undefined) ownWrites.wroteAt(key, stores.of("ClusterSpec"), written);
    if (thrown !== undefined) throw thrown;
    if (seen.cluster === undefined) options.onGone(key);
    else options.onPlan(seen, seen.cluster, plan);
    const requeueAfterMs = soonest(plan.requeueAfterMs, dueInMs);
    return { requeueAfterMs, steps: plan.steps.length, wroteStatus: written !== undefined };
  };
}

interface Look {
  /** As it was read. */
  readonly observed: Observation;
  /** With what was reported last. */
  readonly seen: Observation;
  readonly plan: Plan;
}

/**
 * What is seen of a cluster, and what is to be done about it: judged by the caches, and once more by a live read when the first
 * judgement comes to a step that cannot be taken back.
 */
async function lookAt(options: ReconcilerOptions, key: string, signal: AbortSignal): Promise<Look | undefined> {
  const { api, stores, statuses } = options;
  const heard = judge(await observe(options, key, signal), statuses);
  if (heard === undefined || !heard.plan.steps.some(cannotBeTakenBack)) return heard;
  const live = await readLive(api, stores, heard.observed, signal);
  return judge(await observe({ ...options, stores: live }, key, signal), statuses);
}

function judge(observed: Observation | undefined, statuses: StatusWriter): Look | undefined {
  if (observed === undefined) return undefined;
  const seen = withLastStatus(observed, statuses);
  return { observed, seen, plan: planCluster(seen) };
}

/** What is told and counted is what is new since the last report, also while that waits to be written. */
function withLastStatus(seen: Observation, statuses: StatusWriter): Observation {
  const { cluster } = seen;
  if (cluster === undefined) return seen;
  const status = statuses.lastOf(cluster);
  return status === cluster.status ? seen : { ...seen, cluster: { ...cluster, status } };
}

interface Report extends Look {
  readonly thrown: unknown;
  readonly failures: number;
  readonly signal: AbortSignal;
}

/** Reports the status that this pass leads to, whatever happened. */
async function report(statuses: StatusWriter, passed: Report): Promise<StatusOutcome> {
  const { observed, seen, plan, thrown, failures, signal } = passed;
  const failure = toFailure(thrown, failures);
  const isTriedAgain = thrown !== undefined && failure === undefined; // in milliseconds
  if (observed.cluster === undefined || seen.cluster === undefined || observed.cluster.deleting) return UNREPORTED;
  if (isTriedAgain || signal.aborted) return UNREPORTED;
  return statuses.write(observed.cluster, computeStatus(seen, seen.cluster, plan, failure), signal);
}

function soonest(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.min(a, b);
}

function toFailure(thrown: unknown, failures: number): Failure | undefined {
  if (thrown === undefined) return undefined;
  if (!(thrown instanceof OperatorError)) {
    return { reason: "InternalError", message: "quorate met a bug; see its log.", terminal: false };
  }
  const terminal = thrown.retry === "never";
  if (!terminal && failures < FAILURES_BEFORE_REPORT) return undefined;
  return { reason: thrown.reason, message: thrown.message, terminal };
}

function ledgerOf({ stores, ownWrites, named, onStep }: ReconcilerOptions, key: string): Ledger {
  return {
    wrote: (object) => {
      const store = stores.find(object.kind);
      if (store === undefined) named.wrote(key, object);
      else ownWrites.wroteAt(key, store, object);
    },
    deleted: ({ kind, uid }) => {
      const store = stores.find(kind);
      const object = store?.getByUid(uid);
      if (store !== undefined && object !== undefined) ownWrites.deletedAt(key, store, object);
    },
    changedNamed: () => named.forget(key),
    acted: (step) => onStep(key, step),
  };
}
