// Advice about a cluster: what it could ask for instead, and why. Nothing here is ever applied by itself.
import { adviseLease, adviseProbes } from "./timing.ts";
import type { Facts } from "./facts.ts";
import { adviseMembers } from "./member-count.ts";
import { adviseCpu, adviseMemory, adviseVolume } from "./rightsizing.ts";

/** A field of the ClusterSpec by its path from the root of the object, and what to set it to. */
export type Setting = readonly [path: string, value: string | number];

/** One judgement. Unknown: what was seen is too little to say anything. */
export interface Advice {
  readonly subject: "Cpu" | "Memory" | "Volume" | "Members" | "Lease" | "Probes" | "Load" | "Size";
  readonly verdict: "Keep" | "Raise" | "Lower" | "Change" | "Unknown";
  /** What was seen, as a clause with its figures. */
  readonly found: string;
  /** What to set; nothing where it is to be kept. */
  readonly settings: readonly Setting[];
}

/** Judges everything that can be judged, in the order in which it costs money. */
export function adviseCluster(facts: Facts): readonly Advice[] {
  return [adviseCpu, adviseMemory, adviseVolume, adviseMembers, adviseLease, adviseProbes].map((advise) =>
    advise(facts),
  );
}

/** The settings as a merge patch of the ClusterSpec. */
export function toPatch(settings: readonly Setting[]): Readonly<Record<string, unknown>> {
  const patch: Record<string, unknown> = {};
  for (const [path, value] of settings) {
    const fields = path.split(".");
    const last = fields.pop() ?? "";
    let at = patch;
    for (const field of fields) at = (at[field] ??= {}) as Record<string, unknown>;
    at[last] = value;
  }
  return patch;
}
