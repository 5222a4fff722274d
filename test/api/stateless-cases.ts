// What the API server must refuse of topology Stateless, each with its exact words.
import { actions, creation, type Creation, minimalCluster, minimalEngine, type NamedObject } from "./crd-cases.ts";

/** The least that an Engine of topology Stateless says, with `spec` merged over it. */
export function statelessEngine(spec: object = {}, name = "tiny"): NamedObject {
  const probes = { ready: { path: "/ready" } };
  return minimalEngine({ topologies: ["Stateless"], actions: undefined, probes, ...spec }, name);
}

/** What must not come into being, in the order in which the fields stand in the manual. */
export const statelessCreations: readonly Creation[] = [
  creation(
    "backups in topology Stateless",
    minimalCluster({
      topology: "Stateless",
      backup: { s3: { endpoint: "https://store.example", bucket: "copies", secretName: "store" } },
    }),
    "spec.backup: backup is of no use in topology Stateless, whose members keep no data: leave backup out",
  ),
  ...[
    { field: "durability", spec: { durability: { mode: "Async" } }, why: "whose members keep no data" },
    { field: "failover", spec: { failover: { profile: "Fast" } }, why: "which has no leader" },
    { field: "storage", spec: { storage: { data: { size: "1Gi" } } }, why: "whose members keep no data" },
    {
      field: "volumeRetention",
      spec: { deletionProtection: false, volumeRetention: { whenDeleted: "Delete" } },
      why: "whose members keep no data",
    },
    {
      field: "disruption",
      spec: { disruption: { singleMember: "Block" } },
      why: "where Kubernetes replaces members by itself",
    },
    {
      field: "update.maxUnavailable",
      spec: { members: 5, update: { maxUnavailable: 2 } },
      why: "which adds members by serving.surgePercent first",
    },
    {
      field: "update.partition",
      spec: { update: { partition: 1 } },
      why: "where a canary is a number of members of its own",
    },
    {
      field: "update.jitterSeconds",
      spec: { update: { jitterSeconds: 1 } },
      why: "where serving.startJitterSeconds spreads starts",
    },
    {
      field: "update.switchoverDeadlineSeconds",
      spec: { update: { switchoverDeadlineSeconds: 10 } },
      why: "which has no leader",
    },
    {
      field: "update.onSwitchoverFailure",
      spec: { update: { onSwitchoverFailure: "Proceed" } },
      why: "which has no leader",
    },
    ...[
      { field: "dataPlane.requestErrorPercent", slo: { dataPlane: { requestErrorPercent: "1" } } },
      { field: "dataPlane.latencyP95Milliseconds", slo: { dataPlane: { latencyP95Milliseconds: 200 } } },
      { field: "dataPlane.errorPercent", slo: { dataPlane: { errorPercent: "1" } } },
      { field: "controlPlane.apiLatencyP95Milliseconds", slo: { controlPlane: { apiLatencyP95Milliseconds: 500 } } },
    ].map(({ field, slo }) => ({
      field: `slo.${field}`,
      spec: { slo },
      why: "where no agent measures anything; state it by queries in slo.objectives",
    })),
    ...["readWrite", "readOnly"].map((name) => ({
      field: `services.${name}`,
      spec: { services: { [name]: { type: "NodePort" } } },
      why: "which has one Service, -r, set up by services.read",
    })),
  ].map(({ field, spec, why }) =>
    creation(
      `${field} where it means nothing`,
      minimalCluster({ topology: "Stateless", ...spec }),
      `spec.${field}: ${field} does not apply in topology Stateless, ${why}: leave it out`,
    ),
  ),
  ...[["autoscaling", { maxMembers: 5 }] as const, ["serving", { drainSeconds: 5 }] as const].map(([field, value]) =>
    creation(
      `${field} of members that hold data`,
      minimalCluster({ [field]: value }),
      `spec.${field}: ${field} is for topology Stateless alone: members that hold data come and go one at a time, by spec.members; remove ${field}`,
    ),
  ),
  creation(
    "six members that hold data",
    minimalCluster({ members: 6 }),
    "spec.members: members must be at most 5 where members hold data: lower members",
  ),
  creation(
    "fewer members at the most than at the least",
    minimalCluster({ topology: "Stateless", members: 4, autoscaling: { maxMembers: 3 } }),
    "spec.autoscaling.maxMembers: autoscaling.maxMembers must be at least members, the smallest number: raise it, or lower members",
  ),
  creation(
    "a deadline that no update could keep",
    minimalCluster({ topology: "Stateless", update: { minReadySeconds: 60, progressDeadlineSeconds: 60 } }),
    "spec.update.progressDeadlineSeconds: update.progressDeadlineSeconds must be more than update.minReadySeconds, or every update would fail: raise it, or lower minReadySeconds",
  ),
  creation(
    "a measure that nobody takes",
    minimalCluster({
      topology: "Stateless",
      update: { canary: { analysis: [{ name: "errors", measure: "ErrorPercent", max: "1" }] } },
    }),
    "spec.update.canary.analysis: update.canary.analysis cannot use measure in topology Stateless, where no agent measures anything: use query",
  ),
  creation(
    "a metric of two kinds",
    minimalCluster({
      topology: "Stateless",
      autoscaling: { maxMembers: 9, metrics: [{ name: "m", cpuPercent: 60, podMetric: "busy", averageValue: "1" }] },
    }),
    "spec.autoscaling.metrics[0]: a metric needs either cpuPercent or podMetric: remove one or add the other",
  ),
  creation(
    "a metric without a value to keep",
    minimalCluster({
      topology: "Stateless",
      autoscaling: { maxMembers: 9, metrics: [{ name: "m", podMetric: "busy" }] },
    }),
    "spec.autoscaling.metrics[0]: podMetric and averageValue belong together: add the other, or remove both and use cpuPercent",
  ),
  ...[
    {
      field: "actions",
      spec: { actions: { reload: { exec: ["true"] } } },
      says: "actions are never run in topology Stateless, which runs no agent: remove them",
    },
    {
      field: "sessions",
      spec: { sessions: [{ name: "sql", command: ["sql"], markerStatement: "$(MARKER)" }] },
      says: "sessions are never opened in topology Stateless, which runs no agent: remove them",
    },
    {
      field: "accounts",
      spec: { accounts: [{ name: "app" }] },
      says: "accounts are created by nobody in topology Stateless, which runs no agent: remove them, and let the software read its own Secrets",
    },
    {
      field: "memberPort",
      spec: { memberPort: 81 },
      says: "memberPort is not for topology Stateless: members do not know each other; remove it",
    },
    {
      field: "stop.signal",
      spec: { stop: { signal: "SIGINT" } },
      says: "stop.signal must be SIGTERM in topology Stateless, where Kubernetes sends it: leave it out",
    },
    {
      field: "parameters.reloadable",
      spec: { parameters: { reloadable: ["level"] } },
      says: "parameters.reloadable cannot be reloaded in topology Stateless, which runs no agent: leave it empty; a change replaces the members",
    },
    {
      field: "versions",
      spec: { versions: [{ version: "2", image: "tiny:2", irreversibleFrom: ["1"] }] },
      says: "versions[].irreversibleFrom is about data, which topology Stateless does not have: remove it",
    },
    {
      field: "versions",
      spec: { versions: [{ version: "2", image: "tiny:2", upgradesFrom: [] }] },
      says: "versions[].upgradesFrom is about data, which topology Stateless does not have: remove it",
    },
    {
      field: "probes",
      spec: { probes: undefined },
      says: "probes are for topology Stateless, which needs them; in the others agents answer the probes: add probes, or remove them",
    },
  ].map(({ field, spec, says }) =>
    creation(`${field} of an engine without agents`, statelessEngine(spec), `spec.${field}: ${says}`),
  ),
  creation(
    "probes of an engine with agents",
    minimalEngine({ probes: { ready: { path: "/ready" } } }),
    "spec.probes: probes are for topology Stateless, which needs them; in the others agents answer the probes: add probes, or remove them",
  ),
  creation(
    "an engine that agents cannot look at",
    minimalEngine({ actions: { ...actions, observe: undefined } }),
    "spec.actions: actions need initialize, observe, reload in every topology but Stateless: declare those that are missing",
  ),
];
