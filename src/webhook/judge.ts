// What is said of a ClusterSpec that somebody is about to write, beyond what the API server's own rules can say: whether its Engine
// knows what it asks for, and which of the twenty mistakes it makes. Pure. The planner judges the same things again, with the same
// words: what slips through here is held back there.
import { judge } from "../checklist/checklist.ts";
import type { Facts } from "../checklist/facts.ts";
import { MISTAKES } from "../checklist/mistakes.ts";
import type { ClusterSpec } from "../api/cluster-spec.ts";
import type { EngineSpec } from "../api/engine.ts";
import { resolveVersion } from "../build/context.ts";
import type { Guard } from "../plan/guards.ts";
import { type IntentProblem, intentProblems } from "../plan/preflight.ts";
import { upgradeProblem } from "../plan/upgrade-path.ts";

/** A ClusterSpec, and the Engine that it names; undefined when there is none. */
export interface Proposal {
  readonly cluster: ClusterSpec;
  readonly engine: EngineSpec | undefined;
}

/** What is said. A refusal names the field and the fix. */
export interface Judgement {
  readonly refusal?: { readonly field: string; readonly message: string };
  readonly warnings: readonly string[];
}

const FIELDS: Partial<Record<Guard, string>> = {
  EngineKnown: "spec.engine.name",
  VersionKnown: "spec.engine.version",
  UpgradePathAllowed: "spec.engine.version",
  TopologySupported: "spec.topology",
  ShardTlsSupported: "spec.sharding.tls",
  ParametersAllowed: "spec.parameters",
  DurabilitySupported: "spec.durability.mode",
  AccountsSupported: "spec.accounts",
  RestoreSupported: "spec.restore",
  RequestsCounted: "spec.slo.dataPlane.requestErrorPercent",
  WindowsValid: "spec.maintenanceWindows",
};

/**
 * Judges what is about to be written.
 *
 * @param before - What it replaces. What was wrong already neither refuses nor warns again: whoever changes something else, or
 * mends one of two things, must be able to. What is wrong beside it is refused all the same.
 */
export function judgeProposal(proposal: Proposal, before: Proposal | undefined): Judgement {
  const former = before === undefined ? [] : problems(before);
  const news = problems(proposal).filter((one) => !former.some((known) => isPartOf(one, known)));
  const problem = news[0] ?? jump(proposal, before);
  const warnings = [...mistakes(proposal), ...irreversible(proposal, before)];
  const known = before === undefined ? [] : mistakes(before);
  const newWarnings = warnings.filter((warning) => !known.includes(warning));
  if (problem === undefined) return { warnings: newWarnings };
  return { refusal: { field: FIELDS[problem.guard] ?? "spec", message: problem.message }, warnings: newWarnings };
}

function problems({ cluster, engine }: Proposal): readonly IntentProblem[] {
  return intentProblems(cluster.spec, engine);
}

function isPartOf(problem: IntentProblem, known: IntentProblem): boolean {
  return problem.guard === known.guard && problem.values.every((value) => known.values.includes(value));
}

/**
 * An update that the Engine has no path for. Only where the operator has said that all members run what the spec asked for: a change that
 * is under way can be taken back, and which version members are at then, the planner knows. It judges shards as well, whose ClusterSpecs
 * the operator writes.
 */
function jump(
  { cluster, engine }: Proposal,
  before: Proposal | undefined,
): Pick<IntentProblem, "guard" | "message"> | undefined {
  if (engine === undefined || before === undefined || cluster.spec.shard !== undefined) return undefined;
  if (before.cluster.spec.engine.name !== cluster.spec.engine.name || !runsItsSpec(before.cluster)) return undefined;
  const from = resolveVersion(before.cluster.spec, before.engine ?? engine)?.version;
  const to = resolveVersion(cluster.spec, engine)?.version;
  const problem = from === undefined || to === undefined ? undefined : upgradeProblem(cluster.spec, engine, from, to);
  return problem === undefined ? undefined : { guard: "UpgradePathAllowed", message: problem.message };
}

function runsItsSpec({ metadata, spec, status }: ClusterSpec): boolean {
  if (status?.observedGeneration === undefined || status.observedGeneration !== metadata.generation) return false;
  if (spec.topology !== "Sharded") return status.rollout?.phase === "Complete";
  return status.conditions?.some(({ type, status: value }) => type === "Ready" && value === "True") === true;
}

/** What the spec alone shows of the twenty mistakes. */
function mistakes({ cluster, engine }: Proposal): readonly string[] {
  if (cluster.spec.topology === "Stateless") return []; // the list is about members that keep something
  return judge(MISTAKES, factsOf(cluster, engine))
    .filter(({ result }) => result === "Warn" || result === "Fail")
    .map(({ title, found, fix }) => `${title}: ${found}${fix === undefined ? "" : `; ${fix}`}`);
}

/** A checklist says nothing about what it does not see. */
function factsOf(cluster: ClusterSpec, engine: EngineSpec | undefined): Facts {
  return {
    nowMs: 0,
    cluster,
    engine,
    nodes: undefined,
    storageClass: undefined,
    operator: undefined,
    operatorRules: undefined,
    pods: undefined,
    hasBudget: undefined,
    hasFlowSchema: undefined,
    hasEpochPolicies: undefined,
    monitors: undefined,
    operations: undefined,
    neighbours: undefined,
  };
}

/** An update that the Engine says cannot be taken back. */
function irreversible({ cluster, engine }: Proposal, before: Proposal | undefined): readonly string[] {
  if (engine === undefined || before?.engine === undefined) return [];
  const to = resolveVersion(cluster.spec, engine)?.version;
  const from = resolveVersion(before.cluster.spec, before.engine)?.version;
  const { irreversibleFrom = [] } = engine.versions.find(({ version }) => version === to) ?? {};
  if (from === undefined || from === to || !irreversibleFrom.includes(from)) return [];
  return [
    `spec.engine.version ${to ?? ""}: members cannot go back to ${from} once it led, and the update waits for your consent; take a backup before`,
  ];
}
