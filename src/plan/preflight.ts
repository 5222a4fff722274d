// What must be true of a ClusterSpec and its Engine before anything is built from them.
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
  const refuse = (guard: Block["guard"], message: string, fix?: object): Preflight => {
    const override = fix === undefined ? {} : { override: patchCommand(cluster, fix) };
    return { ok: false, blocked: [{ guard, object: cluster.name, message, ...override }] };
  };
  if (cluster.invalid !== undefined) return refuse("SpecValid", `The spec cannot be understood: ${cluster.invalid}.`);
  const { engine } = seen;
  if (engine === undefined) {
    return refuse("EngineKnown", `There is no Engine ${intent.engine.name}. See kubectl get engines, or apply it.`);
  }
  const resolved = resolveVersion(intent, engine);
  const versions = engine.versions.map((v) => v.version).join(", ");
  if (resolved === undefined) {
    const message = `Engine ${intent.engine.name} has no version ${intent.engine.version ?? ""}. Set spec.engine.version to one of ${versions}.`;
    return refuse("VersionKnown", message, { engine: { version: engine.versions[0]?.version } });
  }
  if (!engine.topologies.includes(intent.topology)) {
    const topologies = engine.topologies.join(", ");
    const message = `Engine ${intent.engine.name} cannot form the topology ${intent.topology}. Create the ClusterSpec anew with spec.topology ${topologies}: it cannot be changed.`;
    return refuse("TopologySupported", message);
  }
  const fixed = Object.keys(intent.parameters).filter((name) => engine.parameters.fixed.includes(name));
  if (fixed.length > 0) {
    return refuse(
      "ParametersAllowed",
      `quorate sets ${fixed.toSorted().join(", ")} itself. Remove it from spec.parameters.`,
      { parameters: Object.fromEntries(fixed.map((name) => [name, null])) },
    );
  }
  if (!isFleet(cluster) && !engine.durabilityModes.includes(intent.durability.mode)) {
    const modes = engine.durabilityModes.join(", ");
    const message = `Engine ${intent.engine.name} cannot keep durability ${intent.durability.mode}. Set spec.durability.mode to one of ${modes}.`;
    return refuse("DurabilitySupported", message, { durability: { mode: engine.durabilityModes[0] } });
  }
  const accounts = accountProblem(cluster, engine);
  if (accounts !== undefined) return refuse("AccountsSupported", accounts);
  const [problem] = intent.maintenanceWindows.flatMap((window) => windowProblem(window) ?? []);
  if (problem !== undefined) return refuse("WindowsValid", problem);
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

/** Why the Engine cannot have the accounts that the user asks for. */
function accountProblem({ intent }: ClusterView, engine: EngineSpec): string | undefined {
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
