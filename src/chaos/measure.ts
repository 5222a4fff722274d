/** What an experiment came to, measured from looks; and when it has gone wrong. Pure. */
import { type Experiment, isLed, type RecoveryPromise } from "./experiments.ts";
import type { ClusterIntent } from "../api/cluster-spec.ts";
import { leaderIn, type Look, readyIn, rivalsIn } from "./looks.ts";

/** Figures of one round. */
export interface Measure {
  readonly leaderBefore: string | undefined;
  readonly leaderAfter: string | undefined;
  readonly epochBefore: number | undefined;
  readonly epochAfter: number | undefined;
  /** For how long nobody led, all in all. */
  readonly leaderlessMs: number;
  /** For how long the condition Ready was not True, all in all. */
  readonly unreadyMs: number;
  /** From the fault to the look from which on everything was as before; undefined when it was not. */
  readonly wholeAfterMs: number | undefined;
  readonly fewestReady: number;
  /** Members and pods that were there before and are not any more. */
  readonly replaced: readonly string[];
}

/** What a round is judged by. */
export interface Round {
  readonly intent: Pick<ClusterIntent, "topology">;
  /** The look right before the fault. */
  readonly before: Look;
  /** Looks since the fault, the oldest first. */
  readonly looks: readonly Look[];
  readonly faultAtMs: number;
  /** Incarnations that the fault takes away. */
  readonly taken: readonly string[];
}

/** Why a round is broken off. */
export interface Abort {
  readonly reason:
    | "Refused"
    | "BudgetBurns"
    | "LeaderlessTooLong"
    | "NotWholeInTime"
    | "TwoLeaders"
    | "EpochWentBack"
    | "Interrupted";
  readonly message: string;
}

/** As before must have lasted this long: a cluster that has not noticed yet looks whole, too. */
export const STEADY_MS = 3_000;

/** The figures. */
export function measure(round: Round): Measure {
  const { before, looks, faultAtMs } = round;
  const all = [{ ...before, atMs: faultAtMs }, ...looks];
  const [led, last] = [leaderIn(before), looks.at(-1) ?? before];
  const after = leaderIn(last);
  const uids = new Set(last.members.map(({ uid }) => uid));
  return {
    leaderBefore: led?.name,
    leaderAfter: after?.name,
    epochBefore: led?.epoch,
    epochAfter: after?.epoch,
    leaderlessMs: isLed(round.intent) ? timeIn(all, (look) => leaderIn(look) === undefined) : 0,
    unreadyMs: timeIn(all, ({ ready }) => !ready),
    wholeAfterMs: wholeAfterMs(round),
    fewestReady: Math.min(...all.map((look) => readyIn(look).length)),
    replaced: before.members.filter(({ uid }) => !uids.has(uid)).map(({ name }) => name),
  };
}

/** Whether everything has been as before for a while: the round is over. */
export function isOver(round: Round): boolean {
  const after = wholeAfterMs(round);
  const { looks, faultAtMs } = round;
  return after !== undefined && (looks.at(-1)?.atMs ?? 0) - faultAtMs - after >= STEADY_MS;
}

/** Why the round must not go on; undefined while it may. */
export function abortOf(round: Round, promise: RecoveryPromise): Abort | undefined {
  const { before, looks, faultAtMs } = round;
  const last = looks.at(-1);
  if (last === undefined) return undefined;
  if (last.refusal !== undefined) return { reason: "Refused", message: last.refusal };
  const rivals = rivalsIn(last);
  if (rivals !== undefined) {
    const [one, other] = rivals;
    const message = `${one.name} and ${other.name} both say that they lead in epoch ${one.epoch}`;
    return { reason: "TwoLeaders", message };
  }
  const epochs = [before, ...looks].flatMap((look) => leaderIn(look)?.epoch ?? []);
  const highest = Math.max(...epochs);
  const latest = epochs.at(-1) ?? highest;
  if (latest < highest) return { reason: "EpochWentBack", message: `epoch ${latest} came after epoch ${highest}` };
  if (last.objectives === "Missed" && before.objectives !== "Missed")
    return { reason: "BudgetBurns", message: "an error budget of spec.slo burns too fast, or is spent" };
  const { leaderlessMs } = measure(round);
  if (leaderlessMs > promise.leaderlessMs) {
    const message = `nobody has led for ${seconds(leaderlessMs)} s; ${seconds(promise.leaderlessMs)} s were promised`;
    return { reason: "LeaderlessTooLong", message };
  }
  const elapsedMs = last.atMs - faultAtMs;
  if (elapsedMs > promise.wholeWithinMs && wholeAfterMs(round) === undefined)
    return { reason: "NotWholeInTime", message: `not as before within ${seconds(promise.wholeWithinMs)} s` };
  return undefined;
}

/** What came otherwise than an experiment expects, once its round is over; empty when nothing did. */
export function surprises({ leader }: Experiment, round: Round): readonly string[] {
  if (!isLed(round.intent)) return [];
  const { leaderBefore, leaderAfter, epochBefore = 0, epochAfter = 0 } = measure(round);
  const isSame = leaderBefore === leaderAfter && epochBefore === epochAfter;
  if (leader === "Stays" && !isSame) {
    const was = `${leaderBefore ?? "nobody"} in epoch ${epochBefore}`;
    return [`${leaderAfter ?? "nobody"} leads in epoch ${epochAfter}, and it was ${was}: the leader was to stay`];
  }
  if (leader === "Moves" && epochAfter <= epochBefore) return [`the epoch is still ${epochAfter}: nobody took over`];
  return [];
}

/** Seconds with one digit, for people. */
export function seconds(ms: number): string {
  return (ms / 1000).toFixed(1);
}

/** When the last stretch of looks began in which everything is as before. */
function wholeAfterMs(round: Round): number | undefined {
  const { looks, faultAtMs } = round;
  const broken = looks.findLastIndex((look) => !isWhole(round, look));
  const first = looks[broken + 1];
  return first === undefined ? undefined : first.atMs - faultAtMs;
}

function isWhole({ intent, before, taken }: Round, look: Look): boolean {
  const isThere = look.members.some(({ uid }) => taken.includes(uid));
  const isServed = !isLed(intent) || leaderIn(look) !== undefined;
  return look.ready && look.restored && !isThere && isServed && readyIn(look).length >= readyIn(before).length;
}

/** How long a state lasted: each look stands for the time until the next. */
function timeIn(looks: readonly Look[], holds: (look: Look) => boolean): number {
  return looks.slice(1).reduce((sum, look, at) => {
    const from = looks[at];
    return from !== undefined && holds(from) ? sum + look.atMs - from.atMs : sum;
  }, 0);
}
