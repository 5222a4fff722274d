// The smallest engine and ClusterSpec that planners and builders can work with.
import { HookName } from "../../../src/api/agent-wire.ts";
import { ClusterIntent } from "../../../src/api/cluster-spec.ts";
import { EngineSpec } from "../../../src/api/engine.ts";
import { EngineActions } from "../../../src/api/engine-actions.ts";
import { type BuildContext, resolveVersion } from "../../../src/build/context.ts";

const HOOKS: readonly string[] = HookName.options;

/** An engine that does nothing and has nothing to say about updates, with two versions, one account, one fixed and one reloadable parameter. */
export const engine: EngineSpec = EngineSpec.parse({
  topologies: ["ActivePassive"],
  versions: [
    { version: "1", image: "example/engine:1" },
    { version: "2", image: "example/engine:2" },
  ],
  runAs: { user: 999, group: 999 },
  port: 5432,
  start: ["engine"],
  accounts: [
    { name: "admin" },
    { name: "app", connection: { type: "example", uri: "example://$(username):$(password)@$(host):$(port)" } },
  ],
  files: { start: "#!/bin/sh\n" },
  actions: Object.fromEntries(
    Object.keys(EngineActions.shape).flatMap((name) => (HOOKS.includes(name) ? [] : [[name, { exec: ["true"] }]])),
  ),
  parameters: { defaults: { size: "10" }, fixed: ["port"], reloadable: ["verbosity"] },
  durabilityModes: ["Async", "Quorum", "All"],
});

/** The same engine, which wants to be asked around every update. */
export const hookedEngine: EngineSpec = EngineSpec.parse({
  ...engine,
  actions: { ...engine.actions, ...Object.fromEntries(HOOKS.map((name) => [name, { exec: ["true"] }])) },
});

const intents = new Map<string, ClusterIntent>();

/** `.spec` of a ClusterSpec with its defaults; the same object for the same spec, as it is in the operator. */
export function intentOf(spec: object = {}): ClusterIntent {
  const key = JSON.stringify(spec);
  const intent = intents.get(key) ?? ClusterIntent.parse({ engine: { name: "example" }, ...spec });
  intents.set(key, intent);
  return intent;
}

/** What builders get for the cluster `shop/orders`. */
export function contextOf(spec: object = {}, agentImage = "quorate/agent:1"): BuildContext {
  const intent = intentOf(spec);
  const resolved = resolveVersion(intent, engine);
  return {
    namespace: "shop",
    name: "orders",
    uid: "uid-orders",
    intent,
    engineName: "example",
    engine,
    engineVersion: resolved?.version ?? "",
    engineImage: resolved?.image ?? "",
    told: {},
    settings: { agentImage },
  };
}
