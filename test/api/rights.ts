// What accounts asked of a real API server, as rights: to compare with the roles that are shipped, both ways.
import { randomBytes } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type AuditEvent, type AuditRule, readAudit } from "./audit.ts";

/** The account that the operator is installed with. */
export const OPERATOR_ACCOUNT = { namespace: "quorate-system", name: "quorate-operator" } as const;

/** What one account did with the rights it has; a right is `verb resource.group`, a subresource stands behind a slash. */
export interface RightsAsked {
  /** Rights that were needed and there. */
  readonly used: readonly string[];
  /** What was refused for want of a right, with the object and the API server's reason. */
  readonly refused: readonly string[];
}

/** A rule of a Role or ClusterRole. */
export interface RoleRule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

/** What an API server must note for `rightsAsked`. */
export function auditOf(account: { readonly namespace: string; readonly name: string }): AuditRule {
  return { level: "Metadata", users: [userOf(account)] };
}

/** What an account asked of the API server whose notes are in `folder`. */
export async function rightsAsked(
  folder: string,
  account: { readonly namespace: string; readonly name: string },
): Promise<RightsAsked> {
  const { events } = await readAudit(folder);
  const own = events.filter(({ user }) => user.username === userOf(account));
  const allowed = own.filter((event) => !isRefused(event));
  // An API server that has just started refuses everything until it has read the roles: the same is allowed later.
  const lastAllowed = new Map(allowed.map((event) => [whatOf(event), event.requestReceivedTimestamp]));
  const refused = own.filter(
    (event) => isRefused(event) && !((lastAllowed.get(whatOf(event)) ?? "") > event.requestReceivedTimestamp),
  );
  // Asking which kinds there are needs no right of ours: every account has that one.
  const used = allowed.flatMap(({ verb, objectRef, responseStatus }) => {
    if (objectRef === undefined) return [];
    // A server-side apply of what is not there needs both rights.
    const verbs = verb === "patch" && responseStatus?.code === 201 ? ["patch", "create"] : [verb];
    return verbs.map((one) => rightOf(one, objectRef));
  });
  return { used: [...new Set(used)].sort(), refused: [...new Set(refused.map(describeRefusal))].sort() };
}

/** The rights that rules give. */
export function rightsGiven(rules: readonly RoleRule[]): readonly string[] {
  return rules.flatMap(({ apiGroups, resources, verbs }) =>
    apiGroups.flatMap((group) =>
      resources.flatMap((resource) => verbs.map((verb) => `${verb} ${withGroup(resource, group)}`)),
    ),
  );
}

/** Leaves for the end of the suite what the operator asked of this API server. @param notes - Folder of the suite's notes. */
export async function noteOperator(folder: string, notes: string): Promise<void> {
  const asked = await rightsAsked(folder, OPERATOR_ACCOUNT);
  await writeFile(join(notes, `${randomBytes(4).toString("hex")}.json`), JSON.stringify(asked));
}

/** Everything that was noted in the suite so far. */
export async function readNotes(notes: string): Promise<readonly RightsAsked[]> {
  const texts = await Promise.all((await readdir(notes)).map((name) => readFile(join(notes, name), "utf8")));
  return texts.map((text) => JSON.parse(text) as RightsAsked);
}

function userOf({ namespace, name }: { readonly namespace: string; readonly name: string }): string {
  return `system:serviceaccount:${namespace}:${name}`;
}

/** RBAC says no before it looks at the object, and once more when an account passes on rights that it does not have. */
function isRefused({ responseStatus, annotations }: AuditEvent): boolean {
  // The right is there, but in a namespace that is about to be gone nobody makes anything any more.
  if (responseStatus?.message?.includes("because it is being terminated") === true) return false;
  return annotations?.["authorization.k8s.io/decision"] === "forbid" || responseStatus?.code === 403;
}

/** What was to be done, and to which object: the same for each try, of whatever version the object is. */
function whatOf({ verb, objectRef, requestURI }: AuditEvent): string {
  if (objectRef === undefined) return `${verb} ${requestURI}`;
  return `${rightOf(verb, objectRef)} ${objectRef.namespace ?? ""}/${objectRef.name ?? ""}`;
}

function rightOf(verb: string, { resource, subresource, apiGroup }: NonNullable<AuditEvent["objectRef"]>): string {
  const whole = subresource === undefined ? resource : `${resource}/${subresource}`;
  return `${verb} ${withGroup(whole, apiGroup ?? "")}`;
}

function withGroup(resource: string, group: string): string {
  return group === "" ? resource : `${resource}.${group}`;
}

function describeRefusal({ verb, objectRef, requestURI, responseStatus }: AuditEvent): string {
  const what = objectRef === undefined ? `${verb} ${requestURI}` : rightOf(verb, objectRef);
  return `${what} ${objectRef?.name ?? ""}: ${responseStatus?.message ?? responseStatus?.code ?? ""}`;
}
