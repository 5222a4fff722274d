// deploy/observability: what a Prometheus, an Alertmanager and a Grafana get told of quorate, from the same sources as the operator.
import { LABEL_CLUSTER, MANAGED_BY } from "../../src/api/names.ts";
import { alertmanagerConfig } from "../../src/slo/alertmanager.ts";
import { fleetGroups } from "../../src/slo/fleet.ts";
import { DASHBOARDS } from "./dashboards/dashboards.ts";
import { toGrafana } from "./dashboards/panel.ts";

/** Every file, by its path below deploy/observability. @param toYaml - Writes an object with the header of generated files. */
export function observabilityFiles(toYaml: (object: object) => string): ReadonlyMap<string, string> {
  const groups = fleetGroups();
  return new Map([
    ["kustomization.yaml", toYaml(kustomization(["members.yaml", "rules.yaml"]))],
    ["members.yaml", toYaml(memberMonitor())],
    ["rules.yaml", toYaml(prometheusRule(groups))],
    // For a Prometheus without the Prometheus Operator.
    ["prometheus/quorate.rules.yml", toYaml({ groups })],
    ["prometheus/alertmanager.yml", toYaml(alertmanagerConfig())],
    ["dashboards/kustomization.yaml", toYaml(dashboardConfigMaps())],
    ...DASHBOARDS.map((one) => [`dashboards/${one.uid}.json`, `${JSON.stringify(toGrafana(one), null, 2)}\n`] as const),
  ]);
}

const LABELS = { "app.kubernetes.io/name": "quorate", "app.kubernetes.io/component": "observability" };
const NAMESPACE = "quorate-system";

/** The members of all clusters. Their series name them by themselves, so a Prometheus must not name them after their pods. */
function memberMonitor(): object {
  return {
    apiVersion: "monitoring.coreos.com/v1",
    kind: "PodMonitor",
    metadata: { name: "quorate-members", namespace: NAMESPACE, labels: LABELS },
    spec: {
      namespaceSelector: { any: true },
      selector: {
        matchLabels: { "app.kubernetes.io/managed-by": MANAGED_BY },
        matchExpressions: [{ key: LABEL_CLUSTER, operator: "Exists" }],
      },
      podMetricsEndpoints: [{ port: "health", path: "/metrics", interval: "15s", honorLabels: true }],
    },
  };
}

/** ConfigMaps with the label by which Grafana's sidecar finds dashboards. */
function dashboardConfigMaps(): object {
  return {
    apiVersion: "kustomize.config.k8s.io/v1beta1",
    kind: "Kustomization",
    namespace: NAMESPACE,
    generatorOptions: { disableNameSuffixHash: true, labels: { ...LABELS, grafana_dashboard: "1" } },
    configMapGenerator: DASHBOARDS.map(({ uid }) => ({ name: uid, files: [`${uid}.json`] })),
  };
}

function prometheusRule(groups: object): object {
  return {
    apiVersion: "monitoring.coreos.com/v1",
    kind: "PrometheusRule",
    metadata: { name: "quorate", namespace: NAMESPACE, labels: LABELS },
    spec: { groups },
  };
}

function kustomization(resources: readonly string[]): object {
  return { apiVersion: "kustomize.config.k8s.io/v1beta1", kind: "Kustomization", resources };
}
