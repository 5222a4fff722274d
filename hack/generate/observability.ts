// deploy/observability, as far as it is files: what a Prometheus without the Prometheus Operator, an Alertmanager and a Grafana get
// told of quorate, from the same sources as the operator.
import { alertmanagerConfig } from "../../src/slo/alertmanager.ts";
import { fleetGroups } from "../../src/slo/fleet.ts";
import { DASHBOARDS } from "./dashboards/dashboards.ts";
import { dashboardFiles } from "./manifests/observability.ts";

/** Every file, by its path below deploy/observability. @param toYaml - Writes an object with the header of generated files. */
export function observabilityFiles(toYaml: (object: object) => string): ReadonlyMap<string, string> {
  return new Map([
    ["prometheus/quorate.rules.yml", toYaml({ groups: fleetGroups() })],
    ["prometheus/alertmanager.yml", toYaml(alertmanagerConfig())],
    ["dashboards/kustomization.yaml", toYaml(dashboardConfigMaps())],
    ...[...dashboardFiles()].map(([file, text]) => [`dashboards/${file}`, text] as const),
  ]);
}

const LABELS = { "app.kubernetes.io/name": "quorate", "app.kubernetes.io/component": "observability" };
const NAMESPACE = "quorate-system";

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
