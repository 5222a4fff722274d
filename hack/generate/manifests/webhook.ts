// The webhook that judges ClusterSpecs before they are stored, where it is switched on. It never stands in the way: while the
// operator does not answer, everything passes, and the planner says later what the webhook would have said.
import { WEBHOOK_PATH } from "../../../src/webhook/server.ts";
import { commonLabels, OPERATOR } from "./labels.ts";
import { type Condition, type Manifest, NAMESPACE, ONE_NAMESPACE, Setting, When } from "./tree.ts";

/** Port of the operator's container. */
export const WEBHOOK_PORT = 9443;

/** Somebody switched it on. */
export const WITH_WEBHOOK: Condition = {
  expression: ".Values.webhook.enabled",
  plain: (values) => values.webhook.enabled,
};

/** Name of the configuration. Several releases may each have their own namespace. */
export const WEBHOOK_NAME = new Setting(
  `eq .Values.watch "ReleaseNamespace" | ternary (printf "${OPERATOR}-%s" .Release.Namespace) "${OPERATOR}" | quote`,
  ({ watch }) => (watch === "ReleaseNamespace" ? `${OPERATOR}-quorate-system` : OPERATOR),
);

/** Whom the API server asks, about what, and for how long. The operator fills in which authority it is to believe. */
export function webhookConfiguration(): Manifest {
  const rule = {
    apiGroups: ["quorate.io"],
    apiVersions: ["v1alpha1"],
    resources: ["clusterspecs"],
    operations: ["CREATE", "UPDATE"],
    scope: "Namespaced",
  };
  return {
    comment: "failurePolicy Ignore: an operator that is away must not keep anybody from changing a cluster.",
    condition: WITH_WEBHOOK,
    tree: {
      apiVersion: "admissionregistration.k8s.io/v1",
      kind: "ValidatingWebhookConfiguration",
      metadata: { name: WEBHOOK_NAME, labels: commonLabels() },
      webhooks: [
        {
          name: "clusterspecs.quorate.io",
          admissionReviewVersions: ["v1"],
          clientConfig: { service: { name: OPERATOR, namespace: NAMESPACE, port: 443, path: WEBHOOK_PATH } },
          failurePolicy: "Ignore",
          matchPolicy: "Equivalent",
          namespaceSelector: new When(ONE_NAMESPACE, {
            matchLabels: { "kubernetes.io/metadata.name": NAMESPACE },
          }),
          rules: [rule],
          sideEffects: "None",
          timeoutSeconds: 3,
        },
      ],
    },
  };
}
