// kubectl quorate advise: what a cluster could ask for instead, by what it really uses. It changes nothing.
import { readFile } from "node:fs/promises";
import { type Command, InvalidArgumentError, Option } from "commander";
import { load } from "js-yaml";
import { adviseCluster, type Setting, toPatch } from "../../advice/advice.ts";
import { type Cost, costOf, parsePrices, type PriceTable } from "../../advice/cost.ts";
import type { Facts, Seen } from "../../advice/facts.ts";
import { requestedOf } from "../../advice/rightsizing.ts";
import { adviseShards } from "../../advice/shards.ts";
import { ClusterIntent, type ClusterSpec } from "../../api/cluster-spec.ts";
import { agentMemoryBytes } from "../../build/pod-template.ts";
import { type AdviceView, renderAdvice } from "../advice-view.ts";
import { gatherFacts } from "./gather-facts.ts";
import { EXIT, type Format, formatted, inSession, readCluster, type Session } from "./session.ts";
import { askAgents, askPrometheus, askShards } from "./usage.ts";

interface AdviseOptions {
  readonly prometheus?: string;
  readonly over: string;
  readonly seconds: number;
  readonly prices?: string;
  readonly output?: Format;
}

/** Over so long the leader of a shard counts operations. */
const SHARD_LOOK_SECONDS = 10;

/** Adds the command. */
export function addAdvise(program: Command): void {
  program
    .command("advise")
    .argument("<name>", "ClusterSpec")
    .option("--prometheus <url>", "a Prometheus that scrapes the members; without it the members are asked, now")
    .option("--over <duration>", "how far to look back in Prometheus, such as 7d", duration, "7d")
    .option("--seconds <seconds>", "how long to watch the members, without Prometheus", seconds, 10)
    .option("--prices <file>", "price table, to say what the cluster costs")
    .addOption(new Option("-o, --output <format>", "print the advice as data").choices(["json", "yaml"]))
    .description(
      "Say what a cluster could ask for instead: resources by what is used, members by the objective, the lease by the API server's answers, shards by how busy and how full each is. Changes nothing. Exits with 2 when there is something to change.",
    )
    .action((name: string, options: AdviseOptions, command: Command) =>
      inSession(command, (session) => advise(session, name, options)),
    );
}

async function advise(session: Session, name: string, options: AdviseOptions): Promise<void> {
  const prices = options.prices === undefined ? undefined : await readPrices(options.prices);
  const cluster = await readCluster(session, name);
  if (cluster.spec.topology === "Stateless")
    throw new Error(`${name} is Stateless: its members have no agents that say what they use`);
  if (cluster.spec.topology === "Sharded") return adviseWhole(session, cluster, options);
  const { engine, pods, operator } = await gatherFacts(session, cluster);
  if (engine === undefined) throw new Error(`Engine ${cluster.spec.engine.name} cannot be read`);
  const tolerated = (pods ?? []).flatMap(({ liveness }) => liveness?.toleratesSeconds ?? []);
  const facts: Facts = {
    intent: cluster.spec,
    engine,
    agentMemoryBytes: agentMemoryBytes(operator?.sendsTraces === true),
    storageClass: cluster.spec.storage.data.className,
    livenessToleratesSeconds: tolerated.length === 0 ? undefined : Math.min(...tolerated),
    seen: await see(session, cluster, options),
  };
  const advice = adviseCluster(facts);
  const settings = advice.flatMap((one) => one.settings);
  const patch = toPatch(settings);
  const cost = prices === undefined ? undefined : costs(prices, facts, settings);
  show(session, { name, namespace: session.namespace, seen: facts.seen, advice, patch, cost }, options);
}

/** Of a whole its shards are judged beside each other; each of them has a ClusterSpec, of which the rest can be asked. */
async function adviseWhole(session: Session, { metadata, status }: ClusterSpec, options: AdviseOptions): Promise<void> {
  const shards = status?.shards ?? [];
  const { name } = metadata;
  if (options.prometheus !== undefined || options.prices !== undefined)
    throw new Error(
      `${name} is parted into shards: leave --prometheus and --prices out here, and ask with them about one, such as ${shards[0]?.name ?? `${name}-s0`}`,
    );
  const advice = adviseShards(await askShards(session, shards));
  const patch = toPatch(advice.flatMap((one) => one.settings));
  const seen = { source: "Agents", overSeconds: SHARD_LOOK_SECONDS } as const;
  show(session, { name, namespace: session.namespace, seen, advice, patch, cost: undefined }, options);
}

function show(session: Session, view: AdviceView, { output }: AdviseOptions): void {
  if (view.advice.some(({ verdict }) => !["Keep", "Unknown"].includes(verdict))) process.exitCode = EXIT.no;
  session.print(output === undefined ? renderAdvice(view, session.palette) : formatted(output, view));
}

/** What was seen of those that are members now: whoever left says nothing about whoever stays. */
async function see(
  session: Session,
  cluster: ClusterSpec,
  { prometheus, over, seconds: watched }: AdviseOptions,
): Promise<Seen> {
  const subject = { namespace: session.namespace, cluster: cluster.metadata.name };
  const seen =
    prometheus === undefined
      ? await askAgents(session, subject.cluster, watched)
      : await askPrometheus(prometheus, subject, over, session.signal);
  const now = new Set(cluster.status?.members?.map(({ name }) => name));
  return { ...seen, members: seen.members.filter(({ member }) => now.has(member)) };
}

/** What the cluster costs now, and what it would cost with everything that is advised. */
function costs(
  prices: PriceTable,
  facts: Facts,
  settings: readonly Setting[],
): { readonly now: Cost; readonly advised: Cost } {
  const price = (intent: ClusterIntent) =>
    costOf(prices, requestedOf({ ...facts, intent }), intent.members, facts.storageClass);
  const advised = merged(facts.intent, toPatch(settings)["spec"]);
  return { now: price(facts.intent), advised: price(ClusterIntent.parse(advised)) };
}

/** A merge patch laid over an object, as the API server does it; advice takes nothing away. */
function merged(object: unknown, patch: unknown): unknown {
  if (typeof patch !== "object" || patch === null) return patch ?? object;
  const base = typeof object === "object" && object !== null ? object : {};
  const changed = Object.entries(patch).map(([field, value]) => [
    field,
    merged((base as Readonly<Record<string, unknown>>)[field], value),
  ]);
  return { ...base, ...Object.fromEntries(changed) };
}

async function readPrices(file: string): Promise<PriceTable> {
  try {
    return parsePrices(load(await readFile(file, "utf8")));
  } catch (error) {
    throw new Error(`${file}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

function duration(text: string): string {
  if (/^[1-9][0-9]*[hdw]$/.test(text)) return text;
  throw new InvalidArgumentError("Give a number and h, d or w, such as 7d.");
}

function seconds(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 2 && value <= 600) return value;
  throw new InvalidArgumentError("Give a whole number of seconds from 2 to 600.");
}
