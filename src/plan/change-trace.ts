// The trace of a change: found anew from the ClusterSpec alone, so that every replica and every agent adds to the same one.
import { ANNOTATION_TRACEPARENT } from "../api/names.ts";
import { formatTraceparent } from "../api/traceparent.ts";
import type { TraceContext } from "../build/context.ts";
import { contentHash } from "../build/hash.ts";
import type { ClusterView, Observation } from "./observation.ts";

/** The trace that what is done for a cluster belongs to; undefined while nobody asked for traces. A shard's is that of the whole. */
export function traceOf({ settings }: Pick<Observation, "settings">, cluster: ClusterView): TraceContext | undefined {
  const { uid, generation, changedMs, annotations, intent } = cluster;
  if (settings.tracesUrl === undefined || changedMs === undefined) return undefined;
  const ofWhole = intent.shard === undefined ? undefined : annotations[ANNOTATION_TRACEPARENT];
  const part = (of: string) => contentHash({ uid, generation, changedMs, of });
  const rest = `${part("trace")}${part("rest of trace")}`.slice(0, 24);
  return {
    traceparent: ofWhole ?? formatTraceparent(changedMs, rest, part("span")),
    collectorUrl: settings.tracesUrl,
  };
}
