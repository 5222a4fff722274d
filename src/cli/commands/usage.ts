// Where figures of usage come from: a Prometheus that scrapes the members, or the members' agents by way of the API server.
import { setTimeout as pause } from "node:timers/promises";
import type { Seen } from "../../advice/facts.ts";
import { type MemberLook, seenByAgents, seenByPrometheus } from "../../advice/looks.ts";
import type { ShardLoad } from "../../advice/shards.ts";
import { clusterQueries, memberQueries } from "../../advice/usage-queries.ts";
import type { ShardSummary } from "../../api/cluster-status.ts";
import { HEALTH_PORT, nameOf } from "../../api/names.ts";
import { isForbidden } from "../../kube/api-error.ts";
import { toSample, toShardSample, toUsageSample } from "../../observe/exposition.ts";
import { Prometheus } from "../../observe/prometheus.ts";
import type { Subject } from "../../slo/queries.ts";
import { memberOf, memberPods } from "./logs.ts";
import type { Session } from "./session.ts";

/** A week of series takes a busy Prometheus longer than an instant does. */
const QUERY_TIMEOUT_MS = 60_000;
const LOOK_EVERY_MS = 1_000;

/** Asks Prometheus. @param over - How far back, in its own words. @throws what it says when it refuses, or that it knows no member. */
export async function askPrometheus(url: string, subject: Subject, over: string, signal: AbortSignal): Promise<Seen> {
  const client = new Prometheus(url, QUERY_TIMEOUT_MS);
  const ofMembers = await eachAnswer(memberQueries(subject, over), async (query) =>
    (await client.query(query, signal)).map(({ labels, value }) => ({ member: labels["member"] ?? "", value })),
  );
  const ofCluster = await eachAnswer(clusterQueries(subject, over), async (query) => {
    const [sample] = await client.query(query, signal);
    return sample?.value;
  });
  const seen = seenByPrometheus(ofMembers, ofCluster);
  if (seen.members.length > 0) return seen;
  throw new Error(`Prometheus has no series of ${subject.namespace}/${subject.cluster}: does it scrape its members?`);
}

/** One query after the other: together they would be the heaviest that this Prometheus was ever asked. */
async function eachAnswer<Name extends string, T>(
  queries: Readonly<Record<Name, string>>,
  ask: (query: string) => Promise<T>,
): Promise<Readonly<Record<Name, T>>> {
  const answers: Partial<Record<Name, T>> = {};
  for (const name of Object.keys(queries) as Name[]) answers[name] = await ask(queries[name]);
  return answers as Record<Name, T>;
}

/** Looks at all members every second for a while. @throws when no member can be asked. */
export async function askAgents(session: Session, cluster: string, seconds: number): Promise<Seen> {
  const pods = (await memberPods(session, cluster)).map((pod) => ({ member: memberOf(pod), name: pod.metadata.name }));
  const looks: MemberLook[] = [];
  const failures: unknown[] = [];
  const endMs = performance.now() + seconds * 1000;
  do {
    const round = await Promise.allSettled(pods.map(({ member, name }) => look(session, member, name)));
    for (const one of round) {
      if (one.status === "fulfilled") looks.push(one.value);
      else failures.push(one.reason);
    }
    if (looks.length === 0) break; // nobody answers: to wait would not help
    await pause(LOOK_EVERY_MS, undefined, { signal: session.signal });
  } while (performance.now() < endMs);
  if (looks.length > 0) return seenByAgents(looks);
  const [why] = failures;
  throw new Error(
    `no member of ${cluster} says what it uses${why instanceof Error ? `: ${why.message}` : ""}; name a Prometheus with --prometheus`,
    { cause: why },
  );
}

/** What the leaders of the shards say of them; of one that has none, or cannot be asked, nothing is known. */
export function askShards(session: Session, shards: readonly ShardSummary[]): Promise<readonly ShardLoad[]> {
  return Promise.all(
    shards.map(async ({ name: shard, leader }) => {
      const text = leader === undefined ? "" : await shardText(session, leader);
      return { shard, ...toShardSample(text) };
    }),
  );
}

async function shardText({ api, namespace, signal }: Session, leader: string): Promise<string> {
  try {
    return await api.pods.text({ namespace, name: nameOf.pod(leader) }, HEALTH_PORT, "/metrics", signal);
  } catch (error) {
    if (isForbidden(error)) throw error; // nobody else may be asked either
    return "";
  }
}

async function look({ api, namespace, signal }: Session, member: string, name: string): Promise<MemberLook> {
  const text = await api.pods.text({ namespace, name }, HEALTH_PORT, "/metrics", signal);
  const sample = toSample(text);
  if (sample === undefined) throw new Error(`${member} answers, but not as a member's agent does`);
  return { member, atMs: performance.now(), sample, ...toUsageSample(text) };
}
