// Judges the revision that is being rolled out: who are its canaries, who is the control group, and what is said of both.
import type { Analysis } from "../api/objectives.ts";
import type { ClusterIntent } from "../api/cluster-spec.ts";
import type { ClusterStatus } from "../api/cluster-status.ts";
import { judgeAnalysis, type Measurement, measureGroup, type TrialVerdict } from "../slo/analysis.ts";
import { fillIn, type Subject } from "../slo/queries.ts";
import type { ClusterMeasure } from "./cluster-measure.ts";
import type { Prometheus } from "./prometheus.ts";

/** A revision on trial. */
export interface Trial {
  readonly revision: string;
  readonly analysis: readonly Analysis[];
  /** Members at the revision; in topology Stateless the track. */
  readonly canary: readonly string[];
  /** Members that are not yet, followers if there are any: a leader has other work than a canary. */
  readonly control: readonly string[];
}

const RUNNING = ["Progressing", "Baking", "Blocked"];

/** The trial that is going on; undefined when none is, or nothing is to be judged. */
export function trialOf({ update, topology }: ClusterIntent, status: ClusterStatus): Trial | undefined {
  const { rollout, members = [], tracks = [] } = status;
  const { analysis } = update.canary;
  if (analysis.length === 0 || rollout === undefined || !RUNNING.includes(rollout.phase)) return undefined;
  if (topology === "Stateless") {
    const isTried = tracks.some(({ name }) => name === "canary");
    return isTried ? { revision: rollout.revision, analysis, canary: ["canary"], control: ["stable"] } : undefined;
  }
  if (rollout.updated.length === 0) return undefined;
  const others = members.filter(({ name }) => !rollout.updated.includes(name));
  const followers = others.filter(({ role }) => role !== "Leader");
  const control = (followers.length > 0 ? followers : others).map(({ name }) => name);
  return { revision: rollout.revision, analysis, canary: rollout.updated, control };
}

/** How long looks at members must be kept to judge the trial. */
export function longestLookBackMs({ analysis }: Trial): number {
  return Math.max(...analysis.map(({ overSeconds }) => overSeconds)) * 1000;
}

/** What Prometheus said, by the name of the analysis. */
export type QueryResults = ReadonlyMap<string, { readonly canary: Measurement; readonly control: Measurement }>;

/** Whose trial it is, and which pods its members have. */
export interface TrialSubject extends Subject {
  readonly podsOf: (members: readonly string[]) => readonly string[];
}

/** Asks the queries of a trial, all at the same time. Never rejects. */
export async function askQueries(
  trial: Trial,
  subject: TrialSubject,
  prometheus: Pick<Prometheus, "measure"> | undefined,
  signal: AbortSignal,
): Promise<QueryResults> {
  const canary = subject.podsOf(trial.canary);
  const control = subject.podsOf(trial.control);
  const ask = (query: string, pods: readonly string[]): Promise<Measurement> => {
    if (pods.length === 0) return Promise.resolve({ missing: "there is no such member" });
    if (prometheus === undefined) {
      return Promise.resolve({ missing: "the operator has no Prometheus to ask: set QUORATE_PROMETHEUS_URL" });
    }
    return prometheus.measure(fillIn(query, pods, { ...subject, canary, control }), signal);
  };
  const results = trial.analysis.map(async ({ name, query, maxRatio }) => {
    if (query === undefined) return [];
    const ofCanary = await ask(query, canary);
    const ofControl: Measurement =
      maxRatio === undefined ? { missing: "it was not asked for" } : await ask(query, control);
    return [[name, { canary: ofCanary, control: ofControl }] as const];
  });
  return new Map((await Promise.all(results)).flat());
}

const NOT_ASKED: Measurement = { missing: "Prometheus was not yet asked" };

/** Judges all analyses of a trial by what the agents and Prometheus have said so far. */
export function judgeTrial(trial: Trial, measure: ClusterMeasure, asked: QueryResults): TrialVerdict {
  const of = (members: readonly string[], { measure: what, overSeconds }: Analysis) =>
    what === undefined ? NOT_ASKED : measureGroup(what, measure.pointsOf(members), overSeconds);
  const verdicts = trial.analysis.map((analysis) => {
    const { canary, control } = asked.get(analysis.name) ?? {
      canary: of(trial.canary, analysis),
      control: of(trial.control, analysis),
    };
    return judgeAnalysis(analysis, canary, control);
  });
  return { revision: trial.revision, verdicts };
}
