// The HorizontalPodAutoscaler of Kubernetes as its documentation has it (algorithm, tolerance, stabilization, policies), on members
// that share a load evenly. It reads the very object that the operator writes.
import { parseQuantity } from "../../../src/build/quantity.ts";
import type { Manifest } from "../../../src/build/manifest.ts";

interface Rules {
  readonly stabilizationWindowSeconds: number;
  readonly policies: readonly {
    readonly type: "Percent" | "Pods";
    readonly value: number;
    readonly periodSeconds: number;
  }[];
}

interface AutoscalerSpec {
  readonly minReplicas: number;
  readonly maxReplicas: number;
  readonly metrics: readonly {
    readonly containerResource: { readonly target: { readonly averageUtilization: number } };
  }[];
  readonly behavior: { readonly scaleUp: Rules; readonly scaleDown: Rules };
}

const SYNC_SECONDS = 15;
const TOLERANCE = 0.1;

/** One change of the number of members. */
export interface Scaling {
  readonly second: number;
  readonly from: number;
  readonly to: number;
}

/** The changes over `seconds` of a load. @param loadCores - What all members together use at a second. */
export function autoscale(
  manifest: Manifest,
  requestCpu: string,
  seconds: number,
  loadCores: (second: number) => number,
): readonly Scaling[] {
  const spec = manifest["spec"] as AutoscalerSpec;
  const target = spec.metrics[0]?.containerResource.target.averageUtilization ?? 0;
  const request = parseQuantity(requestCpu);
  const changes: Scaling[] = [];
  const wanted: { readonly second: number; readonly count: number }[] = [];
  let now = spec.minReplicas;
  for (let second = 0; second < seconds; second += SYNC_SECONDS) {
    const ratio = (100 * loadCores(second)) / (now * request) / target;
    const raw = Math.abs(ratio - 1) <= TOLERANCE ? now : Math.ceil(now * ratio);
    wanted.push({ second, count: raw });
    const within = (window: number) => wanted.filter((one) => one.second >= second - window).map(({ count }) => count);
    const up = Math.min(...within(spec.behavior.scaleUp.stabilizationWindowSeconds));
    const down = Math.max(...within(spec.behavior.scaleDown.stabilizationWindowSeconds));
    const stable = now < up ? up : Math.min(now, down);
    const next = bounded(spec, limited(spec, { second, now, stable }, changes));
    if (next !== now) changes.push({ second, from: now, to: next });
    now = next;
  }
  return changes;
}

function bounded({ minReplicas, maxReplicas }: AutoscalerSpec, count: number): number {
  return Math.min(maxReplicas, Math.max(minReplicas, count));
}

function limited(
  { behavior }: AutoscalerSpec,
  { second, now, stable }: { readonly second: number; readonly now: number; readonly stable: number },
  changes: readonly Scaling[],
): number {
  const started = (periodSeconds: number) => {
    const recent = changes.filter((change) => change.second > second - periodSeconds);
    return recent.reduce((count, { from, to }) => count - (to - from), now);
  };
  if (stable > now) {
    const limits = behavior.scaleUp.policies.map(({ type, value, periodSeconds }) => {
      const start = started(periodSeconds);
      return type === "Pods" ? start + value : Math.ceil(start * (1 + value / 100));
    });
    return Math.min(stable, Math.max(now, ...limits));
  }
  if (stable < now) {
    const limits = behavior.scaleDown.policies.map(({ type, value, periodSeconds }) => {
      const start = started(periodSeconds);
      return type === "Pods" ? start - value : Math.floor(start * (1 - value / 100));
    });
    return Math.max(stable, Math.min(now, ...limits));
  }
  return now;
}

/** How often the number turned from growing to shrinking or back. */
export function turns(changes: readonly Scaling[]): number {
  const directions = changes.map(({ from, to }) => Math.sign(to - from));
  return directions.filter((direction, at) => at > 0 && direction !== directions[at - 1]).length;
}
