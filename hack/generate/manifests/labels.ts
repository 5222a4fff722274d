// Names and labels that all objects of the installation share.
import type { Tree } from "./tree.ts";

/** Name of the operator's Deployment, ServiceAccount, roles and Service. */
export const OPERATOR = "quorate-operator";

/** Labels of everything that is installed beside the operator. */
export function sharedLabels(): { readonly [label: string]: Tree } {
  return { "app.kubernetes.io/name": "quorate" };
}

/** Labels of what a Prometheus and a Grafana are told. */
export function observabilityLabels(): { readonly [label: string]: Tree } {
  return { "app.kubernetes.io/name": "quorate", "app.kubernetes.io/component": "observability" };
}

/** Labels of the operator's own objects; they select its pods as well, so they never hold a version. */
export function commonLabels(): { readonly [label: string]: Tree } {
  return { "app.kubernetes.io/name": "quorate", "app.kubernetes.io/component": "operator" };
}
