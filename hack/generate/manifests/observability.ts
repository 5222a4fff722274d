// What a Prometheus and a Grafana are told of quorate, as far as it is objects of Kubernetes.
import { LABEL_CLUSTER, MANAGED_BY } from "../../../src/api/names.ts";
import { fleetGroups } from "../../../src/slo/fleet.ts";
import { RUNBOOKS } from "../../../src/slo/rule.ts";
import { DASHBOARDS } from "../dashboards/dashboards.ts";
import { toGrafana } from "../dashboards/panel.ts";
import { observabilityLabels } from "./labels.ts";
import { Block, type Condition, type Manifest, merged, NAMESPACE, ONE_NAMESPACE, Setting, When } from "./tree.ts";

const API_VERSION = "monitoring.coreos.com/v1";

/** Where the rules are in the chart. Their texts hold what Prometheus fills in, so they are read as they are and never as a template. */
const RULES_FILE = "observability/rules.yaml";

/** The members of all clusters. Their series name them by themselves, so a Prometheus must not name them after their pods. */
export function memberMonitor(): Manifest {
  const interval = new Setting(
    'printf "%ds" (int .Values.memberMonitor.intervalSeconds)',
    ({ memberMonitor: { intervalSeconds } }) => `${intervalSeconds}s`,
  );
  return {
    condition: { expression: ".Values.memberMonitor.enabled", plain: (values) => values.memberMonitor.enabled },
    tree: {
      apiVersion: API_VERSION,
      kind: "PodMonitor",
      metadata: {
        name: "quorate-members",
        namespace: NAMESPACE,
        labels: merged(
          observabilityLabels(),
          new Block(".Values.memberMonitor.labels", (values) => values.memberMonitor.labels),
        ),
      },
      spec: {
        // Without a selector a PodMonitor looks into its own namespace only.
        namespaceSelector: new When(not(ONE_NAMESPACE), { any: true }),
        selector: {
          matchLabels: { "app.kubernetes.io/managed-by": MANAGED_BY },
          matchExpressions: [{ key: LABEL_CLUSTER, operator: "Exists" }],
        },
        podMetricsEndpoints: [{ port: "health", path: "/metrics", interval, honorLabels: true }],
      },
    },
  };
}

/** Recording rules and alerts that all clusters share. */
export function fleetRules(): Manifest {
  const folder = `.Values.runbooksUrl | default "${RUNBOOKS}" | trimSuffix "/"`;
  const withLinks = `.Files.Get "${RULES_FILE}" | replace "${RUNBOOKS}/" (printf "%s/" (${folder}))`;
  const groups = new Block(`(${withLinks} | fromYaml).groups`, ({ runbooksUrl }) =>
    fleetGroups(runbooksUrl === "" ? RUNBOOKS : runbooksUrl),
  );
  return {
    condition: { expression: ".Values.prometheusRule.enabled", plain: (values) => values.prometheusRule.enabled },
    tree: {
      apiVersion: API_VERSION,
      kind: "PrometheusRule",
      metadata: {
        name: "quorate",
        namespace: NAMESPACE,
        labels: merged(
          observabilityLabels(),
          new Block(".Values.prometheusRule.labels", (values) => values.prometheusRule.labels),
        ),
      },
      spec: { groups },
    },
  };
}

/** A ConfigMap for each dashboard, as Grafana's sidecar reads them. kustomize makes the same from the files. */
export function dashboardMaps(): readonly Manifest[] {
  return [...dashboardFiles()].map(([file, text]) => ({
    condition: { expression: ".Values.dashboards.enabled", plain: (values) => values.dashboards.enabled },
    tree: {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: {
        name: file.replace(/[.]json$/, ""),
        namespace: NAMESPACE,
        labels: merged(
          observabilityLabels(),
          new Block(".Values.dashboards.labels", (values) => values.dashboards.labels),
        ),
        annotations: new Block(".Values.dashboards.annotations", (values) => values.dashboards.annotations),
      },
      data: { [file]: new Setting(`.Files.Get "observability/dashboards/${file}" | toJson`, () => text) },
    },
  }));
}

/** The dashboards as Grafana imports them, by the names of their files. */
export function dashboardFiles(): ReadonlyMap<string, string> {
  return new Map(DASHBOARDS.map((one) => [`${one.uid}.json`, `${JSON.stringify(toGrafana(one), null, 2)}\n`] as const));
}

/** What templates of the chart read, by its path from charts/quorate. @param toYaml - Writes an object with its header. */
export function chartSources(toYaml: (object: object) => string): ReadonlyMap<string, string> {
  return new Map([
    [RULES_FILE, toYaml({ groups: fleetGroups() })],
    ...[...dashboardFiles()].map(([file, text]) => [`observability/dashboards/${file}`, text] as const),
  ]);
}

function not({ expression, plain }: Condition): Condition {
  return { expression: `not (${expression})`, plain: (values) => !plain(values) };
}
