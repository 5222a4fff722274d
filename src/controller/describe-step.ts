import type { Step } from "../plan/plan.ts";

/** What a step does, for logs and traces. */
export function describeStep(step: Step): Record<string, string> {
  const { kind: action, reason } = step;
  if ("manifest" in step) {
    const { kind, metadata } = step.manifest;
    return { action, kind, name: metadata.name, reason };
  }
  if ("object" in step) return { action, kind: step.object.kind, name: step.object.name, reason };
  return { action, name: "metadata" in step ? step.metadata.name : step.name, reason };
}
