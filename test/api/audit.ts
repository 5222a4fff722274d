// What a real API server notes of the requests it answered: the count that no client can get wrong.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** One rule of an audit policy, as in audit.k8s.io/v1. What no rule names is not noted. */
export interface AuditRule {
  readonly level: "Metadata";
  readonly users?: readonly string[];
  readonly verbs?: readonly string[];
  readonly resources?: readonly { readonly group: string; readonly resources?: readonly string[] }[];
}

/** One answered request. Times are RFC 3339 with six digits of a second, by the clock of the API server. */
export interface AuditEvent {
  readonly verb: string;
  readonly user: { readonly username: string };
  readonly requestURI: string;
  readonly objectRef?: {
    readonly resource: string;
    readonly apiGroup?: string;
    readonly subresource?: string;
    readonly namespace?: string;
    readonly name?: string;
  };
  readonly responseStatus?: { readonly code: number; readonly message?: string };
  readonly annotations?: Readonly<Record<string, string>>;
  readonly requestReceivedTimestamp: string;
  readonly stageTimestamp: string;
}

/** The verbs that change something, as audit events name them; server-side apply is a patch. */
export const WRITE_VERBS = ["create", "update", "patch", "delete", "deletecollection"] as const;

/** Arguments of kube-apiserver that make it note what `rules` ask for. The policy is written to `folder`, the notes too. */
export async function auditArgs(folder: string, rules: readonly AuditRule[]): Promise<readonly string[]> {
  if (rules.length === 0) return [];
  const file = join(folder, "audit-policy.json");
  const policy = { apiVersion: "audit.k8s.io/v1", kind: "Policy", omitStages: ["RequestReceived"], rules };
  await writeFile(file, JSON.stringify(policy));
  return [`--audit-policy-file=${file}`, `--audit-log-path=${logIn(folder)}`];
}

/** All that was noted so far, in the order of the answers. @param fromByte - Where an earlier read ended. */
export async function readAudit(
  folder: string,
  fromByte = 0,
): Promise<{ readonly events: readonly AuditEvent[]; readonly endByte: number }> {
  const bytes = (await readFile(logIn(folder))).subarray(fromByte);
  const end = bytes.lastIndexOf("\n") + 1; // the last line may be half written
  const lines = bytes.subarray(0, end).toString("utf8").split("\n").slice(0, -1);
  return { events: lines.map((line) => JSON.parse(line) as AuditEvent), endByte: fromByte + end };
}

function logIn(folder: string): string {
  return join(folder, "audit.log");
}
