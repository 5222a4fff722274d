// What the engine's container has in every topology: no rights, its resources, and the variables that users set.
import { PARAMETER_PREFIX } from "../api/names.ts";
import { type BuildContext, restartParameters } from "./context.ts";
import { formatBytes, formatCpu, parseQuantity } from "./quantity.ts";

/** The security context of every container, as the restricted Pod Security Standard asks for. */
export const RESTRICTED = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ["ALL"] },
};

/** The security context of a pod that runs as the Engine says. */
export function podSecurity({ engine }: BuildContext): Record<string, unknown> {
  return {
    runAsNonRoot: true,
    runAsUser: engine.runAs.user,
    runAsGroup: engine.runAs.group,
    fsGroup: engine.runAs.group,
    fsGroupChangePolicy: "OnRootMismatch", // a recursive chown of a large volume takes minutes
    seccompProfile: { type: "RuntimeDefault" },
  };
}

/** A variable whose value is a field of the pod. */
export function fieldVariable(name: string, fieldPath: string): Record<string, unknown> {
  return { name, valueFrom: { fieldRef: { apiVersion: "v1", fieldPath } } };
}

/** The variables that users decide about: parameters that need a restart, and spec.pods.env. */
export function userVariables(context: BuildContext): Record<string, unknown>[] {
  const variables = context.intent.pods.env ?? [];
  return [...parameterVariables(context), ...variables.map(({ name, value }) => ({ name, value: literal(value) }))];
}

/**
 * The parameters that need a restart, a variable each. Here rather than in the intent, so that a revision is complete in
 * itself: a member that restarts while another one tries a new value keeps its own.
 */
function parameterVariables(context: BuildContext): Record<string, unknown>[] {
  return Object.entries(restartParameters(context))
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => ({ name: `${PARAMETER_PREFIX}${name}`, value: literal(value) }));
}

interface LivePod {
  readonly spec?: {
    readonly containers?: readonly { readonly env?: readonly { readonly name: string }[] }[];
  };
}

/** Names of the parameters that a pod template carries. */
export function parametersIn(template: unknown): readonly string[] {
  const containers = (template as LivePod | undefined)?.spec?.containers ?? [];
  const names = containers.flatMap(({ env = [] }) => env.map(({ name }) => name));
  return names.flatMap((name) => (name.startsWith(PARAMETER_PREFIX) ? name.slice(PARAMETER_PREFIX.length) : []));
}

/** A variable's value that the kubelet does not expand: it reads `$(NAME)` as a reference and `$$` as `$`. */
function literal(value: string): string {
  return value.replaceAll("$", "$$$$"); // in a replacement, too, `$$` stands for one
}

/** Memory the engine may plan with: what the user gave it, without anybody else's share. */
export function engineMemoryBytes(context: BuildContext): number {
  const { requests, limits } = memoryOf(context);
  return Math.ceil(parseQuantity(limits ?? requests));
}

function memoryOf(context: BuildContext): { readonly requests: string; readonly limits: string | undefined } {
  const given = context.intent.resources;
  const limits = given?.limits.memory;
  return { requests: given?.requests.memory ?? limits ?? context.engine.resources.requests.memory, limits };
}

/**
 * Requests are always there: without them a database is the first to be evicted from a full node.
 * @param sharedBytes - Memory of what shares the container with the engine; it is added.
 */
export function memberResources(context: BuildContext, sharedBytes: number): Record<string, unknown> {
  const { requests, limits } = memoryOf(context);
  const withShare = (memory: string) => formatBytes(parseQuantity(memory) + sharedBytes);
  const cpu = context.intent.resources?.requests.cpu ?? context.engine.resources.requests.cpu;
  const cpuLimit = context.intent.resources?.limits.cpu;
  const upper = {
    ...(cpuLimit === undefined ? {} : { cpu: formatCpu(parseQuantity(cpuLimit)) }),
    ...(limits === undefined ? {} : { memory: withShare(limits) }),
  };
  return {
    requests: { cpu: formatCpu(parseQuantity(cpu)), memory: withShare(requests) },
    ...(Object.keys(upper).length === 0 ? {} : { limits: upper }),
  };
}
