/**
 * Write gaps of every fault, ours and the peer's, on the same lab in the same run.
 *
 * Subjects of a group run at the same time and take turns: while one is broken the others are left alone. By default each is
 * alone: four clusters and their clients take two thirds of two cores at rest, and made every gap three times as long. A name
 * that occurs twice in a group is two clusters, whose figures are taken together.
 *
 * CASES (all) and CONTENDERS (see below) choose what is measured. The first name of the first group is what it is about and gets
 * RUNS (30) faults, every other name BESIDE_RUNS (10). Appends to bench/results/failover.jsonl; docs/benchmarks.md is made from that.
 */
import { applyExample } from "../hack/scenario/example.ts";
import { FAULTS, type Fault } from "../hack/scenario/faults.ts";
import { installOperator } from "../hack/scenario/install.ts";
import { kubectl, lab } from "../hack/scenario/lab.ts";
import { measureInTurns, type Measurement } from "../hack/scenario/measure.ts";
import { quorateSubject, type Subject } from "../hack/scenario/subject.ts";
import { record } from "./figures.ts";
import { patroniSubject } from "./patroni.ts";

const RUNS = Number(process.env["RUNS"] ?? 30);
const DEFAULT_CASES: readonly Fault[] = [
  "engine-kill",
  "container-kill",
  "pod-delete",
  "switchover",
  "drain",
  "node-cut",
];
const CASES = (process.env["CASES"]?.split(",") ?? DEFAULT_CASES).map((name) => {
  const fault = FAULTS.find((one) => one === name);
  if (fault === undefined) throw new Error(`unknown case ${name}; there are ${FAULTS.join(", ")}`);
  return fault;
});
const GROUPS = (process.env["CONTENDERS"] ?? "quorate-fast;patroni;patroni-tuned;quorate-standard")
  .split(";")
  .map((group) => group.split(","));
const BESIDE_RUNS = Math.min(RUNS, Number(process.env["BESIDE_RUNS"] ?? 10));

/** Least time in which a fault's gap must show. */
const WATCH_MS = 3_000;
/** Planned changes are never counted by the failover budget. */
const PLANNED_QUIET_MS: Partial<Record<Fault, number>> = { switchover: 1_000, drain: 1_000 };
/** A leader of ours that stayed so long is no longer counted by the failover budget; the peer has none. */
const BUDGET_QUIET_MS = 16_000;
const PEER_QUIET_MS = 3_000;

function recordGaps(subject: string, fault: Fault, results: readonly Measurement[]): Promise<void> {
  const gapsMs = results.flatMap((result) => result.gapsMs).toSorted((a, b) => a - b);
  const sum = (pick: (result: Measurement) => number): number => results.reduce((all, one) => all + pick(one), 0);
  return record({ bench: "failover", case: fault, subject, metric: "write_gap", unit: "ms" }, gapsMs, {
    lost: sum((result) => result.lost),
    outOfOrder: sum((result) => result.outOfOrder),
    acked: sum((result) => result.acked),
    unknown: sum((result) => result.unknown),
    broken: results.filter((result) => result.isBroken).length,
    gapsMs,
  });
}

/** A subject of a group, and how to get rid of it. */
interface Contender {
  readonly name: string;
  /** Its place in the group, which names it. */
  readonly number: number;
  readonly subject: Subject;
  readonly remove: () => Promise<void>;
}

/** What a contender's name stands for. */
type Made = Pick<Contender, "subject" | "remove">;

async function quorate(profile: "Fast" | "Standard", number: number): Promise<Made> {
  const cluster = `${profile.toLowerCase()}-${number}`;
  const namespace = `bench-${cluster}`;
  await applyExample({ namespace, cluster, profile });
  const subject = { ...quorateSubject(namespace, cluster), drainedPods: `quorate.io/cluster=${cluster}` };
  return { subject, remove: async () => void (await kubectl("delete", "namespace", namespace)) };
}

async function contender(name: string, number: number): Promise<Contender> {
  return { name, number, ...(await make(name, number)) };
}

function make(name: string, number: number): Promise<Made> {
  switch (name) {
    case "quorate-fast":
      return quorate("Fast", number);
    case "quorate-standard":
      return quorate("Standard", number);
    case "patroni":
      return patroniSubject(`bench-patroni-${number}`, { ttl: 30, loopWait: 10, retryTimeout: 10 });
    case "patroni-tuned":
      return patroniSubject(`bench-tuned-${number}`, { ttl: 20, loopWait: 1, retryTimeout: 3 });
    default:
      throw new Error(`unknown subject ${name}`);
  }
}

function isOurs(name: string): boolean {
  return name.startsWith("quorate");
}

/**
 * Measures one fault on a group. A cut node concerns everybody, so there the names do not take turns.
 *
 * @returns the group for the next fault: who was not whole again in time is replaced by a new cluster.
 */
async function measureCase(group: readonly Contender[], fault: Fault): Promise<readonly Contender[]> {
  const broken = new Set<Contender>();
  const names = [...new Set(group.map((one) => one.name))];
  for (const among of fault === "node-cut" ? names.map((name) => [name]) : [names]) {
    const taking = group.filter((one) => among.includes(one.name));
    const results = await measureInTurns(
      taking.map((one) => one.subject),
      fault,
      {
        runs: taking.map((one) => runsOf(one, group)),
        watchMs: WATCH_MS,
        quietMs: PLANNED_QUIET_MS[fault] ?? (among.some(isOurs) ? BUDGET_QUIET_MS : PEER_QUIET_MS),
        onRun: (subject, run, description) =>
          void process.stdout.write(`${subject.writer.namespace} ${fault} ${run}: ${description}\n`),
      },
    );
    for (const [at, one] of taking.entries()) if (results[at]?.isBroken === true) broken.add(one);
    for (const name of among)
      await recordGaps(
        name,
        fault,
        results.filter((_, index) => taking[index]?.name === name),
      );
  }
  return Promise.all(group.map((one) => (broken.has(one) ? replaced(one) : Promise.resolve(one))));
}

async function replaced(broken: Contender): Promise<Contender> {
  process.stdout.write(`${broken.subject.writer.namespace} is not whole again: a new cluster takes its place\n`);
  await broken.remove();
  return contender(broken.name, broken.number);
}

/** How many faults one cluster gets: those of its name, shared among the clusters of that name. */
function runsOf({ name }: Contender, group: readonly Contender[]): number {
  const wanted = name === GROUPS[0]?.[0] ? RUNS : BESIDE_RUNS;
  return Math.ceil(wanted / group.filter((one) => one.name === name).length);
}

await lab("up");
await installOperator();
for (const names of GROUPS) {
  let group: readonly Contender[] = [];
  for (const name of names) group = [...group, await contender(name, group.length)];
  for (const fault of CASES) group = await measureCase(group, fault);
  for (const one of group) await one.remove();
}
