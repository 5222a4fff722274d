// Looks at the agents of clusters that have objectives or a canary to judge, beside the reconcile path: every cluster in a
// loop of its own, so that one whose agents hang makes nobody else wait.
import { ClusterIntent } from "../api/cluster-spec.ts";
import { ClusterStatus } from "../api/cluster-status.ts";
import { HEALTH_PORT, LABEL_MEMBER, LABEL_TRACK, nameOf } from "../api/names.ts";
import { BUDGET_KEY } from "../build/budget-record.ts";
import { type Clock, type Random, sleep } from "../clock.ts";
import { deepFreeze } from "../kube/deep-freeze.ts";
import type { KubeObject, Stored } from "../kube/object.ts";
import type { Measured } from "../plan/observation.ts";
import type { BudgetState, OtherSource } from "../slo/budget.ts";
import { coarseRemaining } from "../slo/budget.ts";
import { type ObjectiveName, objectivesOf, windowMsOf } from "../slo/objectives.ts";
import { badShareQuery, type Subject } from "../slo/queries.ts";
import { SERVING_SLICE_MS } from "../slo/serving.ts";
import { ClusterMeasure, LOOK_EVERY_MS, type MemberLook } from "./cluster-measure.ts";
import { toSample } from "./exposition.ts";
import { exchangeText } from "./http-text.ts";
import type { ProjectedPod } from "./kinds.ts";
import { type Answer, ask, NOBODY_TO_ASK, QUESTIONS, toSource } from "./objective-answers.ts";
import type { Prometheus } from "./prometheus.ts";
import type { Stores } from "./stores.ts";
import { askQueries, judgeTrial, longestLookBackMs, type QueryResults, trialOf } from "./trial.ts";

export interface MeasurerOptions {
  readonly stores: Pick<Stores, "of" | "ageMs">;
  readonly clock: Clock;
  readonly random: Random;
  /** Second source, and the only one for users' queries. */
  readonly prometheus: Pick<Prometheus, "query" | "measure"> | undefined;
  /** What was measured of a cluster changed in a way that a plan or a status may depend on. */
  readonly onChange: (key: string) => void;
  /** Prometheus was asked about the objectives of a cluster. */
  readonly onAsked: (asked: AskedBudgets) => void;
  /** It was looked at whether a cluster without agents serves as it shall. */
  readonly onSlice: (key: string, isServed: boolean) => void;
  /** The metrics of an agent. @throws {RetryableError} */
  readonly readAgent?: (address: string, signal: AbortSignal) => Promise<string>;
}

/** How asking Prometheus about a cluster's objectives went. */
export interface AskedBudgets {
  readonly key: string;
  /** How many queries failed. */
  readonly failed: number;
  /** Why the last of those did. */
  readonly error: unknown;
  /** Whether that is otherwise than the time before; a first answer is no news. */
  readonly isNews: boolean;
}

const SUPERVISE_EVERY_MS = 2_000;
const ASK_TRIAL_EVERY_MS = 10_000;
const ASK_BUDGETS_EVERY_MS = 60_000;
const RESULTS_STALE_MS = 60_000;
/** Longer than a watch is silent while all is well: older pods say nothing of now. */
const PODS_STALE_MS = 120_000;
const AGENT_TIMEOUT_MS = 2_000;
const AGENT_MAX_BYTES = 1 << 20;

interface WireCluster extends KubeObject {
  readonly spec?: unknown;
  readonly status?: unknown;
}

interface WireEngine extends KubeObject {
  readonly spec?: { readonly actions?: { readonly probeWrite?: object } };
}

interface WireConfigMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

/** What is known of a cluster that is measured. */
interface Subjected extends Subject {
  readonly key: string;
  readonly uid: string;
  readonly intent: ClusterIntent;
  readonly status: ClusterStatus;
}

/** What Prometheus said of a revision. */
interface Asked {
  readonly revision: string;
  readonly atMs: number;
  readonly results: QueryResults;
}

interface Running {
  readonly uid: string;
  readonly measure: ClusterMeasure;
  readonly stop: AbortController;
  digest: string;
  asked: Asked | undefined;
  measured: Measured | undefined;
  /** Whether Prometheus failed to answer when it was asked last. */
  unanswered: boolean;
  /** What it last answered about the objectives, by the query. */
  answers: ReadonlyMap<string, Answer>;
}

/** Measures clusters while it runs; answers from memory. */
export class Measurer {
  readonly #options: MeasurerOptions;
  readonly #running = new Map<string, Running>();
  readonly #subjects = new WeakMap<object, Subjected | undefined>();

  constructor(options: MeasurerOptions) {
    this.#options = options;
  }

  /** What was measured of a cluster; undefined while nothing was. @param key - `namespace/name`. */
  of(key: string): Measured | undefined {
    return this.#running.get(key)?.measured;
  }

  /** The error budgets of all clusters that have some, for metrics. */
  *budgets(): Generator<{ readonly key: string; readonly budgets: readonly BudgetState[] }> {
    for (const [key, { measured }] of this.#running) {
      if (measured?.budgets !== undefined) yield { key, budgets: measured.budgets };
    }
  }

  /** Measures until `signal` aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    do this.#supervise(signal);
    while (await sleep(clock, SUPERVISE_EVERY_MS, signal));
    for (const { stop } of this.#running.values()) stop.abort();
    this.#running.clear();
  }

  /** Starts a loop for every cluster that needs one, and ends those that are not needed any more. */
  #supervise(signal: AbortSignal): void {
    const wanted = new Map(this.#allSubjects().map((subject) => [subject.key, subject]));
    for (const [key, { uid, stop }] of this.#running) {
      if (wanted.get(key)?.uid === uid) continue;
      stop.abort();
      this.#running.delete(key);
    }
    for (const [key, { uid, namespace, cluster, intent }] of wanted) {
      if (this.#running.has(key)) continue;
      const map: Stored<WireConfigMap> | undefined = this.#options.stores
        .of("ConfigMap")
        .get(namespace, nameOf.budget(cluster));
      const measure = new ClusterMeasure(map?.data?.[BUDGET_KEY]);
      const stop = new AbortController();
      const running: Running = {
        uid,
        measure,
        stop,
        digest: "",
        asked: undefined,
        measured: undefined,
        unanswered: false,
        answers: new Map(),
      };
      this.#running.set(key, running);
      const ended = AbortSignal.any([signal, stop.signal]);
      // Prometheus in a loop of its own: while it is slow, agents are still looked at in time.
      void this.#every(LOOK_EVERY_MS, key, ended, (subject) => this.#round(subject, running, ended));
      void this.#every(ASK_TRIAL_EVERY_MS, key, ended, (subject) => this.#askForTrial(subject, running, ended));
      void this.#every(ASK_BUDGETS_EVERY_MS, key, ended, (subject) => this.#askForBudgets(subject, running, ended));
      if (intent.topology !== "Stateless") continue;
      void this.#every(SERVING_SLICE_MS, key, ended, (subject) => this.#slice(subject, running));
    }
  }

  #allSubjects(): Subjected[] {
    return this.#options.stores
      .of("ClusterSpec")
      .all()
      .flatMap((object) => this.#subjectOf(object) ?? []);
  }

  /** What an object says; read once for each version of it, because it is asked every two seconds of every cluster. */
  #subjectOf(object: Stored<WireCluster>): Subjected | undefined {
    if (!this.#subjects.has(object)) this.#subjects.set(object, toSubject(object));
    return this.#subjects.get(object);
  }

  /** Calls `visit` with the cluster as it is then, every so often or as soon as the last visit is over. */
  async #every(
    periodMs: number,
    key: string,
    signal: AbortSignal,
    visit: (subject: Subjected) => Promise<void> | void,
  ): Promise<void> {
    const { clock, random, stores } = this.#options;
    const [namespace, name = ""] = key.split("/");
    // Spread, so that an operator that starts does not ask all agents at once.
    let delayMs = Math.min(periodMs, LOOK_EVERY_MS) * random();
    while (await sleep(clock, delayMs, signal)) {
      const startMs = clock.monotonicMs();
      const object = stores.of("ClusterSpec").get(namespace, name);
      const subject = object === undefined ? undefined : this.#subjectOf(object);
      if (subject !== undefined) await visit(subject);
      delayMs = Math.max(0, periodMs - (clock.monotonicMs() - startMs));
    }
  }

  async #round(subject: Subjected, running: Running, signal: AbortSignal): Promise<void> {
    const { clock, onChange } = this.#options;
    const { slo, topology } = subject.intent;
    const looks = await this.#lookAt(subject, signal);
    const atMs = clock.monotonicMs();
    const nowMs = clock.now().getTime();
    const { measure } = running;
    const shallServe = shallItServe(subject);
    const trial = trialOf(subject.intent, subject.status);
    const keepPointsMs = trial === undefined ? 0 : longestLookBackMs(trial);
    const moment = { atMs, nowMs, slo, topology };
    measure.take({ ...moment, shallServe, probesWrites: this.#probesWrites(subject), keepPointsMs, looks });
    const results = trial === undefined ? undefined : freshResults(running.asked, trial.revision, atMs);
    measure.takeTrial(trial === undefined ? undefined : judgeTrial(trial, measure, results ?? new Map()));
    if (signal.aborted) return;
    running.measured = deepFreeze(measure.measured(moment));
    const digest = digestOf(running.measured);
    if (digest === running.digest) return;
    running.digest = digest;
    onChange(subject.key);
  }

  /** Looks whether a cluster without agents serves. */
  #slice(subject: Subjected, { measure }: Running): void {
    const { clock, stores, onSlice } = this.#options;
    const { namespace, cluster, intent } = subject;
    const { slo, topology, members } = intent;
    if (slo === undefined || stores.ageMs("Pod") > PODS_STALE_MS) return;
    const pods = stores.of("Pod").ofCluster(namespace, cluster) as readonly Stored<ProjectedPod>[];
    const ready = pods.filter(({ view }) => view.ready && view.deletingSinceMs === undefined).length;
    const shallServe = shallItServe(subject);
    const moment = { atMs: clock.monotonicMs(), nowMs: clock.now().getTime(), slo, topology };
    const isServed = measure.takeSlice(moment, { wanted: shallServe ? members : 0, ready });
    if (shallServe) onSlice(subject.key, isServed);
  }

  #lookAt({ namespace, cluster }: Subjected, signal: AbortSignal): Promise<MemberLook[]> {
    const pods = this.#options.stores.of("Pod").ofCluster(namespace, cluster) as readonly Stored<ProjectedPod>[];
    return Promise.all(pods.flatMap((pod) => this.#look(pod, signal) ?? []));
  }

  #look(pod: Stored<ProjectedPod>, signal: AbortSignal): Promise<MemberLook> | undefined {
    const { clock, readAgent = readAgentMetrics } = this.#options;
    const { address, restarts } = pod.measuring;
    const member = pod.metadata.labels?.[LABEL_MEMBER];
    if (address === undefined || member === undefined) return undefined;
    const seen = { member, podUid: pod.metadata.uid, podCreatedMs: pod.view.createdMs, restarts };
    return readAgent(address, signal).then(
      (text) => ({ ...seen, atMs: clock.monotonicMs(), sample: toSample(text) }),
      () => ({ ...seen, atMs: clock.monotonicMs(), sample: undefined }),
    );
  }

  #probesWrites({ intent }: Subjected): boolean {
    const engine: Stored<WireEngine> | undefined = this.#options.stores.of("Engine").get(undefined, intent.engine.name);
    return engine?.spec?.actions?.probeWrite !== undefined;
  }

  async #askForTrial(subject: Subjected, running: Running, signal: AbortSignal): Promise<void> {
    const { prometheus, clock } = this.#options;
    const trial = trialOf(subject.intent, subject.status);
    if (trial === undefined) return;
    const podsOf = (members: readonly string[]) => this.#podNames(subject, members);
    const results = await askQueries(trial, { ...subject, podsOf }, prometheus, signal);
    running.asked = { revision: trial.revision, atMs: clock.monotonicMs(), results };
  }

  /** Names of the members' pods; in topology Stateless of those that a track has now. */
  #podNames({ namespace, cluster, intent }: Subjected, members: readonly string[]): readonly string[] {
    if (intent.topology !== "Stateless") return members.map(nameOf.pod);
    const pods = this.#options.stores.of("Pod").ofCluster(namespace, cluster) as readonly Stored<ProjectedPod>[];
    return pods.flatMap(({ metadata }) =>
      members.includes(metadata.labels?.[LABEL_TRACK] ?? "") ? metadata.name : [],
    );
  }

  /** What Prometheus says of the objectives. What it does not say leaves the agents' word alone. */
  async #askForBudgets(subject: Subjected, running: Running, signal: AbortSignal): Promise<void> {
    const { prometheus, clock, onAsked } = this.#options;
    const { slo, topology } = subject.intent;
    if (slo === undefined) return;
    const objectives = objectivesOf(slo, topology);
    if (prometheus === undefined) {
      const sources = new Map(objectives.map(({ name }) => [name, NOBODY_TO_ASK]));
      running.measure.takeOther(clock.monotonicMs(), sources);
      return;
    }
    const windowMs = windowMsOf(slo);
    const sources = new Map<ObjectiveName, OtherSource>();
    const errors: unknown[] = [];
    const answers = new Map<string, Answer>();
    for (const objective of objectives) {
      const said: Answer[] = [];
      for (const question of QUESTIONS[objective.source]) {
        const query = badShareQuery(objective, subject, question.units, windowMs);
        const { error, ...answer } = await ask(query, question, running.answers.get(query), {
          prometheus,
          clock,
          signal,
        });
        if (error !== undefined) errors.push(error);
        answers.set(query, answer);
        said.push(answer);
      }
      sources.set(objective.name, toSource(said, windowMs));
    }
    if (signal.aborted) return;
    running.answers = answers;
    running.measure.takeOther(clock.monotonicMs(), sources);
    const failed = errors.length;
    onAsked({ key: subject.key, failed, error: errors.at(-1), isNews: running.unanswered !== failed > 0 });
    running.unanswered = failed > 0;
  }
}

/** What was never initialised, or is stopped on purpose, misses no objective. */
function shallItServe({ status, intent }: Subjected): boolean {
  return status.initialized === true && !intent.stopped;
}

function toSubject(object: Stored<WireCluster>): Subjected | undefined {
  const intent = ClusterIntent.safeParse(object.spec).data;
  if (intent === undefined) return undefined;
  const { namespace = "", name, uid }: KubeObject["metadata"] & { readonly uid: string } = object.metadata;
  const status = ClusterStatus.safeParse(object.status ?? {}).data ?? {};
  if (intent.slo === undefined && trialOf(intent, status) === undefined) return undefined;
  return { key: `${namespace}/${name}`, namespace, cluster: name, uid, intent, status };
}

/** What Prometheus said of the revision a short while ago. */
function freshResults(asked: Asked | undefined, revision: string, atMs: number): QueryResults | undefined {
  return asked?.revision === revision && atMs - asked.atMs < RESULTS_STALE_MS ? asked.results : undefined;
}

/** What of a measurement a plan or a status depends on; figures that only drift are not in it. */
function digestOf({ budgets, missing, remarks, record, trial }: Measured): string {
  return JSON.stringify([
    budgets?.map(({ name, alert, remaining }) => [name, alert, coarseRemaining(remaining)]) ?? null,
    missing,
    remarks ?? null,
    record ?? null,
    trial === undefined ? null : [trial.revision, trial.verdicts.map(({ name, verdict }) => [name, verdict])],
  ]);
}

/** The text of an agent's metrics; empty when it has none to show. @throws {RetryableError} without an answer. */
export async function readAgentMetrics(address: string, signal: AbortSignal): Promise<string> {
  const host = address.includes(":") ? `[${address}]` : address;
  const url = new URL(`http://${host}:${HEALTH_PORT}/metrics`);
  const answer = await exchangeText({ url, timeoutMs: AGENT_TIMEOUT_MS, maxBytes: AGENT_MAX_BYTES, signal });
  return answer.status === 200 ? answer.body : "";
}
