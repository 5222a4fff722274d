/**
 * Every engine under a client that counts, beside what the engine does without an operator: the same faults, images, nodes, volumes
 * and clients, in one run. The subjects of an engine are on the lab together and take turns, run by run.
 *
 * ENGINES (redis,etcd,galera,shards,rabbitmq), CASES (all that the engine has) and CONTENDERS (all of the engine) choose what is
 * measured; RUNS (5) faults of each kind, CUT_RUNS (3) of a cut node, LONG_RUNS (1) of what changes all pods. Appends to
 * bench/results/engines.jsonl.
 */
import { type Fault, inject } from "../hack/scenario/faults.ts";
import { installOperator } from "../hack/scenario/install.ts";
import { kubectl, lab } from "../hack/scenario/lab.ts";
import { pause, TimeoutError, until } from "../hack/scenario/shell.ts";
import type { CountingClient, Verdict } from "./counting-clients.ts";
import { record } from "./figures.ts";
import type { Contender } from "./peers/contender.ts";
import { etcdContender } from "./peers/etcd.ts";
import { galeraContender } from "./peers/galera.ts";
import * as quorate from "./peers/quorate.ts";
import { rabbitmqContender } from "./peers/rabbitmq.ts";
import { redisClusterContender } from "./peers/redis-cluster.ts";
import { sentinelContender } from "./peers/sentinel.ts";
import { measureResharding } from "./resharding.ts";

const RUNS = Number(process.env["RUNS"] ?? 5);
const CUT_RUNS = Number(process.env["CUT_RUNS"] ?? 3);
const LONG_RUNS = Number(process.env["LONG_RUNS"] ?? 1);
/** Who does not take writes again by then does not come back. */
const WRITES_MS = 180_000;
const HEALTHY_MS = 240_000;
const VERDICT_MS = 120_000;
/** Least time in which a fault shows: what is deleted still takes writes for a moment. */
const WATCH_MS = 5_000;
/** A node stays cut off for at least so long: everybody notices. */
const CUT_MS = 8_000;
/** What must be acknowledged after a fault for writes to go on. */
const MORE_ACKS = 20;

/** What is done to a cluster, begun by `start`; `end` mends it once writes go on. */
interface Case {
  readonly name: string;
  readonly runs: number;
  readonly start: (contender: Contender, run: number) => Promise<() => Promise<void>>;
}

const nothing = (): Promise<void> => Promise.resolve();

function fault(name: Fault): Case {
  return { name, runs: RUNS, start: async ({ subject }) => (await inject(name, subject)).heal };
}

const CASES: readonly Case[] = [
  fault("engine-kill"),
  fault("pod-delete"),
  fault("switchover"),
  {
    name: "node-cut",
    runs: CUT_RUNS,
    start: async ({ subject }) => {
      const { heal } = await inject("node-cut", subject);
      await pause(CUT_MS);
      return heal;
    },
  },
  {
    name: "all-pods-delete",
    runs: LONG_RUNS,
    start: async ({ subject, allPods }) => {
      await kubectl("-n", subject.writer.namespace, "delete", "pods", "-l", allPods, "--force", "--grace-period=0");
      return nothing;
    },
  },
  {
    name: "roll",
    runs: LONG_RUNS,
    start: async (contender, run) => {
      await contender.roll(run);
      return nothing;
    },
  },
  {
    name: "3-5-3",
    runs: LONG_RUNS,
    start: async ({ resize }) => {
      await resize?.(5);
      await resize?.(3);
      return nothing;
    },
  },
];

/** A peer with a slower setting differs from itself only here. */
const WHERE_TIMEOUTS_COUNT = ["node-cut"];

/** An engine with those who run it, ours first. */
interface Entry {
  readonly contenders: () => Promise<readonly Contender[]>;
  /** Cases that say nothing about it. */
  readonly without: readonly string[];
}

const ENGINES: Readonly<Record<string, Entry>> = {
  redis: {
    contenders: async () => [
      quorate.redis(),
      await sentinelContender("sentinel-5s", "bench-sentinel-5s", 5_000),
      { ...(await sentinelContender("sentinel", "bench-sentinel", 30_000)), cases: WHERE_TIMEOUTS_COUNT },
    ],
    without: [],
  },
  etcd: {
    contenders: async () => [quorate.etcd(), await etcdContender("statefulset", "bench-etcd-plain")],
    without: [],
  },
  galera: {
    contenders: async () => [quorate.galera(), await galeraContender("statefulset", "bench-galera-plain")],
    without: ["switchover"],
  },
  shards: {
    contenders: async () => [
      quorate.sharded(),
      await redisClusterContender("redis-cluster-5s", "bench-cluster-5s", 5_000),
      { ...(await redisClusterContender("redis-cluster", "bench-cluster", 15_000)), cases: WHERE_TIMEOUTS_COUNT },
    ],
    without: ["3-5-3"],
  },
  rabbitmq: {
    contenders: async () => [quorate.rabbitmq(), await rabbitmqContender("statefulset", "bench-rabbitmq-plain")],
    without: ["switchover"],
  },
};
const RESHARDING = "3-5-3-shards";

/** How often a cluster is made anew that does not form: a plain Galera hangs for ever when the copy of one that joins breaks off. */
const CREATIONS = 3;

/** Makes the contender's cluster. @throws {TimeoutError} when it does not form however often it is made. */
async function create(contender: Contender): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await contender.create();
      return;
    } catch (error) {
      if (!(error instanceof TimeoutError) || attempt === CREATIONS) throw error;
      process.stdout.write(`${contender.subject.writer.namespace} does not form, and is made anew: ${error.message}\n`);
      await contender.remove();
    }
  }
}

/** What the runs of one case have come to for one contender. */
interface Tally {
  readonly gapsMs: number[];
  acked: number;
  unknown: number;
  lost: number;
  wrong: number;
  broken: number;
}

/** When a contender was whole again after its last fault: others' turns count as its quiet time. */
const lastFaultMs = new Map<Contender, number>();

/** One run. @returns whether the cluster is whole again. */
async function measure(contender: Contender, one: Case, run: number, tally: Tally): Promise<boolean> {
  const { subject, quietMs } = contender;
  await subject.untilHealthy(HEALTHY_MS);
  await pause(Math.max(0, (lastFaultMs.get(contender) ?? 0) + quietMs - Date.now()));
  const client = await contender.startClient();
  const isWhole = await inTime(async () => {
    const heal = await one.start(contender, run);
    await pause(WATCH_MS);
    const acked = client.acked();
    const goesOn = await inTime(() =>
      until("writes to go on", WRITES_MS, () => Promise.resolve(client.acked() > acked + MORE_ACKS ? true : undefined)),
    );
    await heal();
    if (!goesOn) throw new TimeoutError("writes do not go on");
    await subject.untilHealthy(HEALTHY_MS);
  }).catch(async (error: unknown) => {
    await finished(client);
    throw error;
  });
  lastFaultMs.set(contender, Date.now());
  const verdict = await finished(client);
  if (verdict === undefined) tally.broken++;
  else {
    tally.gapsMs.push(verdict.largestGapMs);
    tally.acked += verdict.acked;
    tally.unknown += verdict.unknown;
    tally.lost += verdict.lost;
    tally.wrong += verdict.wrong;
    if (!isWhole) tally.broken++;
  }
  const told = verdict === undefined ? "does not take writes any more" : JSON.stringify(verdict);
  process.stdout.write(
    `${subject.writer.namespace} ${one.name} ${run}: ${told}${isWhole ? "" : ", not whole again"}\n`,
  );
  return isWhole && verdict !== undefined;
}

/** What a client says in the end; nothing when its cluster does not answer any more. */
function finished(client: CountingClient): Promise<Verdict | undefined> {
  return Promise.race([client.finish(), pause(VERDICT_MS).then(() => undefined)]).catch(() => undefined);
}

/** Whether that came to its end before something was waited for in vain. */
async function inTime(work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if (!(error instanceof TimeoutError)) throw error;
    process.stdout.write(`${error.message}\n`);
    return false;
  }
}

function takesPart({ cases, resize }: Contender, { name }: Case): boolean {
  return cases?.includes(name) !== false && (name !== "3-5-3" || resize !== undefined);
}

async function measureCase(engine: string, contenders: readonly Contender[], one: Case): Promise<void> {
  const tallies = contenders.map((): Tally => ({ gapsMs: [], acked: 0, unknown: 0, lost: 0, wrong: 0, broken: 0 }));
  for (let run = 1; run <= one.runs; run++) {
    for (const [at, contender] of contenders.entries()) {
      const tally = tallies[at];
      if (tally === undefined || !takesPart(contender, one)) continue;
      const { namespace } = contender.subject.writer;
      try {
        if (await measure(contender, one, run, tally)) continue;
        process.stdout.write(`${namespace} is not whole again: a new cluster takes its place\n`);
      } catch (error) {
        // A run that could not be made says nothing of the cluster.
        process.stdout.write(`${namespace} ${one.name} ${run} could not be measured: ${(error as Error).message}\n`);
      }
      await contender.remove();
      await create(contender);
    }
  }
  for (const [at, { name }] of contenders.entries()) {
    const { gapsMs, ...counts } = tallies[at] ?? { gapsMs: [], broken: 0 };
    if (gapsMs.length + counts.broken === 0) continue;
    const about = { bench: "engines", case: one.name, subject: `${engine} ${name}`, metric: "write_gap", unit: "ms" };
    await record(about, gapsMs, { ...counts, gapsMs });
  }
}

const wanted = (process.env["ENGINES"] ?? Object.keys(ENGINES).join(",")).split(",");
const names = process.env["CASES"]?.split(",");
const only = process.env["CONTENDERS"]?.split(",");
const isWanted = (name: string): boolean => names === undefined || names.includes(name);
await lab("up");
await installOperator();
for (const engine of wanted) {
  const entry = ENGINES[engine];
  if (entry === undefined) throw new Error(`unknown engine ${engine}; there are ${Object.keys(ENGINES).join(", ")}`);
  const contenders = (await entry.contenders()).filter(({ name }) => only === undefined || only.includes(name));
  for (const contender of contenders) await create(contender);
  for (const one of CASES) {
    if (isWanted(one.name) && !entry.without.includes(one.name)) await measureCase(engine, contenders, one);
  }
  if (engine === "shards" && isWanted(RESHARDING)) {
    // The others would only have less of the machine meanwhile.
    for (const peer of contenders.slice(1)) await peer.remove();
    await measureResharding();
  }
  for (const contender of contenders) await contender.remove();
}
// Clients of clusters that never came back still try.
process.exit();
