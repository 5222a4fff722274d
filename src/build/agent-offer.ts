// The ConfigMap in which an operator offers its agent to members that run another. It is filled only while members take it.
import { nameOf } from "../api/names.ts";
import type { BuildContext } from "./context.ts";
import { ANNOTATION_APPLIED_HASH, child } from "./labels.ts";
import type { Manifest } from "./manifest.ts";

/** The object without the agent itself. @param hash - Of the agent that it is to hold; null: of none. */
export function buildAgentOffer(context: BuildContext, hash: string | null): Manifest {
  const empty = child(context, { apiVersion: "v1", kind: "ConfigMap" }, nameOf.agentOffer(context.name), {});
  const annotations = { [ANNOTATION_APPLIED_HASH]: hash ?? "" };
  return { ...empty, metadata: { ...empty.metadata, annotations } };
}
