// What must be true of a ClusterSpec and its Engine before anything is built from them.
import type { ClusterIntent } from "../api/cluster-spec.ts";
import type { EngineSpec } from "../api/engine.ts";
import { type BuildContext, resolveVersion } from "../build/context.ts";
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
  const refuse = ({ guard, message, fix }: IntentProblem): Preflight => {
    const override = fix === undefined ? {} : { override: patchCommand(cluster, fix) };
    return { ok: false, blocked: [{ guard, object: cluster.name, message, ...override }] };
  };
  if (cluster.invalid !== undefined) {
    return refuse({ guard: "SpecValid", message: `The spec cannot be understood: ${cluster.invalid}.` });
  }
  const problem = intentProblem(intent, engine);
  const resolved = engine === undefined ? undefined : resolveVersion(intent, engine);
  if (engine === undefined || resolved === undefined || problem !== undefined)
    return refuse(problem ?? engineUnknown(intent));
  return {
    ok: true,
    context: {
      namespace: cluster.namespace,
      name: cluster.name,
      uid: cluster.uid,
      intent,
      engineName: intent.engine.name,
      engine,
      engineVersion: resolved.version,
      engineImage: resolved.image,
      settings: seen.settings,
    },
  };
}

/** What is wrong with a spec beside its Engine. `fix` is the change of `.spec` that mends it, where there is only one. */
export interface IntentProblem {
  readonly guard: Block["guard"];
  readonly message: string;
  readonly fix?: object;
}

/** The first thing that is wrong with a spec that the API server took: in itself, or beside the Engine that it names. */
export function intentProblem(intent: ClusterIntent, engine: EngineSpec | undefined): IntentProblem | undefined {
  const { name, version = "" } = intent.engine;
  if (engine === undefined) return engineUnknown(intent);
  if (resolveVersion(intent, engine) === undefined) {
    const versions = engine.versions.map((v) => v.version).join(", ");
    const message = `Engine ${name} has no version ${version}. Set spec.engine.version to one of ${versions}.`;
    return { guard: "VersionKnown", message, fix: { engine: { version: engine.versions[0]?.version } } };
  }
  if (!engine.topologies.includes(intent.topology)) {
    const topologies = engine.topologies.join(", ");
    const message = `Engine ${name} cannot form the topology ${intent.topology}. Create the ClusterSpec anew with spec.topology ${topologies}: it cannot be changed.`;
    return { guard: "TopologySupported", message };
  }
  const fixed = Object.keys(intent.parameters).filter((one) => engine.parameters.fixed.includes(one));
  if (fixed.length > 0) {
    const message = `quorate sets ${fixed.toSorted().join(", ")} itself. Remove it from spec.parameters.`;
    return {
      guard: "ParametersAllowed",
      message,
      fix: { parameters: Object.fromEntries(fixed.map((one) => [one, null])) },
    };
  }
  if (!isFleet({ intent }) && !engine.durabilityModes.includes(intent.durability.mode)) {
    const modes = engine.durabilityModes.join(", ");
    const message = `Engine ${name} cannot keep durability ${intent.durability.mode}. Set spec.durability.mode to one of ${modes}.`;
    return { guard: "DurabilitySupported", message, fix: { durability: { mode: engine.durabilityModes[0] } } };
  }
  const accounts = accountProblem(intent, engine);
  if (accounts !== undefined) return { guard: "AccountsSupported", message: accounts };
  const [window] = intent.maintenanceWindows.flatMap((one) => windowProblem(one) ?? []);
  return window === undefined ? undefined : { guard: "WindowsValid", message: window };
}

function engineUnknown({ engine: { name } }: ClusterIntent): IntentProblem {
  return { guard: "EngineKnown", message: `There is no Engine ${name}. See kubectl get engines, or apply it.` };
}

/** Why the Engine cannot have the accounts that the user asks for. */
function accountProblem(intent: ClusterIntent, engine: EngineSpec): string | undefined {
  const [first] = intent.accounts;
  if (first === undefined) return undefined;
  if (engine.applicationConnection === undefined) {
    return `Engine ${intent.engine.name} has no accounts of users' own. Remove spec.accounts.`;
  }
  const taken = intent.accounts.find(({ name }) =>
    engine.accounts.some((account) => account.name === name || account.secretKey === name),
  );
  if (taken === undefined) return undefined;
  return `Engine ${intent.engine.name} has an account ${taken.name} of its own. Choose another name in spec.accounts.`;
}
