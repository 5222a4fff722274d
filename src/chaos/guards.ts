/** The guard rails of experiments, as a list of checks. One that does not pass keeps the experiment from beginning. Pure. */
import type { ClusterSpec } from "../api/cluster-spec.ts";
import { fail, type Finding, pass, type Verdict } from "../checklist/checklist.ts";
import { isOpen } from "../plan/maintenance.ts";
import { objectivesOf, windowMsOf } from "../slo/objectives.ts";
import { type Experiment, isLed, type RecoveryPromise } from "./experiments.ts";
import { type Look, readyIn } from "./looks.ts";
import { seconds } from "./measure.ts";
import type { Target } from "./target.ts";

/** What the guards look at. */
export interface GuardFacts {
  readonly nowMs: number;
  readonly cluster: ClusterSpec;
  readonly look: Look;
  readonly experiment: Experiment;
  readonly promise: RecoveryPromise;
  readonly rounds: number;
  readonly target: Target;
  /** ClusterOperations of the cluster that have not ended. */
  readonly openOperations: readonly string[];
  /** Who has the turn of this namespace, when somebody has. */
  readonly turn: string | undefined;
  /** What the API server said of the same requests as a dry run, when it refused. */
  readonly refusal: string | undefined;
  readonly outsideWindow: boolean;
  readonly withoutBudget: boolean;
}

/** One guard rail. */
export interface ChaosGuard {
  /** In kebab-case; never changes its meaning. */
  readonly id: string;
  readonly title: string;
  readonly judge: (facts: GuardFacts) => Verdict;
}

const LEAST_LEFT = 0.25; // of the budget: what an outage that nobody planned needs, too
const MOST_OF_WHAT_IS_LEFT = 0.2;
const MINUTE_MS = 60_000;

/** All guard rails, in the order in which one would ask. */
export const CHAOS_GUARDS: readonly ChaosGuard[] = [
  { id: "fits-topology", title: "The experiment is one for this topology", judge: fitsTopology },
  { id: "in-force", title: "The cluster is meant to run", judge: inForce },
  { id: "ready", title: "The cluster is Ready", judge: isReady },
  { id: "at-rest", title: "Nothing else goes on", judge: isAtRest },
  { id: "all-there", title: "Every member is ready", judge: allThere },
  { id: "somebody-to-spare", title: "Enough members are left to go on", judge: somebodyToSpare },
  {
    id: "target",
    title: "It is known whom it is done to",
    judge: ({ target }) =>
      "problem" in target
        ? fail(target.problem, "look with kubectl quorate status, and name another --member")
        : pass(named(target)),
  },
  { id: "budget-left", title: "The error budget has room", judge: budgetLeft },
  { id: "budget-bears-it", title: "What is promised costs little of it", judge: budgetBearsIt },
  { id: "window-open", title: "A maintenance window is open until the end", judge: windowOpen },
  {
    id: "alone",
    title: "No other experiment runs in this namespace",
    judge: ({ turn }) =>
      turn === undefined ? pass("none") : fail(turn, "wait for its end; its Lease quorate-chaos expires by itself"),
  },
  {
    id: "allowed",
    title: "The API server would take it (dry run)",
    judge: ({ refusal }) =>
      refusal === undefined ? pass("it would") : fail(refusal, "ask for the right, or mend what it names"),
  },
];

/** Asks all of them. */
export function judgeGuards(facts: GuardFacts): readonly Finding[] {
  return CHAOS_GUARDS.map(({ id, title, judge }) => ({ id, title, ...judge(facts) }));
}

/** Whether all of them let the experiment begin. */
export function mayBegin(findings: readonly Finding[]): boolean {
  return findings.every(({ result }) => result === "Pass" || result === "Warn");
}

function named(target: Extract<Target, { readonly acts: unknown }>): string {
  return target.members.map(({ name }) => name).join(", ") || "no member: what is beside them";
}

function fitsTopology({ cluster, experiment }: GuardFacts): Verdict {
  const { topology } = cluster.spec;
  if (topology === "Sharded")
    return fail("members are those of its shards", `name a shard, such as ${cluster.metadata.name}-s0`);
  if (experiment.topologies.includes(topology)) return pass(topology);
  return fail(`it is for ${experiment.topologies.join(", ")}, and this is ${topology}`, "kubectl quorate chaos list");
}

function inForce({ cluster: { spec } }: GuardFacts): Verdict {
  if (spec.stopped) return fail("spec.stopped is true", "set it to false, and wait until it is Ready");
  if (spec.paused) return fail("spec.paused is true: nobody would take over", "set it to false");
  return pass("neither paused nor stopped");
}

function isReady({ cluster: { metadata, status }, look }: GuardFacts): Verdict {
  const why = `kubectl quorate why ${metadata.name}`;
  if (status.observedGeneration !== metadata.generation)
    return fail("the operator has not taken in the last change", why);
  const ready = status.conditions?.find(({ type }) => type === "Ready");
  return look.ready ? pass(ready?.message ?? "it is") : fail(ready?.message ?? "no condition says so", why);
}

const ROLLS = ["Progressing", "Baking", "RollingBack", "Blocked"];

function isAtRest({ cluster: { status }, openOperations }: GuardFacts): Verdict {
  const { change = "", rollout } = status;
  if (change !== "") return fail(change, "wait for its end");
  if (rollout !== undefined && ROLLS.includes(rollout.phase))
    return fail(`a roll is ${rollout.phase}`, "wait for its end");
  const [open] = openOperations;
  return open === undefined ? pass("no change, no operation") : fail(`operation ${open} has not ended`, "wait for it");
}

function allThere({ cluster: { status }, look }: GuardFacts): Verdict {
  const wanted = status.desiredMembers ?? 0;
  const ready = readyIn(look).length;
  return ready >= wanted && wanted > 0 && look.members.every(({ leaving }) => !leaving)
    ? pass(`${ready}/${wanted}`)
    : fail(`${ready} of ${wanted} are ready`, "wait until all are, or see kubectl quorate diagnose");
}

function somebodyToSpare({ cluster: { spec }, look, target }: GuardFacts): Verdict {
  const taken = "members" in target ? target.members.length : 0;
  const ready = readyIn(look).length;
  if (taken === 0) return pass("it takes no member away");
  const needed = fewest(spec);
  const left = ready - taken;
  if (left >= needed) return pass(`${left} are left, ${needed} are needed`);
  return fail(
    `${left} would be left, and ${needed} are needed`,
    "raise spec.members, or choose an experiment that takes nobody",
  );
}

/** How many members clients need to go on. */
function fewest({ topology, members, durability }: ClusterSpec["spec"]): number {
  if (topology === "Stateless") return 1;
  const majority = Math.floor(members / 2) + 1;
  if (topology !== "ActivePassive") return majority;
  if (durability.mode === "Async") return 1;
  if (durability.whenDegraded === "Async") return 1;
  return durability.mode === "All" ? members : majority;
}

function budgetLeft({ cluster: { spec, status }, look, withoutBudget }: GuardFacts): Verdict {
  const said = status.conditions?.find(({ type }) => type === "SLOHealthy");
  if (look.objectives === "Missed")
    return fail(said?.message ?? "an objective is missed", "wait until the budget is there again");
  const left = fractionLeft(status.budgetLeft);
  if (spec.slo !== undefined && look.objectives === "Kept" && left !== undefined) {
    return left >= LEAST_LEFT
      ? pass(status.budgetLeft ?? "")
      : fail(
          `${status.budgetLeft ?? ""} of it is left, and ${100 * LEAST_LEFT}% are kept for what nobody plans`,
          "wait until there is more",
        );
  }
  const why = spec.slo === undefined ? "spec.slo states no objective" : (said?.message ?? "it is not measured yet");
  return withoutBudget
    ? { result: "Warn", found: `${why}; --without-budget says to go on` }
    : fail(why, "state objectives in spec.slo, or say --without-budget");
}

function budgetBearsIt({ cluster: { spec, status }, promise, rounds }: GuardFacts): Verdict {
  const left = fractionLeft(status.budgetLeft);
  if (spec.slo === undefined || left === undefined || !isLed(spec))
    return pass("there is no budget of writes to spend");
  const [{ allowed } = { allowed: 0 }] = objectivesOf(spec.slo, spec.topology).filter(
    ({ name }) => name === "Availability",
  );
  const leftMs = windowMsOf(spec.slo) * allowed * left;
  const costMs = promise.leaderlessMs * rounds;
  const found = `${seconds(costMs)} s at most, of ${seconds(leftMs)} s at least`;
  return costMs <= leftMs * MOST_OF_WHAT_IS_LEFT
    ? pass(found)
    : fail(
        found,
        `that is more than ${100 * MOST_OF_WHAT_IS_LEFT}%: fewer --rounds, a Fast failover.profile, or a milder experiment`,
      );
}

/** The least share that the coarse step stands for; undefined where there is none. */
export function fractionLeft(step: string | undefined): number | undefined {
  if (step === undefined) return undefined;
  if (step.startsWith("<")) return 0;
  const percent = Number(step.replace(/^>=/, "").replace(/%$/, ""));
  return Number.isNaN(percent) ? undefined : percent / 100;
}

function windowOpen({ cluster: { spec }, nowMs, promise, rounds, outsideWindow }: GuardFacts): Verdict {
  if (outsideWindow) return { result: "Warn", found: "--outside-window says to go on at any time" };
  const windows = spec.maintenanceWindows;
  const fix = "wait for one, or say --outside-window";
  if (windows.length === 0) return fail("spec.maintenanceWindows has none", fix);
  const open = windows.find((window) => isOpen(window, nowMs));
  if (open === undefined) return fail("none is open", `${fix}; kubectl quorate why says when`);
  const endMs = nowMs + rounds * Math.min(promise.wholeWithinMs, 5 * MINUTE_MS);
  return isOpen(open, endMs) ? pass(open.name) : fail(`${open.name} closes before the end`, fix);
}
