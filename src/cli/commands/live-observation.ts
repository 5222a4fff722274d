// What the operator would observe of a cluster at this moment, read by a person's own rights.
import { ClusterSpec } from "../../api/cluster-spec.ts";
import { EngineSpec } from "../../api/engine.ts";
import { ANNOTATION_TRACES_TO, nameOf } from "../../api/names.ts";
import type { KubeClient } from "../../kube/client.ts";
import { systemClock } from "../../clock.ts";
import type { KubeObject, Stored } from "../../kube/object.ts";
import { leaderOf } from "../../plan/facts.ts";
import type { ClusterView, Measured, NamedView, Observation } from "../../plan/observation.ts";
import { certificateHosts } from "../../build/certificate.ts";
import { buildConnections, credentialKeys } from "../../build/connection.ts";
import { givesCertificates } from "../../build/context.ts";
import { ANNOTATION_ROTATE_AUTHORITY } from "../../build/labels.ts";
import { preflight } from "../../plan/preflight.ts";
import { observe } from "../../observe/observe.ts";
import { Stores } from "../../observe/stores.ts";
import { AGENT_IMAGE } from "../../version.ts";

const DEADLINE_MS = 30_000;
const DAY_MS = 86_400_000;

/**
 * Observes a cluster that exists. Secrets are not read: they are taken to be as the operator keeps them.
 * @throws what the API server says when something may not be read.
 */
export async function observeLive(api: KubeClient, namespace: string, name: string): Promise<Observation> {
  const stop = new AbortController();
  const failed = Promise.withResolvers<never>();
  const stores = new Stores({
    api,
    namespace,
    onSubscriberError: failed.reject,
    observer: () => ({ reconnecting: (_reason, error) => void (error !== undefined && failed.reject(error)) }),
  });
  const timer = setTimeout(
    () => failed.reject(new Error(`the API server did not answer within ${DEADLINE_MS / 1000} s`)),
    DEADLINE_MS,
  );
  const watching = stores.run(stop.signal);
  try {
    await Promise.race([stores.whenSynced(), failed.promise]);
    const settings = { agentImage: agentImageOf(stores, namespace, name), ...tracesOf(stores, namespace, name) };
    const named = { read: () => Promise.resolve(asKept()), forget: () => undefined };
    const measurer = { of: () => undefined };
    const options = { api, stores, named, settings, measurer, clock: systemClock };
    const seen = await observe(options, `${namespace}/${name}`, stop.signal);
    if (seen?.cluster === undefined) throw new Error(`there is no ClusterSpec ${name} in namespace ${namespace}`);
    return withRest(seen);
  } finally {
    clearTimeout(timer);
    stop.abort();
    failed.promise.catch(() => undefined); // whoever waited has heard of it
    await watching;
  }
}

/** A cluster that was not created yet, with nothing there but its Engine. `cluster` is as the API server would store it. */
export function observeUnborn(cluster: Stored<KubeObject>, engine: unknown, namespace: string): Observation {
  const { spec, metadata } = ClusterSpec.parse(cluster);
  const { uid, resourceVersion = "1", name } = { ...cluster.metadata, ...metadata };
  return {
    nowMs: Date.now(),
    settings: { agentImage: AGENT_IMAGE },
    namespace,
    name,
    cluster: {
      uid: uid ?? "new",
      resourceVersion,
      namespace,
      name,
      generation: 0,
      deleting: false,
      annotations: cluster.metadata.annotations ?? {},
      intent: spec,
      invalid: undefined,
      status: {},
    },
    engine: engine === undefined ? undefined : EngineSpec.parse(engine),
    members: [],
    instances: [],
    children: new Map(),
    named: {
      hasLease: false,
      lastLeader: undefined,
      peerNotAfterMs: undefined,
      peerHosts: "",
      peerVersion: "",
      authority: undefined,
      credentialsUid: undefined,
      credentialKeys: [],
      credentialsVersion: "",
      connections: new Map(),
    },
    intent: undefined,
    operations: [],
    nodes: new Map(),
    measured: spec.slo === undefined ? undefined : WITHIN_BUDGET,
    storageClasses: new Map(),
    stateMayHaveGoneBack: false,
  };
}

const WITHIN_BUDGET: Measured = {
  budgets: [{ name: "Availability", remaining: 1, burns: [], alert: "None" }],
  missing: "",
  record: undefined,
  trial: undefined,
};

/** What is never watched, as it is while all is well. */
function asKept(): NamedView {
  return {
    hasLease: true,
    lastLeader: undefined,
    peerNotAfterMs: Date.now() + 1000 * DAY_MS,
    peerHosts: "",
    peerVersion: "",
    authority: undefined,
    credentialsUid: "kept",
    credentialKeys: [],
    credentialsVersion: "",
    connections: new Map(),
  };
}

/** Fills in what only the operator measures or remembers: passwords that exist, and budgets as the status tells them. */
function withRest(seen: Observation): Observation {
  const lastLeader = leaderOf(seen.members)?.name;
  const health = seen.cluster?.status.conditions?.find(({ type }) => type === "SLOHealthy");
  const measured: Measured | undefined =
    health?.status === "True"
      ? WITHIN_BUDGET
      : health && { ...WITHIN_BUDGET, budgets: undefined, missing: `the operator says: ${health.message}` };
  // Connections are taken to be in order for the version that is pretended.
  const { cluster, engine } = seen;
  const keys = cluster === undefined || engine === undefined ? [] : credentialKeys(engine, cluster.intent);
  const resolved = cluster === undefined || engine === undefined ? undefined : preflight(seen, cluster);
  const context = resolved?.ok === true ? resolved.context : undefined;
  const built = context === undefined ? [] : buildConnections(context, seen.named);
  const notAfterMs = Date.now() + 1000 * DAY_MS;
  const connections = new Map(built.map(({ metadata, hash }) => [metadata.name, { hash, notAfterMs }]));
  const hasClients = context !== undefined && givesCertificates(context);
  const peer = cluster === undefined ? {} : keptCertificate(cluster, hasClients);
  return { ...seen, measured, named: { ...seen.named, lastLeader, credentialKeys: keys, connections, ...peer } };
}

interface SetObject extends KubeObject {
  readonly spec?: {
    readonly template?: { readonly spec?: { readonly initContainers?: readonly { readonly image?: string }[] } };
  };
}

/** The operator's agent image is not written anywhere but in the pods that it made. */
function agentImageOf(stores: Stores, namespace: string, name: string): string {
  const sets = stores.of("StatefulSet").ofCluster(namespace, name) as readonly SetObject[];
  const images = [...sets].flatMap(({ spec }) => spec?.template?.spec?.initContainers?.[0]?.image ?? []);
  return images[0] ?? AGENT_IMAGE;
}

/** Whether the operator has agents send traces, and where: written in the intent alone. */
function tracesOf(stores: Stores, namespace: string, name: string): { readonly tracesUrl?: string } {
  const intent = stores.of("ConfigMap").get(namespace, nameOf.intent(name));
  const tracesUrl = intent?.metadata.annotations?.[ANNOTATION_TRACES_TO];
  return tracesUrl === undefined ? {} : { tracesUrl };
}

/** A certificate that nothing is to be done about. */
function keptCertificate(cluster: ClusterView, hasClients: boolean): Pick<NamedView, "peerHosts" | "authority"> {
  const ends = new Date(Date.now() + 3000 * DAY_MS).toISOString();
  const request = cluster.annotations[ANNOTATION_ROTATE_AUTHORITY] ?? "";
  const note = {
    stage: "Settled",
    since: ends,
    signsFrom: ends,
    notAfter: ends,
    request,
    trusts: "",
    shows: "",
    hasClients,
  } as const;
  return { peerHosts: certificateHosts(cluster).join(","), authority: note };
}
