// deploy/: the installation for kubectl apply -k, Flux and Argo CD, with the chart's default values filled in.
import { admissionPolicies } from "./admission.ts";
import { fairness } from "./fairness.ts";
import { OPERATOR } from "./labels.ts";
import { fleetRules, memberMonitor } from "./observability.ts";
import {
  deployment,
  disruptionBudget,
  monitor,
  namespace,
  networkPolicy,
  priorityClass,
  service,
  serviceAccount,
} from "./operator.ts";
import { bindings, roles } from "./rbac.ts";
import { render } from "./render.ts";
import type { Manifest } from "./tree.ts";
import type { ChartValues } from "./values.ts";
import { webhookConfiguration } from "./webhook.ts";

/** Every file below deploy/, by its path from there. `values` are the chart's defaults with the tag to install. */
export function kustomizeFiles(values: ChartValues): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  const folder = (name: string, contents: ReadonlyMap<string, readonly Manifest[]>, chosen: ChartValues = values) => {
    const written = [...contents]
      .map(([file, manifests]) => [`${file}.yaml`, render(manifests, { form: "plain", values: chosen })] as const)
      .filter(([, text]) => text !== "");
    for (const [file, text] of written) files.set(`${name}/${file}`, text);
    files.set(`${name}/kustomization.yaml`, kustomization(written.map(([file]) => file)));
  };
  folder("rbac", access());
  folder("operator", operator());
  folder("flowschema", new Map([["flowschema", fairness()]]));
  folder("admission", admissionPolicies());
  folder("monitoring", new Map([["podmonitor", [monitor("PodMonitor")]]]), withPodMonitor(values));
  folder(
    "observability",
    new Map([
      ["members", [memberMonitor()]],
      ["rules", [fleetRules()]],
    ]),
    withObservability(values),
  );
  files.set("crds/kustomization.yaml", kustomization(["../../crds"]));
  files.set(
    "default/kustomization.yaml",
    kustomization(["../crds", "../rbac", "../operator", "../flowschema", "../admission"], {
      comment: "Everything: kubectl apply --server-side -k deploy/default",
    }),
  );
  files.set(
    "high-availability/kustomization.yaml",
    kustomization(["../default"], {
      comment: "As default, with a second replica that takes over within seconds when a node is lost.",
      more: `replicas: [{name: ${OPERATOR}, count: 2}]\n`,
    }),
  );
  const asked: ChartValues = { ...values, webhook: { enabled: true } };
  folder("webhook/rbac", access(), asked);
  folder("webhook/operator", operator(), asked);
  folder("webhook/configuration", new Map([["webhook", [webhookConfiguration()]]]), asked);
  files.set(
    "webhook/kustomization.yaml",
    kustomization(["../crds", "rbac", "operator", "configuration", "../flowschema", "../admission"], {
      comment: "As default, and the API server asks the operator before it stores a ClusterSpec.",
    }),
  );
  const narrow: ChartValues = { ...values, watch: "ReleaseNamespace" };
  folder("namespaced/rbac", access(), narrow);
  folder("namespaced/operator", operator(), narrow);
  files.set(
    "namespaced/kustomization.yaml",
    kustomization(["../crds", "rbac", "operator", "../flowschema", "../admission"], {
      comment:
        "The operator looks after the clusters of its own namespace only, and has no right to write anywhere else.",
    }),
  );
  return files;
}

function access(): ReadonlyMap<string, readonly Manifest[]> {
  const [clusterRole, role, reader] = roles();
  const [clusterBinding, roleBinding, readerBinding] = bindings();
  const present = (manifest: Manifest | undefined) => (manifest === undefined ? [] : [manifest]);
  return new Map([
    ["serviceaccount", [serviceAccount()]],
    ["clusterrole", [...present(clusterRole), ...present(reader)]],
    ["clusterrolebinding", [...present(clusterBinding), ...present(readerBinding)]],
    ["role", present(role)],
    ["rolebinding", present(roleBinding)],
  ]);
}

function operator(): ReadonlyMap<string, readonly Manifest[]> {
  return new Map([
    ["namespace", [namespace()]],
    ["priorityclass", [priorityClass()]],
    ["deployment", [deployment()]],
    ["poddisruptionbudget", [disruptionBudget()]],
    ["service", [service()]],
    ["networkpolicy", [networkPolicy()]],
  ]);
}

function withPodMonitor(values: ChartValues): ChartValues {
  return { ...values, podMonitor: { ...values.podMonitor, enabled: true } };
}

function withObservability(values: ChartValues): ChartValues {
  const enabled = { enabled: true };
  return {
    ...values,
    memberMonitor: { ...values.memberMonitor, ...enabled },
    prometheusRule: { ...values.prometheusRule, ...enabled },
  };
}

function kustomization(resources: readonly string[], { comment = "", more = "" } = {}): string {
  const head = comment === "" ? "" : `# ${comment}\n`;
  const list = resources.map((resource) => `  - ${resource}\n`).join("");
  return `${head}apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n${list}${more}`;
}
