/**
 * A Prometheus and an Alertmanager for the lab, as somebody would run them who has neither of their operators: told of quorate by
 * the files in deploy/, with the rights of an account of their own. They run on the host beside the control plane, which reaches
 * every pod by its address: no fault of a node takes them away.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { load } from "js-yaml";
import * as z from "zod";
import { claimPorts } from "../../src/conformance/ports.ts";
import { AlertInbox, type AlertMessage } from "./alert-inbox.ts";
import { type Discovery, startDiscovery } from "./discovery.ts";
import { startHostServer } from "./host-server.ts";
import { apply, kubectl } from "./lab.ts";
import { scrapeJobs } from "./pod-monitor.ts";
import { run } from "./shell.ts";

const DEPLOY = join(import.meta.dirname, "../../deploy");
const POD_MONITORS = ["monitoring/podmonitor.yaml", "observability/members.yaml"];
const RULES = join(DEPLOY, "observability/prometheus/quorate.rules.yml");
const ALERTMANAGER = join(DEPLOY, "observability/prometheus/alertmanager.yml");
const NAMESPACE = "monitoring";
const ACCOUNT = "prometheus";
const ROLE = "quorate-lab-prometheus";
/** Nodes and API server have thousands of series, and what changes in them changes slowly. */
const SLOW_INTERVAL = "60s";

const Alerts = z.array(
  z.object({
    labels: z.record(z.string(), z.string()),
    receivers: z.array(z.object({ name: z.string() })),
    status: z.object({ state: z.string() }),
  }),
);

/** An alert that Alertmanager holds. */
export interface HeldAlert {
  readonly name: string;
  readonly namespace: string | undefined;
  readonly cluster: string | undefined;
  readonly receivers: readonly string[];
  /** Another alert explains it, and nobody is told. */
  readonly isHidden: boolean;
}

/** Both servers while they run. */
export interface Monitoring {
  readonly prometheusUrl: string;
  /** What pager and tickets were sent. */
  readonly messages: readonly AlertMessage[];
  /** What fires now, as Alertmanager has it. */
  held(): Promise<readonly HeldAlert[]>;
  /** Ends both. What they were allowed in the cluster goes with them. */
  stop(): Promise<void>;
}

/** Starts both; resolves once they serve. @param ruleFiles - Texts of rule files beside the one for all clusters. */
export async function startMonitoring(ruleFiles: readonly string[]): Promise<Monitoring> {
  await run([join(import.meta.dirname, "../host-prometheus")], { timeoutMs: 300_000 });
  const [prometheusPort = 0, alertmanagerPort = 0] = await claimPorts(2);
  const [prometheus, alertmanager] = [`127.0.0.1:${prometheusPort}`, `127.0.0.1:${alertmanagerPort}`];
  const ends: (() => Promise<unknown>)[] = [];
  const stop = async (): Promise<void> => {
    const failed = (await Promise.allSettled(ends.map((end) => end()))).filter(({ status }) => status === "rejected");
    if (failed.length > 0)
      throw new AggregateError(failed.map((one) => (one as PromiseRejectedResult).reason as unknown));
  };
  try {
    const inbox = await AlertInbox.open();
    ends.push(() => inbox.close());
    ends.push(await startAlertmanager(alertmanager, inbox.url));
    const discovery = await startDiscovery();
    ends.push(() => discovery.close());
    ends.push(closeAccount);
    ends.push(await startPrometheus({ address: prometheus, alertmanager, discovery, ruleFiles }));
    return {
      prometheusUrl: `http://${prometheus}`,
      messages: inbox.messages,
      held: () => heldBy(alertmanager),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startAlertmanager(address: string, inboxUrl: string): Promise<() => Promise<void>> {
  const server = await startHostServer({
    program: "/usr/bin/prometheus-alertmanager",
    args: (folder) => [
      ...[`--config.file=${folder}/alertmanager.yml`, `--storage.path=${folder}/data`],
      ...[`--web.listen-address=${address}`, "--cluster.listen-address=", "--log.level=error"],
    ],
    files: { "alertmanager.yml": await alertmanagerConfig(inboxUrl) },
    readyUrl: `http://${address}/-/ready`,
  });
  return () => server.stop();
}

/** Where a Prometheus listens, whom it asks and whom it tells. */
interface PrometheusOptions {
  readonly address: string;
  readonly alertmanager: string;
  readonly discovery: Discovery;
  readonly ruleFiles: readonly string[];
}

async function startPrometheus(options: PrometheusOptions): Promise<() => Promise<void>> {
  const { address, ruleFiles } = options;
  const { url, authority, token } = await openAccount();
  const extra = Object.fromEntries(ruleFiles.map((text, at) => [`extra-${at}.rules.yml`, text]));
  const config = await prometheusConfig(url, options);
  const server = await startHostServer({
    program: "/usr/bin/prometheus",
    args: (folder) => [
      ...[`--config.file=${folder}/prometheus.yml`, `--storage.tsdb.path=${folder}/data`],
      ...[`--web.listen-address=${address}`, "--log.level=error"],
    ],
    files: { ...extra, "prometheus.yml": JSON.stringify(config), "ca.crt": authority, token }, // JSON is YAML
    readyUrl: `http://${address}/-/ready`,
  });
  return () => server.stop();
}

async function heldBy(alertmanager: string): Promise<HeldAlert[]> {
  const response = await fetch(`http://${alertmanager}/api/v2/alerts`);
  return Alerts.parse(await response.json()).map(({ labels, receivers, status }) => ({
    name: labels["alertname"] ?? "",
    namespace: labels["namespace"],
    cluster: labels["cluster"],
    receivers: receivers.map(({ name }) => name),
    isHidden: status.state === "suppressed",
  }));
}

/** The configuration as it ships, but for the addresses that are examples. */
async function alertmanagerConfig(inboxUrl: string): Promise<string> {
  return (await readFile(ALERTMANAGER, "utf8")).replaceAll(/http:\/\/\w+\.example\/\w+/g, inboxUrl);
}

/** How somebody reaches the API server. */
interface Access {
  readonly url: string;
  readonly authority: string;
  readonly token: string;
}

/** Prometheus' own account, with the rights that everybody gives it. */
async function openAccount(): Promise<Access> {
  await kubectl("create", "namespace", NAMESPACE).catch(() => undefined); // it is there
  const rbac = "rbac.authorization.k8s.io";
  const items = [
    { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: ACCOUNT, namespace: NAMESPACE } },
    {
      apiVersion: `${rbac}/v1`,
      kind: "ClusterRole",
      metadata: { name: ROLE },
      rules: [
        { apiGroups: [""], resources: ["nodes/metrics"], verbs: ["get"] },
        { nonResourceURLs: ["/metrics"], verbs: ["get"] },
      ],
    },
    {
      apiVersion: `${rbac}/v1`,
      kind: "ClusterRoleBinding",
      metadata: { name: ROLE },
      roleRef: { apiGroup: rbac, kind: "ClusterRole", name: ROLE },
      subjects: [{ kind: "ServiceAccount", name: ACCOUNT, namespace: NAMESPACE }],
    },
  ];
  await apply(JSON.stringify({ apiVersion: "v1", kind: "List", items }));
  const token = await kubectl("-n", NAMESPACE, "create", "token", ACCOUNT, "--duration=24h");
  const config = ["config", "view", "--raw", "--minify", "--flatten", "-o", "jsonpath={.clusters[0].cluster}"];
  const cluster = JSON.parse(await kubectl(...config)) as Readonly<Record<string, string>>;
  const authority = Buffer.from(cluster["certificate-authority-data"] ?? "", "base64").toString();
  return { url: cluster["server"] ?? "", authority, token: token.trim() };
}

async function closeAccount(): Promise<void> {
  await kubectl("delete", "clusterrolebinding,clusterrole", ROLE, "--ignore-not-found");
  await kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=20s");
}

async function prometheusConfig(server: string, { alertmanager, discovery }: PrometheusOptions): Promise<object> {
  const told = (what: string) => ({ url: `${discovery.url}/${what}`, refresh_interval: "10s" });
  const podMonitors = await Promise.all(POD_MONITORS.map((file) => readFile(join(DEPLOY, file), "utf8")));
  const slowly = {
    ...{ scrape_interval: SLOW_INTERVAL, scrape_timeout: "30s", scheme: "https" },
    ...{ authorization: { credentials_file: "token" }, tls_config: { ca_file: "ca.crt" } },
  };
  const ofNodes = { ...slowly, http_sd_configs: [told("nodes")] };
  return {
    global: { scrape_interval: "15s", evaluation_interval: "30s" },
    rule_files: [RULES, "extra-*.rules.yml"],
    alerting: { alertmanagers: [{ static_configs: [{ targets: [alertmanager] }] }] },
    scrape_configs: [
      ...podMonitors.flatMap((text) => scrapeJobs(load(text), told("pods"))),
      { job_name: "apiserver", ...slowly, static_configs: [{ targets: [new URL(server).host] }] },
      { job_name: "kubelet", ...ofNodes },
      { job_name: "cadvisor", metrics_path: "/metrics/cadvisor", ...ofNodes },
    ],
  };
}
