// What must be true of a ClusterSpec and its Engine before anything is built from them.
import type { ClusterIntent } from "../api/cluster-spec.ts";
import type { EngineSpec } from "../api/engine.ts";
import { type BuildContext, keptContext, resolveVersion } from "../build/context.ts";
import { traceOf } from "./change-trace.ts";
import { isFleet } from "./fleet.ts";
import { windowProblem } from "./maintenance.ts";
import type { ClusterView, Observation } from "./observation.ts";
import { patchCommand } from "./override.ts";
import type { Block } from "./plan.ts";

/** Either everything that builders need, or why nothing can be built. */
export type Preflight =
  | { readonly ok: true; readonly context: BuildContext }
  | { readonly ok: false; readonly blocked: readonly Block[] };

/** Resolves engine, version and image, and checks what the API server cannot: rules across two objects. */
export function preflight(seen: Observation, cluster: ClusterView): Preflight {
  const { intent } = cluster;
  const { engine } = seen;
  const refuse = ({ guard, message, fix }: Omit<IntentProblem, "values">): Preflight => {
    const override = fix === undefined ? {} : { override: patchCommand(cluster, fix) };
    return { ok: false, blocked: [{ guard, object: cluster.name, message, ...override }] };
  };
  if (cluster.invalid !== undefined) {
    return refuse({ guard: "SpecValid", message: `The spec cannot be understood: ${cluster.invalid}.` });
  }
  const [problem] = intentProblems(intent, engine);
  const resolved = engine === undefined ? undefined : resolveVersion(intent, engine);
  if (engine === undefined || resolved === undefined || problem !== undefined)
    return refuse(problem ?? engineUnknown(intent));
  const trace = traceOf(seen, cluster);
  return {
    ok: true,
    context: keptContext({
      namespace: cluster.namespace,
      name: cluster.name,
      uid: cluster.uid,
      intent,
      engineName: intent.engine.name,
      engine,
      engineVersion: resolved.version,
      engineImage: resolved.image,
      told: seen.intent?.intent?.parameters ?? {},
      settings: seen.settings,
      ...(trace === undefined ? {} : { trace }),
    }),
  };
}

/** What is wrong with a spec beside its Engine. `fix` is the change of `.spec` that mends it, where there is only one. */
export interface IntentProblem {
  readonly guard: Block["guard"];
  /** The values that are wrong, as the spec has them: what is left of them after a change is no new problem. */
  readonly values: readonly string[];
  readonly message: string;
  readonly fix?: object;
}

/** All that is wrong with a spec that the API server took, in itself or beside the Engine that it names; what hides the rest first. */
export function intentProblems(intent: ClusterIntent, engine: EngineSpec | undefined): readonly IntentProblem[] {
  if (engine === undefined) return [engineUnknown(intent)];
  const problems = [
    versionProblem,
    topologyProblem,
    shardTlsProblem,
    parametersProblem,
    durabilityProblem,
    accountsProblem,
    requestsProblem,
    restoreProblem,
  ];
  const windows = intent.maintenanceWindows.flatMap((window): IntentProblem[] => {
    const message = windowProblem(window);
    return message === undefined ? [] : [{ guard: "WindowsValid", values: [message], message }];
  });
  return [...problems.flatMap((problemOf) => problemOf(intent, engine) ?? []), ...windows];
}

function engineUnknown({ engine: { name } }: ClusterIntent): IntentProblem {
  const message = `There is no Engine ${name}. See kubectl get engines, or apply it.`;
  return { guard: "EngineKnown", values: [name], message };
}

function versionProblem(intent: ClusterIntent, engine: EngineSpec): IntentProblem | undefined {
  if (resolveVersion(intent, engine) !== undefined) return undefined;
  const { name, version = "" } = intent.engine;
  const versions = engine.versions.map((v) => v.version).join(", ");
  return {
    guard: "VersionKnown",
    values: [version],
    message: `Engine ${name} has no version ${version}. Set spec.engine.version to one of ${versions}.`,
    fix: { engine: { version: engine.versions[0]?.version } },
  };
}

function topologyProblem(intent: ClusterIntent, engine: EngineSpec): IntentProblem | undefined {
  const { topology } = intent;
  if (engine.topologies.includes(topology)) return undefined;
  const topologies = engine.topologies.join(", ");
  const message = `Engine ${intent.engine.name} cannot form the topology ${topology}. Create the ClusterSpec anew with spec.topology ${topologies}: it cannot be changed.`;
  return { guard: "TopologySupported", values: [topology], message };
}

function shardTlsProblem(
  { sharding, shard, engine: { name } }: ClusterIntent,
  engine: EngineSpec,
): IntentProblem | undefined {
  if ((sharding?.tls !== true && shard?.tls !== true) || engine.tlsPort !== undefined) return undefined;
  const message = `Engine ${name} has no tlsPort, at which members of shards could speak TLS. Create the ClusterSpec anew without spec.sharding.tls: it cannot be changed.`;
  return { guard: "ShardTlsSupported", values: ["tls"], message };
}

function parametersProblem({ parameters }: ClusterIntent, engine: EngineSpec): IntentProblem | undefined {
  const fixed = Object.keys(parameters).filter((one) => engine.parameters.fixed.includes(one));
  if (fixed.length === 0) return undefined;
  return {
    guard: "ParametersAllowed",
    values: fixed,
    message: `quorate sets ${fixed.toSorted().join(", ")} itself. Remove it from spec.parameters.`,
    fix: { parameters: Object.fromEntries(fixed.map((one) => [one, null])) },
  };
}

function durabilityProblem(intent: ClusterIntent, engine: EngineSpec): IntentProblem | undefined {
  const { mode } = intent.durability;
  if (isFleet({ intent }) || engine.durabilityModes.includes(mode)) return undefined;
  const modes = engine.durabilityModes.join(", ");
  return {
    guard: "DurabilitySupported",
    values: [mode],
    message: `Engine ${intent.engine.name} cannot keep durability ${mode}. Set spec.durability.mode to one of ${modes}.`,
    fix: { durability: { mode: engine.durabilityModes[0] } },
  };
}

/** An empty data set in place of the one that was asked for would pass for it. */
function restoreProblem({ restore, engine: { name } }: ClusterIntent, engine: EngineSpec): IntentProblem | undefined {
  if (restore === undefined || engine.actions.restore !== undefined) return undefined;
  const message = `Engine ${name} declares no action restore, so no cluster of it can begin with a backup. Remove spec.restore.`;
  return { guard: "RestoreSupported", values: [restore.path], message, fix: { restore: null } };
}

/** Why the Engine cannot have the accounts that the user asks for. */
function accountsProblem(intent: ClusterIntent, engine: EngineSpec): IntentProblem | undefined {
  const names = intent.accounts.map(({ name }) => name);
  const isOwn = (name: string): boolean => engine.accounts.some((own) => own.name === name || own.secretKey === name);
  const values = engine.applicationConnection === undefined ? names : names.filter(isOwn);
  const [first] = values;
  if (first === undefined) return accountRulesProblem(intent, engine);
  const message =
    engine.applicationConnection === undefined
      ? `Engine ${intent.engine.name} has no accounts of users' own. Remove spec.accounts.`
      : `Engine ${intent.engine.name} has an account ${first} of its own. Choose another name in spec.accounts.`;
  return { guard: "AccountsSupported", values, message };
}

function accountRulesProblem(
  { accounts, engine: { name } }: ClusterIntent,
  engine: EngineSpec,
): IntentProblem | undefined {
  const { accountRule: form } = engine;
  for (const account of accounts) {
    const wrong = account.rules?.find((rule) => form === undefined || !isOfForm(rule, form));
    if (wrong === undefined) continue;
    const message =
      form === undefined
        ? `Engine ${name} has no rules for accounts. Remove rules from account ${account.name} in spec.accounts.`
        : `Engine ${name} has no rule "${wrong}" for accounts. Correct it in account ${account.name} of spec.accounts.`;
    return { guard: "AccountsSupported", values: [wrong], message };
  }
  return undefined;
}

/** Nothing is of a form that is no regular expression. */
function isOfForm(text: string, form: string): boolean {
  try {
    return new RegExp(`^(?:${form})$`).test(text);
  } catch {
    return false;
  }
}

/** Nobody could say whether an objective about requests is kept that nobody counts. */
function requestsProblem({ slo, engine: { name } }: ClusterIntent, engine: EngineSpec): IntentProblem | undefined {
  const percent = slo?.dataPlane.requestErrorPercent;
  if (percent === undefined || engine.actions.countRequests !== undefined) return undefined;
  return {
    guard: "RequestsCounted",
    values: [percent],
    message: `Engine ${name} does not count clients' requests. Remove spec.slo.dataPlane.requestErrorPercent.`,
    fix: { slo: { dataPlane: { requestErrorPercent: null } } },
  };
}
