// One experiment from its guard rails to its figures: what is looked at, done, watched, and told as Events.
import { hostname, userInfo } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import type { ClusterSpec } from "../../api/cluster-spec.ts";
import { API_VERSION } from "../../api/names.ts";
import {
  type Experiment,
  EXPERIMENTS,
  type ExperimentName,
  promiseOf,
  type RecoveryPromise,
} from "../../chaos/experiments.ts";
import { type GuardFacts, judgeGuards, mayBegin } from "../../chaos/guards.ts";
import { type Look, readyIn } from "../../chaos/looks.ts";
import {
  type Abort,
  abortOf,
  isOver,
  type Measure,
  measure,
  type Round,
  seconds,
  surprises,
} from "../../chaos/measure.ts";
import { describeAct, type Target, targetOf } from "../../chaos/target.ts";
import type { Finding } from "../../checklist/checklist.ts";
import { OperatorError } from "../../errors.ts";
import { EventRecorder } from "../../kube/events.ts";
import { carryOutActs, refusalOf } from "./chaos-acts.ts";
import { type Done, lookAt, surroundings } from "./chaos-look.ts";
import { turnHolder } from "./chaos-turn.ts";
import type { Session } from "./session.ts";
import { readOperations } from "./why.ts";

const LOOK_EVERY_MS = 250;

/** What a person asks for. */
export interface Request {
  readonly cluster: string;
  readonly experiment: ExperimentName;
  readonly rounds: number;
  readonly member?: string | undefined;
  readonly outsideWindow: boolean;
  readonly withoutBudget: boolean;
  readonly wholeWithinMs: number;
  readonly operatorNamespace: string;
}

/** An experiment that was looked into: it may begin, or not. */
export interface Prepared {
  readonly experiment: Experiment;
  readonly cluster: ClusterSpec;
  readonly before: Look;
  readonly target: Target;
  readonly promise: RecoveryPromise;
  readonly guards: readonly Finding[];
  readonly mayBegin: boolean;
}

/** What came of one round. */
export interface RoundReport {
  readonly acts: readonly string[];
  readonly measure: Measure;
  readonly abort?: Abort;
  readonly surprises: readonly string[];
}

/** Looks at everything, asks the guard rails, and has the API server judge the requests. Changes nothing. @param turn - The own turn, if it is taken. */
export async function prepare(session: Session, request: Request, turn?: string): Promise<Prepared> {
  const experiment = EXPERIMENTS[request.experiment];
  const { cluster, look } = await lookAt(session, request.cluster);
  const [around, operations, holder] = await Promise.all([
    surroundings(session, request.cluster, request.operatorNamespace),
    readOperations(session, request.cluster),
    turnHolder(session, Date.now()),
  ]);
  const id = Date.now().toString(36);
  const target = targetOf(experiment, cluster, look, { wanted: request.member, id, around });
  const promise = promiseOf(experiment, cluster.spec, request.wholeWithinMs);
  const facts: GuardFacts = {
    nowMs: Date.now(),
    cluster,
    look,
    experiment,
    promise,
    target,
    rounds: request.rounds,
    openOperations: operations.flatMap(({ metadata, status }) =>
      ["Done", "Refused", "Failed"].includes(status?.phase ?? "") ? [] : metadata.name,
    ),
    turn: holder === turn ? undefined : holder,
    refusal: "problem" in target ? undefined : await refusalOf(session, target.acts),
    outsideWindow: request.outsideWindow,
    withoutBudget: request.withoutBudget,
  };
  const guards = judgeGuards(facts);
  return { experiment, cluster, before: look, target, promise, guards, mayBegin: mayBegin(guards) };
}

/** What a caller may want to know while a round runs, and after it. */
export interface Observer {
  /** Called after every look. */
  readonly looked: (round: Round) => void;
}

/** Does it, and watches until all is as before, or it must be broken off. @returns the round, and what came of it. */
export async function runRound(
  session: Session,
  { experiment, cluster, before, target, promise }: Prepared,
  { operatorNamespace }: Pick<Request, "operatorNamespace">,
  observer: Observer,
): Promise<{ readonly round: Round; readonly report: RoundReport }> {
  if ("problem" in target) throw new Error(target.problem);
  const { acts, members } = target;
  const faultAtMs = performance.now();
  await carryOutActs(session, acts, false);
  const done: Done = { experiment: experiment.name, acts, operatorNamespace };
  const looks: Look[] = [];
  const round: Round = {
    intent: cluster.spec,
    before,
    looks,
    faultAtMs,
    taken: members.map(({ uid }) => uid),
  };
  let abort: Abort | undefined;
  while (abort === undefined && !isOver(round)) {
    await sleep(LOOK_EVERY_MS, undefined, { signal: session.signal }).catch(() => undefined);
    const seen = await lookAgain(session, cluster.metadata.name, done);
    if (seen !== undefined) looks.push(seen);
    observer.looked(round);
    abort = session.signal.aborted
      ? { reason: "Interrupted", message: "somebody pressed Ctrl-C" }
      : (abortOf(round, promise) ?? unseenTooLong(round, promise));
  }
  const report: RoundReport = {
    acts: acts.map(describeAct),
    measure: measure(round),
    ...(abort === undefined ? {} : { abort }),
    surprises: abort === undefined ? surprises(experiment, round) : [],
  };
  return { round, report };
}

/** An API server that does not answer is no look; whatever was seen last goes on. */
async function lookAgain(session: Session, name: string, done: Done): Promise<Look | undefined> {
  try {
    return (await lookAt(session, name, done)).look;
  } catch (error) {
    if (error instanceof OperatorError && error.retry === "backoff") return undefined;
    throw error;
  }
}

function unseenTooLong({ looks, faultAtMs }: Round, { wholeWithinMs }: RecoveryPromise): Abort | undefined {
  const lastMs = looks.at(-1)?.atMs ?? faultAtMs;
  if (performance.now() - lastMs <= wholeWithinMs) return undefined;
  return { reason: "NotWholeInTime", message: `the API server has not answered for ${seconds(wholeWithinMs)} s` };
}

/** Tells of an experiment by Events of the cluster. What could not be told is told to the person. */
export class Teller {
  readonly #recorder: EventRecorder;
  readonly #cluster: ClusterSpec;
  #problem: string | undefined;

  constructor({ api }: Pick<Session, "api">, cluster: ClusterSpec) {
    this.#cluster = cluster;
    this.#recorder = new EventRecorder({
      api,
      controller: "quorate.io/kubectl-quorate",
      instance: `${userInfo().username}@${hostname()}`,
      observe: (outcome, error) => {
        if (outcome === "failed") this.#problem = error instanceof Error ? error.message : String(error);
      },
    });
  }

  /** Notes that it begins. */
  began(what: string): void {
    this.#record("Normal", "ChaosBegan", what);
  }

  /** Notes what came of it. */
  ended(what: string, wentWell: boolean): void {
    this.#record(wentWell ? "Normal" : "Warning", wentWell ? "ChaosEnded" : "ChaosAborted", what);
  }

  /** Waits for what is on its way. @returns why an Event could not be written; undefined when all were. */
  async flush(): Promise<string | undefined> {
    await this.#recorder.flush();
    return this.#problem;
  }

  #record(type: "Normal" | "Warning", reason: string, note: string): void {
    const { name, namespace = "", uid = "" } = this.#cluster.metadata;
    this.#recorder.record(
      { apiVersion: API_VERSION, kind: "ClusterSpec", namespace, name, uid },
      { type, reason, action: "Chaos", note },
    );
  }
}

/** How it stands, in a few words. */
export function standing({ looks, before }: Round): string {
  const last = looks.at(-1) ?? before;
  return `${readyIn(last).length}/${readyIn(before).length} ready${last.ready ? "" : ", not Ready"}`;
}
