// What the operator may do, as Kubernetes' roles. Cluster-wide it is one ClusterRole; for one namespace a Role, and a ClusterRole
// for reading what lies in no namespace.
import { commonLabels, OPERATOR } from "./labels.ts";
import {
  Commented,
  type Condition,
  type Manifest,
  NAMESPACE,
  ONE_NAMESPACE,
  Setting,
  type Tree,
  When,
} from "./tree.ts";
import { WEBHOOK_NAME, WITH_WEBHOOK } from "./webhook.ts";

interface Rule {
  readonly why?: string;
  readonly group: string;
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  /** What lies in no namespace is read with a ClusterRole in every case. */
  readonly isClusterScoped?: true;
  /** The only objects that the right is about; absent: all. */
  readonly names?: readonly Tree[];
  /** Not granted otherwise. */
  readonly condition?: Condition;
}

/** Children that go with their cluster: the garbage collector takes them. */
const CHILD_VERBS = ["create", "list", "patch", "watch"];
/** Children that the operator takes away itself. */
const SPARE_CHILD_VERBS = ["create", "delete", "list", "patch", "watch"];

const RULES: readonly Rule[] = [
  {
    why: "What users want, and what came of it. Never written but for status, and for the ClusterSpecs of shards, which are ours.",
    group: "quorate.io",
    resources: ["clusterspecs"],
    verbs: ["create", "delete", "get", "list", "patch", "watch"],
  },
  { group: "quorate.io", resources: ["clusteroperations"], verbs: ["list", "watch"] },
  { group: "quorate.io", resources: ["engines"], verbs: ["get", "list", "watch"], isClusterScoped: true },
  { group: "quorate.io", resources: ["clusteroperations/status", "clusterspecs/status"], verbs: ["patch"] },
  {
    why: "Children of a cluster that it keeps until its end. Server-side apply needs patch, and create for what is not there yet.\nGranted: list and watch of configmaps.",
    group: "",
    resources: ["configmaps", "serviceaccounts", "services"],
    verbs: CHILD_VERBS,
  },
  { group: "networking.k8s.io", resources: ["networkpolicies"], verbs: CHILD_VERBS },
  { group: "policy", resources: ["poddisruptionbudgets"], verbs: CHILD_VERBS },
  { group: "rbac.authorization.k8s.io", resources: ["rolebindings", "roles"], verbs: CHILD_VERBS },
  {
    why: "Children that the operator takes away when they are not wanted any more: members, volumes, canaries, old revisions.",
    group: "",
    resources: ["persistentvolumeclaims"],
    verbs: SPARE_CHILD_VERBS,
  },
  { group: "apps", resources: ["controllerrevisions", "deployments", "statefulsets"], verbs: SPARE_CHILD_VERBS },
  { group: "autoscaling", resources: ["horizontalpodautoscalers"], verbs: SPARE_CHILD_VERBS },
  {
    why: "Secrets are read one by one, by the names the operator gave them: it cannot see those of others by listing.",
    group: "",
    resources: ["secrets"],
    verbs: ["create", "delete", "get", "patch"],
  },
  {
    why: "Pods of members: watched for readiness and reports, deleted to restart. Granted: get, patch.",
    group: "",
    resources: ["pods"],
    verbs: ["delete", "get", "list", "patch", "watch"],
  },
  {
    why: "Nodes: a cordoned one loses its leader before it is drained.",
    group: "",
    resources: ["nodes"],
    verbs: ["get", "list", "watch"],
    isClusterScoped: true,
  },
  {
    why: "Volumes and their classes: whether a claim can grow, and whether its node is gone for good.",
    group: "",
    resources: ["persistentvolumes"],
    verbs: ["get"],
    isClusterScoped: true,
  },
  { group: "storage.k8s.io", resources: ["storageclasses"], verbs: ["list", "watch"], isClusterScoped: true },
  {
    why: "Whether the class that pods ask for exists: without it the API server takes none of them.",
    group: "scheduling.k8s.io",
    resources: ["priorityclasses"],
    verbs: ["list", "watch"],
    isClusterScoped: true,
  },
  {
    why: "Leases: created once for each cluster and written by members only; the operator's own is its leader election.\nGranted: get, list, update, watch.",
    group: "coordination.k8s.io",
    resources: ["leases"],
    verbs: ["create", "get", "list", "update", "watch"],
  },
  {
    why: "Routes of -rw and -ro: created once and written by the leading member. Granted: get, list, update, watch.",
    group: "discovery.k8s.io",
    resources: ["endpointslices"],
    verbs: ["create", "get", "list", "update", "watch"],
  },
  {
    why: "Rules for Prometheus, of clusters that state objectives. Only where the Prometheus Operator's kinds are there.",
    group: "monitoring.coreos.com",
    resources: ["prometheusrules"],
    verbs: ["create", "delete", "list", "patch"],
  },
  {
    why: "Events for people, such as a change of leader. Granted: create, patch.",
    group: "events.k8s.io",
    resources: ["events"],
    verbs: ["create", "patch"],
  },
  {
    why: "The status page asks whose a token is, and what that person may see. Nothing is stored by that.",
    group: "authentication.k8s.io",
    resources: ["tokenreviews"],
    verbs: ["create"],
    isClusterScoped: true,
  },
  {
    group: "authorization.k8s.io",
    resources: ["subjectaccessreviews"],
    verbs: ["create"],
    isClusterScoped: true,
  },
  {
    why: "Only with the webhook: whom the API server believes when it asks the operator, by the name of its configuration.",
    group: "admissionregistration.k8s.io",
    resources: ["validatingwebhookconfigurations"],
    verbs: ["get", "patch"],
    isClusterScoped: true,
    names: [WEBHOOK_NAME],
    condition: WITH_WEBHOOK,
  },
];

/** A right of the operator, for people. */
export interface Right {
  readonly resource: string;
  readonly verbs: readonly string[];
  readonly why: string;
}

/** Every right, with its reason. */
export function rights(): readonly Right[] {
  let reason = "";
  return RULES.flatMap(({ why, group, resources, verbs }) => {
    reason = why?.replaceAll("\n", " ") ?? reason; // rules of one kind stand together, below the first one's reason
    return resources.map((resource) => ({
      resource: group === "" ? resource : `${resource}.${group}`,
      verbs,
      why: reason,
    }));
  });
}

const EVERYWHERE: Condition = {
  expression: 'eq .Values.watch "AllNamespaces"',
  plain: ({ watch }) => watch === "AllNamespaces",
};
const API_GROUP = "rbac.authorization.k8s.io";
// Several releases may each look after their own namespace.
const READER = new Setting('printf "quorate-operator-%s" .Release.Namespace', () => "quorate-operator-quorate-system");
const SUBJECTS: Tree = [{ kind: "ServiceAccount", name: OPERATOR, namespace: NAMESPACE }];

const ABOUT = `What the operator may do. It grants members a Role of their own, and may neither escalate nor bind: therefore it holds
every right of that Role itself (marked "granted"). No wildcard, no list of Secrets, no exec into pods.`;

/** The rights of the operator, for either way of watching. */
export function roles(): readonly Manifest[] {
  const inNamespace = RULES.filter((rule) => rule.isClusterScoped !== true);
  const outside = RULES.filter((rule) => rule.isClusterScoped === true);
  return [
    role("ClusterRole", { name: OPERATOR }, RULES, { comment: ABOUT, condition: EVERYWHERE }),
    role("Role", { name: OPERATOR, namespace: NAMESPACE }, inNamespace, { comment: ABOUT, condition: ONE_NAMESPACE }),
    role("ClusterRole", { name: READER }, outside, {
      comment: "What lies in no namespace, for reading.",
      condition: ONE_NAMESPACE,
    }),
  ];
}

/** Who has those rights. */
export function bindings(): readonly Manifest[] {
  return [
    binding("ClusterRoleBinding", { name: OPERATOR }, { kind: "ClusterRole", name: OPERATOR }, EVERYWHERE),
    binding("RoleBinding", { name: OPERATOR, namespace: NAMESPACE }, { kind: "Role", name: OPERATOR }, ONE_NAMESPACE),
    binding("ClusterRoleBinding", { name: READER }, { kind: "ClusterRole", name: READER }, ONE_NAMESPACE),
  ];
}

function role(
  kind: string,
  meta: { readonly [field: string]: Tree },
  rules: readonly Rule[],
  about: Omit<Manifest, "tree">,
): Manifest {
  const items = rules.map(({ why, group, resources, verbs, names, condition }) => {
    const named = names === undefined ? {} : { resourceNames: names };
    const rule: Tree = { apiGroups: [group], resources, ...named, verbs };
    const told = why === undefined ? rule : new Commented(`\n${why}`, rule);
    return condition === undefined ? told : new When(condition, told);
  });
  const metadata = { ...meta, labels: commonLabels() };
  return { ...about, tree: { apiVersion: `${API_GROUP}/v1`, kind, metadata, rules: items } };
}

function binding(
  kind: string,
  meta: { readonly [field: string]: Tree },
  roleRef: { readonly [field: string]: Tree },
  condition: Condition,
): Manifest {
  const metadata = { ...meta, labels: commonLabels() };
  const tree = {
    apiVersion: `${API_GROUP}/v1`,
    kind,
    metadata,
    roleRef: { apiGroup: API_GROUP, ...roleRef },
    subjects: SUBJECTS,
  };
  return { condition, tree };
}
