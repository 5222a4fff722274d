// Joins the parts: watches fill stores, changes become keys, workers pass over keys. Only while this replica leads.
import { randomSecrets, type SecretSource } from "../act/secret-source.ts";
import { StatusWriter } from "../act/status-writer.ts";
import type { AgentBundle } from "../agent-bundle.ts";
import type { BuildSettings } from "../build/context.ts";
import { type Clock, type Random, systemClock } from "../clock.ts";
import type { KubeApi } from "../kube/api.ts";
import { EventRecorder } from "../kube/events.ts";
import { OwnWrites } from "../kube/own-writes.ts";
import { clusterStates } from "../observe/cluster-states.ts";
import { Measurer } from "../observe/measurer.ts";
import { NamedObjects } from "../observe/named-objects.ts";
import { Prometheus } from "../observe/prometheus.ts";
import { Stores } from "../observe/stores.ts";
import type { BudgetState } from "../slo/budget.ts";
import { WorkQueue } from "../queue/queue.ts";
import { clusterLabels, type ClusterRegistry } from "../telemetry/cluster-registry.ts";
import type { Logger } from "../telemetry/logger.ts";
import { type ClusterObserver, clusterMetrics } from "../telemetry/cluster-metrics.ts";
import { eventMetrics, queueMetrics, reconcileMetrics, watchMetrics } from "../telemetry/metrics.ts";
import { NO_TRACES, type Tracer } from "../telemetry/tracer.ts";
import {
  budgetMetrics,
  budgetQueryMetrics,
  overrideMetrics,
  type ServingCounter,
  servingMetrics,
} from "../telemetry/slo-metrics.ts";
import { podEndMetrics, type PodEndCounter, stateMetrics } from "../telemetry/state-metrics.ts";
import { auditOf } from "./audit.ts";
import { describeStep } from "./describe-step.ts";
import { concernsOf } from "./keys.ts";
import { LeaderTimeline } from "./leader-timeline.ts";
import { membershipChanges } from "./membership-changes.ts";
import { forcedPromotions, newlyOverridden, newsOf } from "./narrator.ts";
import { podEndOf } from "./pod-ends.ts";
import { type PassResult, reconciler } from "./reconcile.ts";
import { rolloutNews } from "./rollout-news.ts";
import { RuleKeeper, type RuleSettings } from "./rule-keeper.ts";
import { runWorkers } from "./workers.ts";

/**
 * How long news that nobody asked for waits for more of it. A failover or a start changes several pods and what Kubernetes
 * says of them several times within half a second, and nothing that the operator does about it is urgent: members fail over
 * by themselves, and on small nodes every pass takes the processor from them.
 */
const NEWS_SETTLE_MS = 400;
/** What a person asks for is taken up at once. */
const ASKED_FOR: ReadonlySet<string> = new Set(["ClusterSpec", "ClusterOperation", "Engine"]);

export interface ControllerOptions {
  readonly api: KubeApi;
  readonly settings: BuildSettings;
  /** The agent that `settings` say can be offered. */
  readonly agentBundle?: AgentBundle | undefined;
  readonly registry: ClusterRegistry;
  readonly log: Logger;
  /** Watch this namespace only; absent: all. */
  readonly namespace?: string;
  /** Address of the Prometheus that is asked for budgets and users' queries; absent: only the agents are. */
  readonly prometheusUrl?: string;
  /** How rules for Prometheus are written, where the API server has them. */
  readonly rules?: RuleSettings;
  /** Takes note of passes, steps and what they lead to; there are no traces when absent. */
  readonly tracer?: Tracer;
  /** Name of this process in events. */
  readonly instance: string;
  readonly clock?: Clock;
  readonly random?: Random;
  /** Where keys, certificates and passwords come from; the machine's own source when absent. */
  readonly secretSource?: SecretSource;
  /** Called after every pass that did not throw; for tests. */
  readonly onPass?: (key: string, result: PassResult) => void;
}

const CONCURRENCY = 4; // passes wait for the API server most of the time; more would only crowd it

/** The operator's controller. `watch` and `lead` may run for as long as their signals allow; `lead` needs `watch`. */
export class Controller {
  readonly stores: Stores;
  /** Who led which cluster when, while this replica led. */
  readonly timeline = new LeaderTimeline();
  readonly #options: ControllerOptions;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #observeQueue: ReturnType<typeof queueMetrics>;
  readonly #observePass: ReturnType<ReturnType<typeof reconcileMetrics>>;
  readonly #observeCluster: ClusterObserver;
  readonly #observeOverride: ReturnType<typeof overrideMetrics>;
  readonly #observeQueryErrors: ReturnType<typeof budgetQueryMetrics>;
  readonly #podEnds: PodEndCounter;
  readonly #serving: ServingCounter;
  readonly #recorder: EventRecorder;
  #measurer: Measurer | undefined;

  constructor(options: ControllerOptions) {
    const { api, registry, log, namespace } = options;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    const observeWatch = watchMetrics(registry);
    this.#observeQueue = queueMetrics(registry);
    this.#observePass = reconcileMetrics(registry)("cluster");
    this.#observeCluster = clusterMetrics(registry, () => this.#clock.now().getTime());
    this.#observeOverride = overrideMetrics(registry);
    stateMetrics(registry, () => clusterStates(this.stores, this.#clock.now().getTime()));
    this.#podEnds = podEndMetrics(registry);
    this.#serving = servingMetrics(registry);
    this.#observeQueryErrors = budgetQueryMetrics(registry);
    budgetMetrics(registry, () => this.#measurer?.budgets() ?? []);
    const observeEvent = eventMetrics(registry);
    this.stores = new Stores({
      api,
      clock: this.#clock,
      random: this.#random,
      ...(namespace === undefined ? {} : { namespace }),
      onSubscriberError: (error) => log.error({ err: error }, "Receiver of a change threw"),
      observer: (resource, ageMs) => {
        const counted = observeWatch(resource, ageMs);
        return {
          ...counted,
          reconnecting: (reason, error) => {
            counted.reconnecting(reason, error);
            if (error !== undefined) log.warn({ resource, reason, err: error }, "Watch is opened again");
          },
        };
      },
    });
    this.#recorder = new EventRecorder({
      api,
      controller: "quorate.io/operator",
      instance: options.instance,
      clock: this.#clock,
      random: this.#random,
      observe: (outcome, error) => {
        observeEvent(outcome);
        if (error !== undefined) log.warn({ err: error }, "Event was lost");
      },
    });
  }

  /** The error budgets of a cluster; undefined while this replica measures none. @param key - `namespace/name`. */
  budgetsOf(key: string): readonly BudgetState[] | undefined {
    return this.#measurer?.of(key)?.budgets;
  }

  /** Keeps the caches up to date until `signal` aborts. Runs on every replica, so that a new leader starts warm. */
  watch(signal: AbortSignal): Promise<void> {
    return this.stores.run(signal);
  }

  /** Reconciles until `signal` aborts; resolves when the last pass has ended. */
  async lead(signal: AbortSignal): Promise<void> {
    const { stores } = this;
    const { log } = this.#options;
    const sinceMs = this.#clock.now().getTime();
    const queue = new WorkQueue({ clock: this.#clock, random: this.#random, observer: this.#observeQueue });
    const stopListening = stores.subscribe((change) => {
      const end = podEndOf(change);
      if (end !== undefined) this.#podEnds.ended(end.key, end.reason);
      const asked = auditOf(change, sinceMs);
      if (asked !== undefined) log.info(asked, "Change was asked for");
      const settleMs = ASKED_FOR.has(change.kind) ? 0 : NEWS_SETTLE_MS;
      for (const { key, priority } of concernsOf(stores, change)) queue.addAfter(key, settleMs, priority);
    });
    const closed = Promise.withResolvers<void>();
    const close = () => closed.resolve(queue.close());
    signal.addEventListener("abort", close, { once: true });
    try {
      await Promise.race([stores.whenSynced(), closed.promise]);
      if (signal.aborted) return;
      log.info({ clusters: stores.of("ClusterSpec").size }, "Caches are synced; reconciling");
      this.#addAll(queue);
      const measurer = this.#newMeasurer(queue);
      this.#measurer = measurer;
      await Promise.all([
        runWorkers(this.#workersOptions(queue, measurer), signal),
        measurer.run(signal),
        this.#newRuleKeeper().run(signal),
      ]);
    } finally {
      this.#measurer = undefined;
      stopListening();
      signal.removeEventListener("abort", close);
      await queue.close();
      await this.#recorder.flush();
    }
  }

  /** Every cluster, and every volume: its cluster may have been deleted while no operator ran. */
  #addAll(queue: WorkQueue): void {
    for (const kind of ["ClusterSpec", "PersistentVolumeClaim"]) {
      for (const object of this.stores.of(kind).all()) {
        for (const { key } of concernsOf(this.stores, { kind, change: { type: "Added", object } })) queue.add(key);
      }
    }
  }

  #newMeasurer(queue: WorkQueue): Measurer {
    const { prometheusUrl, log } = this.#options;
    return new Measurer({
      stores: this.stores,
      clock: this.#clock,
      random: this.#random,
      prometheus: prometheusUrl === undefined ? undefined : new Prometheus(prometheusUrl),
      onChange: (key) => queue.add(key, "change"),
      onSlice: (key, isServed) => this.#serving.counted(key, isServed),
      onAsked: ({ key, failed, error, isNews }) => {
        this.#observeQueryErrors(failed);
        if (!isNews) return;
        if (failed > 0)
          log.warn({ ...clusterLabels(key), failed, err: error }, "Prometheus does not answer about objectives");
        else log.info(clusterLabels(key), "Prometheus answers about objectives again");
      },
    });
  }

  #newRuleKeeper(): RuleKeeper {
    const { api, log, namespace, rules = {} } = this.#options;
    const scope = namespace === undefined ? {} : { namespace };
    return new RuleKeeper({ api, stores: this.stores, clock: this.#clock, log, settings: rules, ...scope });
  }

  #workersOptions(queue: WorkQueue, measurer: Measurer): Parameters<typeof runWorkers>[0] {
    const { api, log, settings, agentBundle, onPass, secretSource = randomSecrets, tracer = NO_TRACES } = this.#options;
    const reconcile = reconciler({
      api,
      secretSource,
      clock: this.#clock,
      stores: this.stores,
      named: new NamedObjects(api),
      ownWrites: new OwnWrites(),
      statuses: new StatusWriter(api, this.#clock),
      measurer,
      settings,
      agentBundle,
      tracer,
      onStep: (key, step) => log.info({ ...clusterLabels(key), ...describeStep(step) }, "Step was carried out"),
      onPlan: (seen, cluster, plan) => {
        const key = `${cluster.namespace}/${cluster.name}`;
        this.#podEnds.known(key);
        this.timeline.see(key, seen);
        const { joined, left } = membershipChanges(seen, cluster);
        this.#observeCluster.planned(key, plan);
        for (const { result } of rolloutNews(cluster.status.rollout, plan.rollout)) {
          if (result !== undefined) this.#observeCluster.rolloutEnded(key, result);
        }
        this.#observeCluster.membersChanged(key, { joined: joined.length, left: left.length });
        for (const _ of forcedPromotions(seen, plan)) this.#observeCluster.promotedByForce(key);
        for (const { guard } of newlyOverridden(seen, cluster)) this.#observeOverride(guard);
        for (const { about, event } of newsOf(seen, cluster, plan)) this.#recorder.record(about, event);
      },
      onGone: (key) => {
        this.#observeCluster.gone(key);
        this.#podEnds.gone(key);
        this.#serving.gone(key);
        this.timeline.forget(key);
      },
    });
    return {
      queue,
      clock: this.#clock,
      random: this.#random,
      log,
      observe: this.#observePass,
      concurrency: CONCURRENCY,
      reconcile: async (pass) => {
        const result = await reconcile(pass);
        onPass?.(pass.key, result);
        return result;
      },
    };
  }
}
