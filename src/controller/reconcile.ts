// One pass over one key, and the only function that knows all stages: observe ▸ plan ▸ act ▸ status.
import type { Clock } from "../clock.ts";
import { OperatorError } from "../errors.ts";
import type { KubeApi } from "../kube/api.ts";
import type { OwnWrites } from "../kube/own-writes.ts";
import type { KubeObject, Stored } from "../kube/object.ts";
import { act, type Ledger } from "../act/act.ts";
import type { SecretSource } from "../act/secret-source.ts";
import { writeStatus } from "../act/status-writer.ts";
import type { Measurer } from "../observe/measurer.ts";
import type { NamedObjects } from "../observe/named-objects.ts";
import { observe } from "../observe/observe.ts";
import type { Stores } from "../observe/stores.ts";
import type { BuildSettings } from "../build/context.ts";
import type { ClusterView, Observation } from "../plan/observation.ts";
import type { Plan, Step } from "../plan/plan.ts";
import { planCluster } from "../plan/plan-cluster.ts";
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
  readonly settings: BuildSettings;
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
  const { api, ownWrites, stores } = options;
  return async ({ key, failures, signal }) => {
    ownWrites.ensureSeen(key);
    const seen = await observe(options, key, signal);
    if (seen === undefined) {
      ownWrites.forget(key);
      options.onGone(key);
      return { requeueAfterMs: undefined, steps: 0, wroteStatus: false };
    }
    const plan = planCluster(seen);
    let thrown: unknown;
    try {
      await act(options, plan.steps, ledgerOf(options, key), signal);
    } catch (error) {
      thrown = error;
    }
    const written = await report(api, seen, plan, { thrown, failures, signal });
    if (written !== undefined) ownWrites.wroteAt(key, stores.of("ClusterSpec"), written);
    if (thrown !== undefined) throw thrown;
    if (seen.cluster === undefined) options.onGone(key);
    else options.onPlan(seen, seen.cluster, plan);
    return { requeueAfterMs: plan.requeueAfterMs, steps: plan.steps.length, wroteStatus: written !== undefined };
  };
}

interface Outcome {
  readonly thrown: unknown;
  readonly failures: number;
  readonly signal: AbortSignal;
}

/** Writes the status this pass leads to, whatever happened. @returns what was stored, if anything was written. */
async function report(
  api: KubeApi,
  seen: Observation,
  plan: Plan,
  { thrown, failures, signal }: Outcome,
): Promise<Stored<KubeObject> | undefined> {
  const { cluster } = seen;
  if (cluster === undefined || cluster.deleting || signal.aborted) return undefined;
  const failure = toFailure(thrown, failures);
  if (thrown !== undefined && failure === undefined) return undefined; // tried again in milliseconds
  return writeStatus(api, cluster, computeStatus(seen, cluster, plan, failure), signal);
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
      if (store !== undefined) ownWrites.wroteAt(key, store, object);
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
