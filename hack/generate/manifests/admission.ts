// What the API server refuses or warns of by itself, in CEL: no webhook can be away.
import { LABEL_SHARD_OF } from "../../../src/api/names.ts";
import { OPERATOR, sharedLabels } from "./labels.ts";
import { Commented, type Condition, type Manifest, type Tree } from "./tree.ts";

const API_VERSION = "admissionregistration.k8s.io/v1";
const ENABLED: Condition = {
  expression: ".Values.admissionPolicies.enabled",
  plain: (values) => values.admissionPolicies.enabled,
};
const KEEPS_LABEL: Tree = {
  expression: "object.metadata.?labels[?'app.kubernetes.io/managed-by'].orValue('') == 'quorate'",
  message: "metadata.labels must keep app.kubernetes.io/managed-by: quorate, because the epoch is guarded by it",
};

interface Policy {
  readonly name: string;
  readonly comment: string;
  readonly action: "Deny" | "Warn";
  readonly spec: Tree;
}

/** All policies, each with its binding, by the names of their files. */
export function admissionPolicies(): ReadonlyMap<string, readonly Manifest[]> {
  const policies = {
    "lease-epoch": leaseEpoch(),
    "route-epoch": routeEpoch(),
    "even-members": evenMembers(),
    "force-promotion": forcePromotion(),
    "own-shards": ownShards(),
  };
  return new Map(Object.entries(policies).map(([file, policy]) => [file, withBinding(policy)]));
}

function withBinding({ name, comment, action, spec }: Policy): readonly Manifest[] {
  const metadata = { name, labels: sharedLabels() };
  const binding = { policyName: name, validationActions: [action] };
  return [
    {
      comment,
      condition: ENABLED,
      tree: { apiVersion: API_VERSION, kind: "ValidatingAdmissionPolicy", metadata, spec },
    },
    {
      condition: ENABLED,
      tree: { apiVersion: API_VERSION, kind: "ValidatingAdmissionPolicyBinding", metadata, spec: binding },
    },
  ];
}

/** Rules for updates of our objects of one kind. */
function onUpdate(apiGroup: string, resource: string): Tree {
  return {
    objectSelector: new Commented(
      "Matches when the old or the new object has the label, so an update that takes it away is looked at as well.",
      { matchLabels: { "app.kubernetes.io/managed-by": "quorate" } },
    ),
    resourceRules: [{ apiGroups: [apiGroup], apiVersions: ["v1"], resources: [resource], operations: ["UPDATE"] }],
  };
}

/** Rules for one of our own kinds. */
function onKind(resource: string, ...operations: readonly string[]): Tree {
  return {
    resourceRules: [{ apiGroups: ["quorate.io"], apiVersions: ["v1alpha1"], resources: [resource], operations }],
  };
}

function variables(expressions: Readonly<Record<string, string>>): Tree {
  return Object.entries(expressions).map(([name, expression]) => ({ name, expression }));
}

function leaseEpoch(): Policy {
  return {
    name: "quorate-lease-epoch",
    comment: `The last line against two leaders: whatever a member believes, the epoch of its cluster's Lease never goes back, and nobody
takes the Lease without a higher one. Deleting the Lease stays possible; a cluster without Lease elects nobody.`,
    action: "Deny",
    spec: {
      failurePolicy: "Fail",
      matchConstraints: onUpdate("coordination.k8s.io", "leases"),
      variables: variables({
        oldEpoch: "oldObject.spec.?leaseTransitions.orValue(0)",
        newEpoch: "object.spec.?leaseTransitions.orValue(0)",
        oldHolder: "oldObject.spec.?holderIdentity.orValue('')",
        newHolder: "object.spec.?holderIdentity.orValue('')",
      }),
      validations: [
        {
          expression: "variables.newEpoch >= variables.oldEpoch",
          messageExpression:
            "'spec.leaseTransitions must not go back from ' + string(variables.oldEpoch) + ' to ' + string(variables.newEpoch) + " +
            "': it is the epoch of the cluster; read the Lease again and take it with a higher one'",
        },
        {
          expression:
            "variables.newHolder == '' || variables.newHolder == variables.oldHolder || variables.newEpoch > variables.oldEpoch",
          messageExpression:
            "'spec.holderIdentity must not change within epoch ' + string(variables.oldEpoch) + " +
            "': take the Lease with a higher spec.leaseTransitions'",
        },
        KEEPS_LABEL,
      ],
    },
  };
}

function routeEpoch(): Policy {
  const isNumber = (name: string) => `variables.${name}.matches('^[0-9]{1,15}$') ? int(variables.${name}) : -1`;
  const read = (object: string) => `${object}.metadata.?annotations[?'quorate.io/epoch'].orValue('0')`;
  return {
    name: "quorate-route-epoch",
    comment: `A leader that slept through a failover must not take the traffic back: the epoch on a route never goes back. What is not a
number is lower than any epoch: a broken one may be mended, never written.`,
    action: "Deny",
    spec: {
      failurePolicy: "Fail",
      matchConstraints: onUpdate("discovery.k8s.io", "endpointslices"),
      variables: variables({
        oldText: read("oldObject"),
        newText: read("object"),
        oldEpoch: isNumber("oldText"),
        newEpoch: isNumber("newText"),
      }),
      validations: [
        {
          expression: "variables.newEpoch >= 0 && variables.newEpoch >= variables.oldEpoch",
          messageExpression:
            "'annotation quorate.io/epoch must not go back from ' + variables.oldText + ' to ' + variables.newText + " +
            "': only the leader of the newest epoch writes a route; read the Lease again'",
        },
        KEEPS_LABEL,
      ],
    },
  };
}

function forcePromotion(): Policy {
  return {
    name: "quorate-force-promotion",
    comment: "Who orders that acknowledged writes may be lost signs with the name that the API server knows them by.",
    action: "Deny",
    spec: {
      failurePolicy: "Fail",
      matchConstraints: onKind("clusteroperations", "CREATE"),
      validations: [
        {
          expression:
            "!has(object.spec.forcePromotion) || object.spec.forcePromotion.approvedBy == request.userInfo.username",
          messageExpression:
            "'spec.forcePromotion.approvedBy must be ' + request.userInfo.username + ', who creates this: nobody signs for another'",
        },
      ],
    },
  };
}

function ownShards(): Policy {
  const isShard = (object: string) =>
    `has(${object}.metadata.labels) && '${LABEL_SHARD_OF}' in ${object}.metadata.labels`;
  return {
    name: "quorate-own-shards",
    comment: `The operator's account may write ClusterSpecs, because it makes those of shards. What users wrote it must not change,
whoever has its token.`,
    action: "Deny",
    spec: {
      failurePolicy: "Fail",
      matchConstraints: onKind("clusterspecs", "CREATE", "UPDATE", "DELETE"),
      matchConditions: [
        {
          name: "by-the-operator",
          expression: `request.userInfo.username.matches('^system:serviceaccount:[^:]+:${OPERATOR}$')`,
        },
      ],
      validations: [
        {
          expression: `(request.operation == 'DELETE' || (${isShard("object")})) && (request.operation == 'CREATE' || (${isShard("oldObject")}))`,
          reason: "Forbidden",
          message: `the operator writes only ClusterSpecs of shards, which have the label ${LABEL_SHARD_OF}`,
        },
      ],
    },
  };
}

function evenMembers(): Policy {
  return {
    name: "quorate-even-members",
    comment: "A warning, not a refusal: even numbers work, and cost one member that buys nothing.",
    action: "Warn",
    spec: {
      failurePolicy: "Ignore",
      matchConstraints: onKind("clusterspecs", "CREATE", "UPDATE"),
      validations: [
        {
          expression: "object.spec.members % 2 == 1",
          messageExpression:
            "'spec.members ' + string(object.spec.members) + ' survives no more lost members than ' + " +
            "string(object.spec.members - 1) + ' would: prefer an odd number'",
        },
      ],
    },
  };
}
