// The kinds of the API group and how each appears in kubectl.
import type { z } from "zod";
import { ClusterOperation } from "../../src/api/cluster-operation.ts";
import { ClusterSpec } from "../../src/api/cluster-spec.ts";
import { Engine } from "../../src/api/engine.ts";

/** A column of `kubectl get`; priority 1 shows with `-o wide` only. */
export interface PrinterColumn {
  readonly name: string;
  readonly type: "string" | "integer" | "date";
  readonly jsonPath: string;
  readonly description?: string;
  readonly priority?: 1;
}

/** What a CRD says beside its schema. */
export interface KindDefinition {
  readonly kind: string;
  readonly plural: string;
  readonly shortNames: readonly string[];
  readonly scope: "Namespaced" | "Cluster";
  /** The whole object, with `spec` and maybe `status` among its fields. */
  readonly schema: z.ZodObject;
  readonly printerColumns: readonly PrinterColumn[];
  readonly scale?: { specReplicasPath: string; statusReplicasPath: string; labelSelectorPath: string };
  readonly selectableFields?: readonly string[];
}

const AGE: PrinterColumn = { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" };

/** The kinds, in the order of the manual. */
export const KINDS: readonly KindDefinition[] = [
  {
    kind: "ClusterSpec",
    plural: "clusterspecs",
    shortNames: ["qcs"], // `cs` is ComponentStatus
    scope: "Namespaced",
    schema: ClusterSpec,
    printerColumns: [
      { name: "Topology", type: "string", jsonPath: ".spec.topology" },
      { name: "Engine", type: "string", jsonPath: ".spec.engine.name" },
      {
        name: "Ready",
        type: "string",
        jsonPath: ".status.readyRatio",
        description: "Ready members / desired members.",
      },
      { name: "Leader", type: "string", jsonPath: ".status.leader" },
      { name: "Change", type: "string", jsonPath: ".status.change", description: "Change in progress." },
      {
        name: "Blocked",
        type: "string",
        jsonPath: ".status.blocked[0].guard",
        description: "Guard that holds the next step back; status.blocked says why, and what lets it pass.",
      },
      {
        name: "SLO",
        type: "string",
        jsonPath: ".status.budgetLeft",
        description: "Error budget that is left.",
      },
      {
        name: "Status",
        type: "string",
        jsonPath: '.status.conditions[?(@.type=="Ready")].reason',
        description: "Reason of the Ready condition.",
      },
      AGE,
      { name: "Epoch", type: "integer", jsonPath: ".status.epoch", priority: 1 },
      { name: "Version", type: "string", jsonPath: ".spec.engine.version", priority: 1 },
    ],
    scale: {
      specReplicasPath: ".spec.members",
      statusReplicasPath: ".status.readyMembers",
      labelSelectorPath: ".status.selector",
    },
    selectableFields: [".spec.engine.name", ".spec.topology"],
  },
  {
    kind: "Engine",
    plural: "engines",
    shortNames: ["qe"],
    scope: "Cluster",
    schema: Engine,
    printerColumns: [
      { name: "Topologies", type: "string", jsonPath: ".spec.topologies" },
      { name: "Versions", type: "string", jsonPath: ".spec.versions[*].version" },
      AGE,
      { name: "Description", type: "string", jsonPath: ".spec.description", priority: 1 },
    ],
  },
  {
    kind: "ClusterOperation",
    plural: "clusteroperations",
    shortNames: ["qco"],
    scope: "Namespaced",
    schema: ClusterOperation,
    printerColumns: [
      { name: "Cluster", type: "string", jsonPath: ".spec.clusterName" },
      { name: "Type", type: "string", jsonPath: ".spec.type" },
      { name: "Phase", type: "string", jsonPath: ".status.phase" },
      AGE,
      { name: "Message", type: "string", jsonPath: ".status.message", priority: 1 },
    ],
    selectableFields: [".spec.clusterName"],
  },
];
