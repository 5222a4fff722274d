// What every builder needs to know, resolved once: a builder never looks anything up and never fails.
import type { ClusterIntent } from "../api/cluster-spec.ts";
import type { EngineSpec } from "../api/engine.ts";

/** An agent that members can run in place of the one that their pod's image brought. */
export interface AgentOffer {
  readonly hash: string;
  readonly version: string;
  /** The Node that it needs. */
  readonly nodeMajor: number;
}

/** Settings of the operator that show in children. */
export interface BuildSettings {
  /** Image whose `install` copies the agent's runtime into the pod. */
  readonly agentImage: string;
  /** The agent that the operator can offer to members that run; absent: it has none. */
  readonly agent?: AgentOffer;
  /** Address of the collector that spans are sent to; absent: there are none. */
  readonly tracesUrl?: string;
}

/** The trace of a change, as children carry it in annotations. */
export interface TraceContext {
  /** W3C's name of the trace and of the span of the change. */
  readonly traceparent: string;
  /** Where agents send their part of it. */
  readonly collectorUrl: string;
}

/** One cluster as its builders see it. */
export interface BuildContext {
  readonly namespace: string;
  readonly name: string;
  /** uid of the ClusterSpec, for owner references and for volumes to say whom they were made for. */
  readonly uid: string;
  readonly intent: ClusterIntent;
  readonly engineName: string;
  readonly engine: EngineSpec;
  readonly engineVersion: string;
  /** The engine's image after spec.engine.image, spec.engine.version and the Engine's default were looked at. */
  readonly engineImage: string;
  /** Parameters that members were told to take while they run: those of the intent that is in force. */
  readonly told: Readonly<Record<string, string>>;
  readonly settings: BuildSettings;
  /** The trace of the change that is built for; absent: there are no traces. */
  readonly trace?: TraceContext | undefined;
}

const lastOf = new WeakMap<ClusterIntent, BuildContext>();

/**
 * The context that the same intent had last, if nothing in it differs from `context`; otherwise `context`.
 *
 * Most passes find everything as it was. What was rendered, hashed or compared from a context is remembered by the object.
 */
export function keptContext(context: BuildContext): BuildContext {
  const last = lastOf.get(context.intent);
  if (last !== undefined && isSameContext(last, context)) return last;
  lastOf.set(context.intent, context);
  return context;
}

/** Parts that are made anew for every pass, and so are compared field by field. */
const MADE_ANEW: readonly string[] = ["told", "settings", "trace"] satisfies readonly (keyof BuildContext)[];

function isSameContext(a: BuildContext, b: BuildContext): boolean {
  return hasFields(a, b) && hasFields(b, a);
}

function hasFields(context: BuildContext, of: BuildContext): boolean {
  for (const [name, value] of Object.entries(of)) {
    const own: unknown = Reflect.get(context, name);
    if (own !== value && !(MADE_ANEW.includes(name) && isSameRecord(own, value))) return false;
  }
  return true;
}

/** Whether two records have the same fields, with the very same values. */
function isSameRecord(a: unknown, b: unknown): boolean {
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return a === b;
  const has = (record: object, [name, value]: [string, unknown]) => Reflect.get(record, name) === value;
  return Object.entries(a).every((field) => has(b, field)) && Object.entries(b).every((field) => has(a, field));
}

/** Which version and image a cluster runs. @returns undefined when the Engine has no such version. */
export function resolveVersion(
  intent: ClusterIntent,
  engine: EngineSpec,
): { readonly version: string; readonly image: string } | undefined {
  const wanted = intent.engine.version;
  const found = wanted === undefined ? engine.versions[0] : engine.versions.find((v) => v.version === wanted);
  if (found === undefined) return undefined;
  return { version: found.version, image: intent.engine.image ?? found.image };
}

/** Engine parameters in force: the Engine's defaults, overruled by the user's. */
function effectiveParameters(context: BuildContext): Record<string, string> {
  return { ...context.engine.parameters.defaults, ...context.intent.parameters };
}

/** Those of `effectiveParameters` that take effect only after a restart; they travel in the pod's template. */
export function restartParameters(context: BuildContext): Record<string, string> {
  const reloadable = new Set(context.engine.parameters.reloadable);
  return Object.fromEntries(Object.entries(effectiveParameters(context)).filter(([name]) => !reloadable.has(name)));
}

/**
 * Those of `effectiveParameters` that running engines have or can take; they travel in the intent, to all members at once. One that
 * members were told of stays there as long as its value does, even if the Engine says by now that it needs a restart.
 */
export function reloadableParameters(context: BuildContext): Record<string, string> {
  return Object.fromEntries(Object.entries(effectiveParameters(context)).filter(isWithoutRestart(context)));
}

/** Tells which parameters, with their values, need no restart: the Engine says so, or said so when members were told of them. */
export function isWithoutRestart({ engine, told }: BuildContext): (parameter: [string, string]) => boolean {
  const reloadable = new Set(engine.parameters.reloadable);
  return ([name, value]) => reloadable.has(name) || told[name] === value;
}

/**
 * Whether clients can be told whom to believe. Shards send them from one to the other, and only those that speak TLS with each other
 * have one authority.
 */
function hasOneAuthority({ intent }: BuildContext): boolean {
  if (intent.topology === "Sharded") return intent.sharding?.tls === true;
  return intent.shard === undefined || intent.shard.tls === true;
}

/** The port at which members of shards meet: they are told one that speaks TLS, or one that does not. */
export function shardPort({ engine, intent }: BuildContext): number {
  return intent.shard?.tls === true ? (engine.tlsPort ?? engine.port) : engine.port;
}

/** The port at which clients speak TLS, where that is one of its own. */
export function clientTlsPort(context: BuildContext): number | undefined {
  return hasOneAuthority(context) ? context.engine.tlsPort : undefined;
}

/** Whether clients get the authority of the certificate that the engine shows. */
export function givesAuthority(context: BuildContext): boolean {
  return context.engine.clientTls && hasOneAuthority(context);
}

/** Whether clients identify themselves by certificates, which they then get. */
export function givesCertificates(context: BuildContext): boolean {
  return context.engine.clientCertificates === true && givesAuthority(context);
}
