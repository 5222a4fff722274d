// The names that a cluster's members are reached by, and what is noted about their certificate.
import { AuthorityNote, type AuthorityStage } from "../api/authority-note.ts";
import { nameOf } from "../api/names.ts";
import { ANNOTATION_AUTHORITY } from "./labels.ts";

/** Suffix of names inside of a cluster that was set up as most are. */
const CLUSTER_DOMAIN = "cluster.local";

interface Named {
  readonly name: string;
  readonly namespace: string;
}

/** DNS names that the members' certificate is made for: every member's own, and those of the Services for clients. */
export function certificateHosts({ name, namespace }: Named): string[] {
  const services = [nameOf.readWrite(name), nameOf.readOnly(name), nameOf.read(name)];
  return [...memberHosts({ name, namespace }), ...serviceHosts(services, namespace)];
}

/** The same for shards that have one certificate: they have one Service for clients, which are then sent to members. */
export function shardedCertificateHosts({ name, namespace }: Named, shards: readonly string[]): string[] {
  const members = shards.toSorted().flatMap((shard) => memberHosts({ name: shard, namespace }));
  return [...serviceHosts([nameOf.read(name)], namespace), ...members];
}

function memberHosts({ name, namespace }: Named): string[] {
  const members = `*.${nameOf.membersService(name)}.${namespace}.svc`;
  return [members, `${members}.${CLUSTER_DOMAIN}`];
}

function serviceHosts(services: readonly string[], namespace: string): string[] {
  return services.flatMap((service) => {
    const full = `${service}.${namespace}.svc`;
    return [service, `${service}.${namespace}`, full, `${full}.${CLUSTER_DOMAIN}`];
  });
}

/** The note on the members' certificate; undefined where an operator wrote none that can be understood. */
export function readAuthorityNote(
  annotations: Readonly<Record<string, string>> | undefined,
): AuthorityNote | undefined {
  const text = annotations?.[ANNOTATION_AUTHORITY];
  if (text === undefined) return undefined;
  try {
    return AuthorityNote.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined; // not JSON: it is written anew, with the next certificate
  }
}

/** What a note says of a stage's times: one that goes on keeps them. */
export function stageTimes(
  before: AuthorityNote | undefined,
  { stage, overlapMs }: { readonly stage: AuthorityStage; readonly overlapMs: number },
  nowMs: number,
): Pick<AuthorityNote, "stage" | "since" | "signsFrom"> {
  if (before?.stage === stage) return { stage, since: before.since, signsFrom: before.signsFrom };
  const at = (ms: number) => new Date(ms).toISOString();
  return { stage, since: at(nowMs), signsFrom: at(nowMs + overlapMs) };
}
