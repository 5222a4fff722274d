// The operator: leader-elected control plane of all clusters. It may be down without hurting any of them.
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { collectDefaultMetrics } from "prom-client";
import * as z from "zod";
import { type AgentBundle, NODE_MAJOR, readBundle } from "./agent-bundle.ts";
import type { AgentOffer } from "./build/context.ts";
import { systemClock } from "./clock.ts";
import { Controller } from "./controller/controller.ts";
import { startHealthServer } from "./controller/health-server.ts";
import { type ApiCall, KubeClient } from "./kube/client.ts";
import { defaultConnection } from "./kube/connection.ts";
import { LeaderElection } from "./kube/leader-election.ts";
import { ClusterRegistry } from "./telemetry/cluster-registry.ts";
import { createLogger, type Logger } from "./telemetry/logger.ts";
import { apiCallMetrics, leadershipMetrics } from "./telemetry/metrics.ts";
import { openTracer, type Tracer } from "./telemetry/tracer.ts";
import { Access } from "./web/access.ts";
import { clusterNames, clusterPage } from "./web/cluster-pages.ts";
import { startStatusServer } from "./web/server.ts";
import { AGENT_IMAGE, VERSION } from "./version.ts";
import { Webhook } from "./webhook/webhook.ts";

const LEASE = "quorate-operator";
/** The Service in front of the operator's pods. */
const SERVICE = "quorate-operator";

/** Environment of the operator; every variable has a default. */
const Environment = z.object({
  QUORATE_AGENT_IMAGE: z.string().min(1).default(AGENT_IMAGE),
  /** Where the operator's own Lease is; the pod's or the kubeconfig's namespace when absent. */
  QUORATE_OPERATOR_NAMESPACE: z.string().optional(),
  /** Look after the clusters of this namespace only. */
  QUORATE_WATCH_NAMESPACE: z.string().optional(),
  QUORATE_LEADER_ELECTION: z.enum(["on", "off"]).default("on"),
  /** Address of a Prometheus, for budgets and for the queries of canary analyses; without it only the agents are asked. */
  QUORATE_PROMETHEUS_URL: z.url({ protocol: /^https?$/ }).optional(),
  /** Address of the folder that holds the runbooks, for the links in alerts; without it they are paths in quorate's repository. */
  QUORATE_RUNBOOKS_URL: z.url({ protocol: /^https?$/ }).optional(),
  /** Labels of PrometheusRules, by which a Prometheus selects them: `name=value`, separated by commas. */
  QUORATE_RULE_LABELS: z
    .string()
    .regex(/^([^=,]+=[^=,]*)(,[^=,]+=[^=,]*)*$/, "expected name=value, separated by commas")
    .transform((text): Record<string, string> => Object.fromEntries(text.split(",").map((one) => one.split("="))))
    .optional(),
  /** Address of a collector of traces, OTLP over HTTP, such as http://collector:4318; without it there are none. */
  QUORATE_TRACES_URL: z
    .url({ protocol: /^https?$/ })
    .refine((url) => !url.includes("@"), "expected an address without a password: members read it in an annotation")
    .optional(),
  QUORATE_LOG_LEVEL: z.enum(["debug", "info", "warn", "error"]).default("info"),
  /** Host and port of the status page, such as 127.0.0.1:8081; without it there is none. */
  QUORATE_STATUS_ADDRESS: z
    .string()
    .regex(/^[^:]+:[0-9]{1,5}$/, "expected host:port, such as 127.0.0.1:8081")
    .optional(),
  /** Where the API server asks about ClusterSpecs before it stores them; without it nobody is asked. */
  QUORATE_WEBHOOK_PORT: z.coerce.number().int().min(1).max(65535).optional(),
  /** Name of the ValidatingWebhookConfiguration by which it does. */
  QUORATE_WEBHOOK_CONFIGURATION: z.string().min(1).default("quorate-operator"),
  QUORATE_HEALTH_PORT: z.coerce.number().int().min(0).max(65535).default(8080),
});

async function main(signal: AbortSignal, log: Logger, settings: z.infer<typeof Environment>): Promise<void> {
  const registry = new ClusterRegistry();
  collectDefaultMetrics({ register: registry });
  const connection = await defaultConnection(process.env);
  const instance = hostname();
  const tracesUrl = settings.QUORATE_TRACES_URL;
  const tracer = await openTracer({ url: tracesUrl, resource: resourceOf(instance), log });
  const countCall = apiCallMetrics(registry);
  const observe = (call: ApiCall): void => {
    countCall(call);
    noteCall(tracer, call);
  };
  const api = new KubeClient(connection, { observe });
  const watched = settings.QUORATE_WATCH_NAMESPACE;
  const prometheusUrl = settings.QUORATE_PROMETHEUS_URL;
  const runbooksUrl = settings.QUORATE_RUNBOOKS_URL;
  const labels = settings.QUORATE_RULE_LABELS;
  const agentBundle = await readBundle(import.meta.dirname);
  const controller = new Controller({
    api,
    registry,
    log,
    tracer,
    instance,
    settings: {
      agentImage: settings.QUORATE_AGENT_IMAGE,
      ...(agentBundle === undefined ? {} : { agent: offerOf(agentBundle) }),
      ...(tracesUrl === undefined ? {} : { tracesUrl }),
    },
    agentBundle,
    rules: { ...(runbooksUrl === undefined ? {} : { runbooksUrl }), ...(labels === undefined ? {} : { labels }) },
    ...(watched === undefined ? {} : { namespace: watched }),
    ...(prometheusUrl === undefined ? {} : { prometheusUrl }),
  });
  const health = await startHealthServer({
    port: settings.QUORATE_HEALTH_PORT,
    registry,
    isReady: () => controller.stores.isSynced,
  });
  const status = await startStatusPage({ address: settings.QUORATE_STATUS_ADDRESS, api, controller, log });
  const namespace = settings.QUORATE_OPERATOR_NAMESPACE ?? connection.namespace;
  const webhook = webhookOf(settings, { api, log, namespace });
  const lead = async (term: AbortSignal): Promise<void> => {
    await Promise.all([controller.lead(term), webhook?.lead(term)]);
  };
  log.info({ port: health.port, server: connection.server }, "Operator started");
  const watching = Promise.all([controller.watch(signal), webhook?.serve(signal)]);
  try {
    if (settings.QUORATE_LEADER_ELECTION === "off") {
      leadershipMetrics(registry, () => true);
      await lead(signal);
      return;
    }
    const election = new LeaderElection({
      api,
      namespace,
      name: LEASE,
      identity: `${instance}/${randomBytes(4).toString("hex")}`,
      onError: (error) => log.warn({ err: error }, "Leader election met an error"),
    });
    leadershipMetrics(registry, () => election.isLeading);
    const endedBySignal = await election.run(signal, async (term) => {
      log.info("This replica leads");
      await lead(term);
    });
    // Another may act already: the safest thing to do is nothing, in a new process.
    if (!endedBySignal) throw new Error("The leader Lease was lost");
  } finally {
    await Promise.all([health.close(), status?.close()]);
    if (signal.aborted) await watching;
    api.close();
    await tracer.close();
  }
}

function offerOf({ hash }: AgentBundle): AgentOffer {
  return { hash, version: VERSION, nodeMajor: NODE_MAJOR };
}

function resourceOf(instance: string): Readonly<Record<string, string>> {
  return { "service.name": "quorate-operator", "service.version": VERSION, "service.instance.id": instance };
}

/** One exchange with the API server, as a part of whatever it was made for. */
function noteCall(tracer: Tracer, { verb, resource, code, seconds }: ApiCall): void {
  const attributes = { "http.response.status_code": code };
  tracer.noteEnded({ name: `${verb} ${resource}`, attributes, seconds, problem: problemOf(code) });
}

function problemOf(code: number): string | undefined {
  return code >= 200 && code < 400 ? undefined : `HTTP ${code}`;
}

function webhookOf(
  { QUORATE_WEBHOOK_PORT: port, QUORATE_WEBHOOK_CONFIGURATION: configuration }: z.infer<typeof Environment>,
  parts: { readonly api: KubeClient; readonly log: Logger; readonly namespace: string },
): Webhook | undefined {
  const hosts = [`${SERVICE}.${parts.namespace}.svc`];
  return port === undefined ? undefined : new Webhook({ ...parts, clock: systemClock, port, configuration, hosts });
}

interface StatusPageParts {
  readonly address: string | undefined;
  readonly api: KubeClient;
  readonly controller: Controller;
  readonly log: Logger;
}

/** Starts the status page where an address is given. */
async function startStatusPage({ address, api, controller, log }: StatusPageParts): Promise<Closable | undefined> {
  const [host, port] = address?.split(":") ?? [];
  if (host === undefined) return undefined;
  const { stores, timeline } = controller;
  const pages = {
    stores,
    budgetsOf: (key: string) => controller.budgetsOf(key),
    timelineOf: (key: string) => timeline.of(key),
  };
  const started = await startStatusServer({
    host,
    port: Number(port),
    access: new Access(api, systemClock),
    clusters: () => clusterNames(stores),
    pageOf: (cluster) => clusterPage(pages, cluster),
    now: () => systemClock.now(),
    log,
  });
  log.info({ host, port: started.port }, "Status page is served");
  return started;
}

interface Closable {
  close(): Promise<void>;
}

const parsed = Environment.safeParse(process.env);
const log = createLogger({ program: "operator", version: VERSION, level: parsed.data?.QUORATE_LOG_LEVEL ?? "info" });
const stop = new AbortController();
for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => stop.abort());
for (const name of ["uncaughtException", "unhandledRejection"] as const) {
  process.on(name, (error: unknown) => {
    log.fatal({ err: error }, "Unexpected error; the operator ends");
    process.exit(1);
  });
}
if (parsed.success) {
  main(stop.signal, log, parsed.data).then(
    () => process.exit(0),
    (error: unknown) => {
      log.fatal({ err: error }, "Operator ended");
      process.exit(1);
    },
  );
} else {
  log.fatal(
    { problems: parsed.error.issues.map((i) => `${i.path.join(".")}: ${i.message}`) },
    "Environment is invalid",
  );
  process.exitCode = 1;
}
