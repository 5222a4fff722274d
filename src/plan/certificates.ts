// The certificate of a cluster's members and the authority that signs it: made, renewed in time, and brought from one authority to
// the next in steps, each of which waits until every member has taken up the one before. At no moment does one member show what
// another does not trust.
import type { AuthorityNote, AuthorityStage } from "../api/authority-note.ts";
import { certificateHosts } from "../build/certificate.ts";
import { givesCertificates } from "../build/context.ts";
import { ANNOTATION_ROTATE_AUTHORITY, childLabels, ownerOf } from "../build/labels.ts";
import type { World } from "./facts.ts";
import { operationCommand } from "./override.ts";
import type { Block, Step } from "./plan.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const RENEW_BEFORE_MS = 2 * 365 * DAY_MS; // of three years: at a third, so that an operator away for long hurts nobody
const REPLACE_BEFORE_MS = 4 * 365 * DAY_MS; // of ten years: it always signs for three
/** How long clients have for reading the next authority before a server shows what it signed. */
const CLIENTS_READ_MS = { asked: HOUR_MS, due: 7 * DAY_MS } as const;
/** What the kubelet takes to bring a changed Secret, and more. */
const TAKEN_WITHIN_MS = 180_000;

type Issue = Pick<Extract<Step, { kind: "IssueCertificates" }>, "from" | "to" | "reason"> & {
  readonly overlapMs?: number;
};

/** A cluster whose members share one certificate. */
export interface CertifiedCluster extends Pick<World, "context" | "cluster" | "seen"> {
  /** The names that the certificate is made for. */
  readonly hosts: readonly string[];
  /** Names of those that run and do not say that they go by what the note says. One that does not run will read it when it starts. */
  readonly late: (note: AuthorityNote) => readonly string[];
}

function certified({ context, cluster, seen, members }: World): CertifiedCluster {
  const late = ({ trusts, shows }: AuthorityNote) =>
    members.flatMap(({ name, pod }) => {
      const certificate = pod?.report?.certificate;
      return pod === undefined || (certificate?.trusts === trusts && certificate.shows === shows) ? [] : [name];
    });
  return { context, cluster, seen, hosts: certificateHosts(cluster), late };
}

/** The step that members need another certificate for, or none: those of a shard may go by that of the whole. */
export function planCertificates(world: World): readonly Step[] {
  return world.context.intent.shard?.tls === true ? [] : issueCertificates(certified(world));
}

/** The step that a cluster needs another certificate for, or none. */
export function issueCertificates(world: CertifiedCluster): readonly Step[] {
  const issue = nextIssue(world);
  if (issue === undefined) return [];
  const { context, seen, hosts } = world;
  const { name, namespace } = context;
  const metadata = { name, namespace, labels: childLabels(context), ownerReferences: [ownerOf(context)] };
  // A cluster that is new has nothing to go away from: what its annotation asks for is done.
  const isAnswer = issue.to === "Trust" || seen.named.authority === undefined;
  const request = isAnswer ? asked(world) : (seen.named.authority?.request ?? "");
  const hasClients = givesCertificates(context);
  return [{ kind: "IssueCertificates", metadata, hosts, overlapMs: 0, ...issue, request, hasClients }];
}

/** When time alone will let the change of authority go on, or be told of; undefined when it never does. */
export function certificateDueMs({ seen }: Pick<World, "seen">): number | undefined {
  const { authority } = seen.named;
  if (authority === undefined || authority.stage === "Settled") return undefined;
  const sinceMs = Date.parse(authority.since);
  const dueMs = [sinceMs + TAKEN_WITHIN_MS, Date.parse(authority.signsFrom)];
  const ahead = dueMs.map((atMs) => atMs - seen.nowMs).filter((inMs) => inMs > 0);
  return ahead.length === 0 ? undefined : Math.min(...ahead);
}

/** Says which members hold the change of authority up, once they had the time to take part in it. */
export function authorityTrouble(world: World): readonly Block[] {
  if (world.context.intent.shard?.tls === true) return [];
  const { cluster, context, seen } = world;
  const [block] = lateBlocks(certified(world));
  if (block === undefined) return [];
  const isAtStart = context.engine.readsAuthority === "Start" && seen.named.authority?.stage === "Trust";
  if (!isAtStart) return [block];
  const message = `${block.message} Engine ${context.engineName} reads authorities when it starts: restart the members, one after the other.`;
  return [{ ...block, message, override: operationCommand(cluster, { type: "Restart" }) }];
}

/** Says who holds the change of authority up. */
export function lateBlocks({ cluster, seen, ...world }: CertifiedCluster): readonly Block[] {
  const { authority } = seen.named;
  if (authority === undefined || authority.stage === "Settled") return [];
  const late = world.late(authority);
  if (late.length === 0 || seen.nowMs - Date.parse(authority.since) < TAKEN_WITHIN_MS) return [];
  const message = `${late.join(", ")} did not take up the cluster's next authority yet, and the former one stays until then.`;
  return [{ guard: "AuthorityTaken", object: late[0] ?? cluster.name, message }];
}

function nextIssue(world: CertifiedCluster): Issue | undefined {
  const { peerNotAfterMs, peerHosts, authority } = world.seen.named;
  const renewal = (stage: AuthorityStage, reason: string): Issue => ({ from: stage, to: stage, reason });
  if (peerNotAfterMs === undefined) return renewal("Settled", "there is none");
  if (authority === undefined) return renewal("Settled", "nothing is known of its authority");
  const { stage } = authority;
  if (peerNotAfterMs - world.seen.nowMs < RENEW_BEFORE_MS) return renewal(stage, "a third of its life is over");
  if (peerHosts !== world.hosts.join(",")) return renewal(stage, "it is not for all names of the cluster");
  const hasClients = givesCertificates(world.context);
  if ((authority.hasClients ?? false) !== hasClients) {
    return renewal(stage, `clients ${hasClients ? "need" : "have no use for"} an authority of their own`);
  }
  return nextStage(world, authority);
}

function nextStage(world: CertifiedCluster, authority: AuthorityNote): Issue | undefined {
  const { nowMs } = world.seen;
  const { stage, request, notAfter, signsFrom } = authority;
  if (stage === "Settled") {
    const trust = (overlapMs: number, reason: string): Issue => {
      // Nobody else has to wait: of clients that are shown the certificate alone nobody can see whether they know who signed it.
      return { from: stage, to: "Trust", overlapMs: world.context.engine.clientTls ? overlapMs : 0, reason };
    };
    if (asked(world) !== "" && asked(world) !== request) {
      return trust(CLIENTS_READ_MS.asked, `${ANNOTATION_ROTATE_AUTHORITY} asks for another authority`);
    }
    const isOld = Date.parse(notAfter) - nowMs < REPLACE_BEFORE_MS;
    return isOld ? trust(CLIENTS_READ_MS.due, "more than half of the authority's life is over") : undefined;
  }
  if (world.late(authority).length > 0 || nowMs < Date.parse(signsFrom)) return undefined;
  if (stage === "Sign") return { from: stage, to: "Settled", reason: "every member shows the next one's certificate" };
  // Clients that have certificates get others now, and as long for reading them as they had for the authority.
  const overlapMs = authority.hasClients === true ? Date.parse(signsFrom) - Date.parse(authority.since) : 0;
  return { from: stage, to: "Sign", overlapMs, reason: "every member trusts the next authority" };
}

/** What the user asks for; each text asks once. */
function asked({ cluster }: Pick<World, "cluster">): string {
  return cluster.annotations[ANNOTATION_ROTATE_AUTHORITY] ?? "";
}
