// API priority and fairness: leases and routes do not queue behind everybody else's requests.
import { sharedLabels } from "./labels.ts";
import type { Condition, Manifest } from "./tree.ts";

const API_VERSION = "flowcontrol.apiserver.k8s.io/v1";
const metadata = { name: "quorate-leadership", labels: sharedLabels() };
const ENABLED: Condition = {
  expression: ".Values.flowSchema.enabled",
  plain: ({ flowSchema }) => flowSchema.enabled,
};

/** The FlowSchema and its priority level. */
export function fairness(): readonly Manifest[] {
  const onObjects = (apiGroup: string, resource: string) => ({
    apiGroups: [apiGroup],
    resources: [resource],
    verbs: ["get", "update"],
    namespaces: ["*"],
  });
  return [
    {
      comment: `The few requests that keep a leader alive and move traffic do not queue behind everybody else's: without this a busy
controller in the service-accounts flow delays renewals until leaders are fenced.

A FlowSchema cannot tell our service accounts from others (no labels, no resource names), so it matches every service
account that reads or updates a Lease or an EndpointSlice by name. That is leader election elsewhere, as rare and as urgent as
ours; each account is a flow of its own, so one that goes wild queues behind itself. kube-system and nodes are matched
earlier (precedence 100 to 900) and stay where they are.`,
      condition: ENABLED,
      tree: {
        apiVersion: API_VERSION,
        kind: "FlowSchema",
        metadata,
        spec: {
          matchingPrecedence: 1000,
          priorityLevelConfiguration: { name: "quorate-leadership" },
          distinguisherMethod: { type: "ByUser" },
          rules: [
            {
              subjects: [{ kind: "Group", group: { name: "system:serviceaccounts" } }],
              resourceRules: [
                onObjects("coordination.k8s.io", "leases"),
                onObjects("discovery.k8s.io", "endpointslices"),
              ],
            },
          ],
        },
      },
    },
    {
      comment: `20 shares beside Kubernetes' own 245 are about 45 of 600 seats: at 10 ms a write, 4,500 renewals a second. Half of it is lent
to others while it is idle.`,
      condition: ENABLED,
      tree: {
        apiVersion: API_VERSION,
        kind: "PriorityLevelConfiguration",
        metadata,
        spec: {
          type: "Limited",
          limited: {
            nominalConcurrencyShares: 20,
            lendablePercent: 50,
            limitResponse: { type: "Queue", queuing: { queues: 64, handSize: 6, queueLengthLimit: 50 } },
          },
        },
      },
    },
  ];
}
