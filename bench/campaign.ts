/**
 * A fault campaign: clusters of several engines on one lab, each under a client that counts, and faults drawn by a seed, two at a
 * time for each cluster and now and then one of the control plane, for as long as HOURS (1) says. Each round ends healed, whole
 * again, and with a final read. Appends a line for each fault and engine to bench/results/campaign.jsonl; exits 1 when anything
 * that was acknowledged is lost or out of turn, transactions cannot be put in one order, or a cluster does not become whole again.
 *
 * SEED (the time) draws the same faults again, though not at the same moments of the clusters' lives. ENGINES (all) and FAULTS (2, at a
 * time for each cluster) choose what is broken. Ctrl-C ends it after the round that runs. It ends by itself when something was lost, wrong
 * or out of turn, and leaves clusters and laboratory as they are: they are the evidence.
 */
import { type Fault, inject, type Injected } from "../hack/scenario/faults.ts";
import { removeNamespace } from "../hack/scenario/example.ts";
import { installOperator } from "../hack/scenario/install.ts";
import { kubectl, lab } from "../hack/scenario/lab.ts";
import { pause, TimeoutError } from "../hack/scenario/shell.ts";
import { type LeaderPod, podsBySelector, type Subject } from "../hack/scenario/subject.ts";
import { randomFrom } from "../test/model/explore.ts";
import { TARGETS as ALL_TARGETS, type Target } from "./campaign-targets.ts";
import type { AppendVerdict } from "./appending-clients.ts";
import type { Verdict } from "./counting-clients.ts";
import { record } from "./figures.ts";

const HOURS = Number(process.env["HOURS"] ?? 1);
const SEED = Number(process.env["SEED"] ?? Date.now() % 1_000_000);
const ENGINES = process.env["ENGINES"]?.split(",") ?? ALL_TARGETS.map(({ engine }) => engine);
const TARGETS = ALL_TARGETS.filter(({ engine }) => ENGINES.includes(engine));
const FAULTS_EACH = Number(process.env["FAULTS"] ?? 2);
/** Clusters that are not whole by then have not come back. */
const WHOLE_AGAIN_MS = 300_000;

/** What may happen to a member. */
const MEMBER_FAULTS: readonly Fault[] = [
  "engine-kill",
  "container-kill",
  "pod-delete",
  "node-cut",
  "cut-api",
  "cut-peers",
  "cut-bridge",
  "cut-in",
  "cut-out",
  "slow-network",
  "slow-disk",
  "agent-pause",
  "engine-pause",
  "both-pause",
  "init-pause",
  "kubelet-stop",
  "switchover",
];
/** What happens to everybody at once, and how it ends. */
const EVERYBODYS = {
  "apiserver-stop": [() => lab("apiserver", "stop"), () => lab("apiserver", "start")],
  "apiserver-pause": [() => lab("apiserver", "pause"), () => lab("apiserver", "resume")],
  "operator-stop": [() => lab("operator", "stop"), () => lab("operator", "start")],
} as const;
type EverybodysFault = keyof typeof EVERYBODYS;
const EVERYBODYS_FAULTS = Object.keys(EVERYBODYS) as EverybodysFault[];
/** How often a round has one of those, too. */
const EVERYBODYS_SHARE = 0.3;
/** How often a fault is the leader's, and not anybody's. */
const LEADERS_SHARE = 0.6;

const random = randomFrom(SEED);
const pick = <T>(from: readonly T[]): T => {
  const found = from[Math.floor(random() * from.length)];
  if (found === undefined) throw new Error("nothing to pick from");
  return found;
};
const between = (least: number, most: number): number => Math.round(least + random() * (most - least));

/** A fault that will be, and when; all times from the round's begin. */
interface Drawn<Name> {
  readonly name: Name;
  readonly at: "leader" | "anyone";
  readonly fromMs: number;
  readonly toMs: number;
}

function draw<Name>(from: readonly Name[]): Drawn<Name> {
  const fromMs = between(0, 6_000);
  const at = random() < LEADERS_SHARE ? "leader" : "anyone";
  return { name: pick(from), at, fromMs, toMs: fromMs + between(2_000, 18_000) };
}

/** What a fault and engine have come to. */
interface Tally {
  readonly gapsMs: number[];
  lost: number;
  wrong: number;
  outOfOrder: number;
  broken: number;
  transactions: number;
  anomalies: number;
}
const tallies = new Map<string, Tally>();

function tallyOf(fault: string, engine: string): Tally {
  const key = `${fault} ${engine}`;
  const known = tallies.get(key) ?? {
    gapsMs: [],
    lost: 0,
    wrong: 0,
    outOfOrder: 0,
    broken: 0,
    transactions: 0,
    anomalies: 0,
  };
  tallies.set(key, known);
  return known;
}

let findings = 0;
/** Aborted with a signal, or when something happened that must never happen, which is what `evidence` says. */
const ending = new AbortController();
const evidence = { isKept: false };

/** A fault and the pod that it is about. */
interface Aimed extends Drawn<Fault> {
  readonly pod: LeaderPod;
}

/** Looks up whom a fault is about, before anything is broken: the API server may be gone when its time comes. */
async function aim({ subject }: Target, drawn: Drawn<Fault>): Promise<Aimed> {
  return { ...drawn, pod: drawn.at === "leader" ? await subject.leader() : pick(await podsOf(subject)) };
}

/** Injects one fault when its time comes, and heals it. @returns whether there was anything to break. */
async function breakMember({ subject }: Target, { name, pod, fromMs, toMs }: Aimed): Promise<boolean> {
  await pause(fromMs);
  let injected: Injected;
  try {
    injected = await inject(name, { ...subject, leader: () => Promise.resolve(pod) });
  } catch (error) {
    // What another fault has taken cannot be broken: no process, no API server to ask.
    process.stdout.write(`  ${name} found nothing to break: ${(error as Error).message.slice(0, 120)}\n`);
    return false;
  }
  tell(fromMs, toMs, injected.description);
  await pause(toMs - fromMs);
  await injected.heal().catch(() => undefined); // it ended otherwise; and all is healed at the end
  return true;
}

async function breakEverybody({ name, fromMs, toMs }: Drawn<EverybodysFault>): Promise<void> {
  const [begin, end] = EVERYBODYS[name];
  await pause(fromMs);
  await begin();
  tell(fromMs, toMs, name);
  await pause(toMs - fromMs);
  await end();
}

function tell(fromMs: number, toMs: number, what: string): void {
  const [from, length] = [fromMs, toMs - fromMs].map((ms) => (ms / 1000).toFixed(1));
  process.stdout.write(`  +${from} s, for ${length} s: ${what}\n`);
}

function podsOf({ writer }: Subject): Promise<LeaderPod[]> {
  return podsBySelector(writer.namespace, "quorate.io/member");
}

/** Whatever a fault has left: a signal or a rule whose end failed because of another fault. */
async function healEverything(): Promise<void> {
  await lab("apiserver", "resume").catch(() => undefined); // it does not run
  await lab("apiserver", "start");
  await lab("heal", "all");
  for (const { subject } of TARGETS) {
    for (const { pod, node } of await podsOf(subject)) {
      await lab("kubelet", "start", node);
      const pids = await pidsOf(subject.writer.namespace, pod);
      await lab("resume", ...pids).catch(() => undefined); // gone meanwhile
    }
  }
}

async function pidsOf(namespace: string, pod: string): Promise<string[]> {
  const lines = (await lab("pod-pids", namespace, pod).catch(() => "")).trim();
  return lines === "" ? [] : lines.split("\n").map((line) => line.split("\t", 1)[0] ?? "");
}

async function isWholeAgain(target: Target): Promise<boolean> {
  try {
    await target.subject.untilHealthy(WHOLE_AGAIN_MS);
    return true;
  } catch (error) {
    if (!(error instanceof TimeoutError)) throw error;
    return false;
  }
}

async function round(number: number): Promise<void> {
  const everybodys = random() < EVERYBODYS_SHARE ? draw(EVERYBODYS_FAULTS) : undefined;
  const drawn = TARGETS.map((target) => ({
    target,
    faults: Array.from({ length: FAULTS_EACH }, () => draw(MEMBER_FAULTS)),
  }));
  process.stdout.write(`round ${number}\n`);
  const clients = await Promise.all(TARGETS.map((target) => target.startClient()));
  const appending = await Promise.all(TARGETS.map((target) => target.startAppending()));
  const aimed = await Promise.all(
    drawn.map(({ target, faults }) => Promise.all(faults.map((fault) => aim(target, fault)))),
  );
  const breaking = everybodys === undefined ? undefined : breakEverybody(everybodys);
  const injected = await Promise.all(
    drawn.map(({ target }, at) => Promise.all((aimed[at] ?? []).map((fault) => breakMember(target, fault)))),
  );
  await breaking;
  await healEverything();
  const whole = await Promise.all(TARGETS.map(isWholeAgain));
  const verdicts = await Promise.all(clients.map((client) => client.finish()));
  const appended = await Promise.all(
    appending.map((one, at) => one.finish(`append-${SEED}-${number}-${TARGETS[at]?.engine ?? ""}`)),
  );
  for (const [at, { target, faults }] of drawn.entries()) {
    const names = [...faults.filter((_, index) => injected[at]?.[index] === true), everybodys].flatMap(
      (fault) => fault?.name ?? [],
    );
    const [verdict, appends, isWhole] = [verdicts[at], appended[at], whole[at] === true];
    if (verdict !== undefined && appends !== undefined)
      judge({ number, engine: target.engine, names, verdict, appends, isWhole });
    if (!isWhole && !evidence.isKept) await replace(target);
  }
}

/** A new cluster in place of one that has not come back, which is told first. */
async function replace({ subject, create }: Target): Promise<void> {
  const { namespace } = subject.writer;
  process.stdout.write(await kubectl("-n", namespace, "get", "qcs", "-o", "yaml"));
  await removeNamespace(namespace);
  await create();
  await subject.untilHealthy(WHOLE_AGAIN_MS);
}

/** What a round has come to for one cluster. */
interface Outcome {
  readonly number: number;
  readonly engine: string;
  /** Faults that were injected. */
  readonly names: readonly string[];
  readonly verdict: Verdict;
  readonly appends: AppendVerdict;
  readonly isWhole: boolean;
}

function judge({ number, engine, names, verdict, appends, isWhole }: Outcome): void {
  const faults = names.join(" + ");
  const [{ transactions }, anomalies] = [appends, appends.anomalies.length];
  const all = JSON.stringify({ ...verdict, transactions, anomalies });
  process.stdout.write(`  ${engine}: ${faults}: ${all}${isWhole ? "" : ", not whole again"}\n`);
  for (const name of names) {
    const tally = tallyOf(name, engine);
    tally.gapsMs.push(verdict.largestGapMs);
    tally.lost += verdict.lost;
    tally.wrong += verdict.wrong;
    tally.outOfOrder += verdict.outOfOrder;
    tally.broken += isWhole ? 0 : 1;
    tally.transactions += transactions;
    tally.anomalies += anomalies;
  }
  const wrongs = verdict.lost + verdict.wrong + verdict.outOfOrder + anomalies;
  if (wrongs > 0) {
    evidence.isKept = true;
    ending.abort();
  }
  if (wrongs > 0 || !isWhole) {
    findings++;
    process.stdout.write(`FINDING seed ${SEED}, round ${number}, ${engine}: ${faults}\n`);
  }
}

await lab("up");
await installOperator();
for (const target of TARGETS) await target.create();
for (const target of TARGETS) await target.subject.untilHealthy(WHOLE_AGAIN_MS);
process.stdout.write(`seed ${SEED}\n`);
const endMs = Date.now() + HOURS * 3_600_000;
process.once("SIGINT", () => {
  ending.abort();
  process.stdout.write("this round is the last one\n");
});
try {
  for (let number = 1; Date.now() < endMs && !ending.signal.aborted; number++) await round(number);
} finally {
  // What was judged counts, however the campaign ends.
  for (const [key, { gapsMs, ...counts }] of tallies) {
    const [fault = "", engine = ""] = key.split(" ");
    const about = { bench: "campaign", case: fault, subject: engine, metric: "write_gap", unit: "ms" };
    await record(about, gapsMs, { ...counts, gapsMs, seed: SEED });
  }
}
if (!evidence.isKept) for (const { subject } of TARGETS) await removeNamespace(subject.writer.namespace);
process.exitCode = findings === 0 ? 0 : 1;
