// What the members of one cluster may do at the API server: their own Lease, slices, intent and pods, by name.
import { nameOf } from "../api/names.ts";
import type { BuildContext } from "./context.ts";
import { child } from "./labels.ts";
import type { Manifest } from "./manifest.ts";

const RBAC = "rbac.authorization.k8s.io";

/** ServiceAccount, Role and RoleBinding of the members. `members` are the names of those whose pods may be patched. */
export function buildAccess(context: BuildContext, members: readonly string[]): Manifest[] {
  const name = nameOf.serviceAccount(context.name);
  return [
    buildServiceAccount(context),
    child(context, { apiVersion: `${RBAC}/v1`, kind: "Role" }, name, { rules: rules(context, members) }),
    child(context, { apiVersion: `${RBAC}/v1`, kind: "RoleBinding" }, name, {
      roleRef: { apiGroup: RBAC, kind: "Role", name },
      subjects: [{ kind: "ServiceAccount", name, namespace: context.namespace }],
    }),
  ];
}

/** Whom the members' pods run as. By itself it may do nothing. */
export function buildServiceAccount(context: BuildContext): Manifest {
  return child(context, { apiVersion: "v1", kind: "ServiceAccount" }, nameOf.serviceAccount(context.name), {});
}

function rules(context: BuildContext, members: readonly string[]): Record<string, unknown>[] {
  const { name } = context;
  return [
    {
      apiGroups: ["coordination.k8s.io"],
      resources: ["leases"],
      resourceNames: [nameOf.lease(name)],
      verbs: ["get", "list", "watch", "update"], // no create: a Lease that is gone means "not renewed"
    },
    {
      apiGroups: ["discovery.k8s.io"],
      resources: ["endpointslices"],
      resourceNames: [nameOf.readWrite(name), nameOf.readOnly(name)],
      verbs: ["get", "list", "watch", "update"],
    },
    {
      apiGroups: [""],
      resources: ["configmaps"],
      resourceNames: [nameOf.intent(name)],
      verbs: ["list", "watch"],
    },
    ...(context.intent.update.agents === "InPlace" ? [agentRule(name)] : []),
    { apiGroups: [""], resources: ["pods"], resourceNames: members.map(nameOf.pod), verbs: ["get", "patch"] },
    { apiGroups: ["events.k8s.io"], resources: ["events"], verbs: ["create", "patch"] },
  ];
}

/** What the operator offers its agent in; read by whose turn it is. */
function agentRule(cluster: string): Record<string, unknown> {
  return { apiGroups: [""], resources: ["configmaps"], resourceNames: [nameOf.agentOffer(cluster)], verbs: ["list"] };
}
