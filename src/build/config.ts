// What agents read: the engine as data, and the operator's intent; and the Lease they contend for.
import type { Intent, IntentMember, IntentShard } from "../api/agent-wire.ts";
import { INTENT_KEY } from "../api/agent-wire.ts";
import type { EngineSpec } from "../api/engine.ts";
import { ANNOTATION_TRACEPARENT, ANNOTATION_TRACES_TO, INIT_PORT, nameOf, PEER_PORT } from "../api/names.ts";
import type { ShardPlace } from "../api/sharding.ts";
import { type BuildContext, reloadableParameters, shardPort } from "./context.ts";
import { applicationAccounts } from "./connection.ts";
import { canonicalJson } from "./hash.ts";
import { child } from "./labels.ts";
import type { Manifest } from "./manifest.ts";
import { parseQuantity } from "./quantity.ts";

const CONFIG_MAP = { apiVersion: "v1", kind: "ConfigMap" };

/** Key of the engine ConfigMap that holds the Engine's spec as JSON; its other keys are the Engine's files. */
export const ENGINE_KEY = "engine.json";

/** The ConfigMap with the Engine as data. Scripts are separate keys, so that the kernel can execute them from the mount. */
export function buildEngineFiles(context: BuildContext): Manifest {
  return child(context, CONFIG_MAP, nameOf.engineFiles(context.name), { data: engineData(context) });
}

const dataOfEngines = new WeakMap<EngineSpec, Map<string, Readonly<Record<string, string>>>>();

/** The same object for all clusters of one engine and image: it is large, and asked for in every pass. */
function engineData({
  engine,
  engineVersion: version,
  engineImage: image,
}: BuildContext): Readonly<Record<string, string>> {
  const known = dataOfEngines.get(engine) ?? new Map<string, Readonly<Record<string, string>>>();
  dataOfEngines.set(engine, known);
  const key = canonicalJson([version, image]);
  const { files, ...rest } = engine;
  const data = known.get(key) ?? {
    ...files,
    [ENGINE_KEY]: canonicalJson({ ...rest, versions: [{ version, image }], files: {} }),
  };
  known.set(key, data);
  return data;
}

/** The parts of the intent that change while a cluster lives. */
export interface IntentState {
  readonly generation: number;
  readonly members: readonly string[];
  readonly learners: readonly string[];
  readonly bootstrapMember: string | null;
  /** Whether the cluster ever had a leader. */
  readonly initialized: boolean;
  readonly switchover: Intent["switchover"];
  readonly restart: Intent["restart"];
  readonly rebuild: Intent["rebuild"];
  readonly hook: Intent["hook"];
  readonly defragment?: Intent["defragment"];
  readonly task?: Intent["task"];
  readonly agent?: Intent["agent"];
  readonly group?: Intent["group"];
  readonly forcedPromotion?: Intent["forcedPromotion"];
  /** Who leads, as far as is known: requests are made to the leader in its epoch. */
  readonly office?: { readonly member: string; readonly epoch: number };
}

/** The intent of a cluster for its agents. */
export function buildIntent(context: BuildContext, state: IntentState): Intent {
  const { intent } = context;
  return {
    generation: state.generation,
    members: state.members.map((member) => intentMember(context, member)),
    learners: [...state.learners],
    bootstrapMember: state.bootstrapMember,
    ...(state.initialized ? { initializedFor: context.uid } : {}),
    durability: intent.durability,
    profile: intent.failover.profile,
    maxLagBytes: String(Math.ceil(parseQuantity(intent.failover.maxLag))),
    paused: intent.paused,
    switchover: state.switchover,
    restart: state.restart,
    rebuild: state.rebuild,
    hook: state.hook,
    ...(state.defragment === undefined ? {} : { defragment: state.defragment }),
    ...(state.task === undefined ? {} : { task: state.task }),
    ...(state.agent === undefined ? {} : { agent: state.agent }),
    parameters: reloadableParameters(context),
    ...accountsOf(context),
    ...storeOf(context),
    ...(intent.shard === undefined ? {} : { shard: shardOf(context, intent.shard, state.office) }),
    ...(state.group === undefined ? {} : { group: state.group }),
    ...(state.forcedPromotion === undefined ? {} : { forcedPromotion: state.forcedPromotion }),
  };
}

/** What agents keep in the engine; nothing for an engine that makes its accounts in another way. */
function accountsOf({ engine, intent }: BuildContext): Pick<Intent, "accounts"> {
  if (engine.actions.makeAccounts === undefined) return {};
  const accounts = applicationAccounts(engine, intent).map(({ name, secretKey, database, rules }) => ({
    ...{ name, secretKey, database },
    ...(rules.length === 0 ? {} : { rules: [...rules] }),
  }));
  return { accounts };
}

/** Where backups are: nothing for an engine that makes none. */
function storeOf({ engine, engineName, intent: { backup, restore } }: BuildContext): Pick<Intent, "store"> {
  if (backup === undefined || engine.actions.backup === undefined) return {};
  const { s3, keep } = backup;
  return {
    store: {
      ...s3,
      engine: engineName,
      ...(keep === undefined ? {} : { keep }),
      ...(restore === undefined ? {} : { restorePath: restore.path }),
    },
  };
}

function shardOf(context: BuildContext, place: ShardPlace, office: IntentState["office"]): IntentShard {
  const { engine, intent, namespace } = context;
  const { memberPort = engine.port } = engine;
  const port = shardPort(context);
  const names = (shard: string) => Array.from({ length: intent.members }, (_, at) => nameOf.member(shard, at));
  const peers = place.shards
    .toSorted()
    .flatMap((shard) =>
      names(shard).map((name) => ({ name, host: nameOf.host(shard, namespace, name), port, memberPort })),
    );
  const { request } = place;
  if (request === undefined || office === undefined) return { peers };
  const { action, slots, to: target = "" } = request;
  const targetHost = target === "" ? "" : `${nameOf.readWrite(target)}.${namespace}.svc`;
  const asked = { slots, target, targetHost, targetPort: port, ...office };
  return { peers, request: { action: action === "Assign" ? "assignSlots" : "moveSlots", ...asked } };
}

function intentMember(context: BuildContext, member: string): IntentMember {
  return {
    name: member,
    host: nameOf.host(context.name, context.namespace, member),
    agentPort: PEER_PORT,
    initPort: INIT_PORT,
    enginePort: context.engine.port,
    ...(context.engine.memberPort === undefined ? {} : { memberPort: context.engine.memberPort }),
  };
}

/** The ConfigMap that carries the intent. @param resourceVersion - Of the version the intent was computed from. */
export function buildIntentConfigMap(context: BuildContext, intent: Intent, resourceVersion?: string): Manifest {
  const { trace } = context;
  const map = child(context, CONFIG_MAP, nameOf.intent(context.name), {
    data: { [INTENT_KEY]: canonicalJson(intent) },
  });
  const annotations = {
    ...map.metadata.annotations,
    ...(trace === undefined
      ? {}
      : { [ANNOTATION_TRACEPARENT]: trace.traceparent, [ANNOTATION_TRACES_TO]: trace.collectorUrl }),
  };
  const traced = trace === undefined ? {} : { annotations };
  const condition = resourceVersion === undefined ? {} : { resourceVersion };
  return { ...map, metadata: { ...map.metadata, ...traced, ...condition } };
}

/** The Lease that members contend for: held by nobody at epoch 0. Created once, never written by the operator again. */
export function buildLease(context: BuildContext): Manifest {
  return child(context, { apiVersion: "coordination.k8s.io/v1", kind: "Lease" }, nameOf.lease(context.name), {
    spec: { holderIdentity: "", leaseTransitions: 0 },
  });
}
