/**
 * One member, put together: init, engine, API server, peers, and the protocol between them.
 * The only module of the agent that knows all the others.
 */
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import type { EngineObservation } from "../api/engine-observation.ts";
import type { Intent, IntentMember } from "../api/agent-wire.ts";
import { nameOf } from "../api/names.ts";
import { followLease, LeaseRegister } from "./cluster/lease.ts";
import { EffectRunner } from "./effects.ts";
import { EngineControl, type LeaderAddress, leaderContext } from "./engine/control.ts";
import { EngineWatch } from "./engine/watch.ts";
import { Equipment, LEAVE_MS, type MemberParts } from "./equipment.ts";
import { Fence } from "./fence.ts";
import { FenceClock } from "./fence-clock.ts";
import type { InitState } from "./init-client.ts";
import { protocolIntent } from "./intent-source.ts";
import { measureEngine } from "./measurements.ts";
import { MemberAccounts } from "./member-accounts.ts";
import { PeerMessenger } from "./messenger.ts";
import type { PeerServer } from "./peers.ts";
import { PhaseTimer } from "./phase-timer.ts";
import { restartsInPlace } from "./protocol/office.ts";
import { PROFILES } from "./protocol/profile.ts";
import { restMs } from "./protocol/rest.ts";
import { initialState, type State } from "./protocol/state.ts";
import type { EventBody } from "./protocol/exchange.ts";
import type { BootFindings, PersistedRecord } from "./protocol/types.ts";
import { describeMember } from "./protocol/member-view.ts";
import { countQuorum, showMember } from "./indicators.ts";
import { watchLeader } from "./leader-watch.ts";
import { NOT_RECEIVING, ReceivingWatch } from "./receiving.ts";
import { buildReport } from "./report.ts";
import { engineStateOf, isEngineUp, MemberRuntime, type RuntimeClock } from "./runtime.ts";
import { measureSlots, shardMetrics } from "./slot-load.ts";
import { SlotKeeper } from "./slots.ts";
import { readStateFile, writeStateFile } from "./state-file.ts";
import { tickLoop } from "./tick-loop.ts";

/** No route is written in the last moments before our own fence deadline. */
const ROUTE_MARGIN_MS = 500;

/** A running member. `start` once. */
export class Member {
  readonly #parts: MemberParts;
  readonly #equipment: Equipment;
  readonly #fenceClock = new FenceClock();
  readonly #control: EngineControl;
  readonly #watch: EngineWatch;
  readonly #lease: LeaseRegister;
  readonly #messenger: PeerMessenger;
  readonly #server: PeerServer;
  readonly #phases: PhaseTimer;
  readonly #recordFile: string;
  readonly #bootNonce = randomUUID();
  #fence: Fence | undefined;
  #runtime: MemberRuntime | undefined;
  readonly #accounts: MemberAccounts;
  readonly #slots: SlotKeeper;
  #intent: Intent | undefined;
  #leaderSince: string | null = null;
  readonly #receiving = new ReceivingWatch();
  #isCutOff = false;
  #contends = false;
  /** Epoch for which this member asks for seals: the Lease is its own, and it will serve unless something goes wrong. */
  #sealing: number | undefined;
  #switchover: { id: string; result: "Done" | "Refused" | "Failed"; message: string } | null = null;

  constructor(parts: MemberParts) {
    const { settings, api, clock, log, metrics } = parts;
    this.#parts = parts;
    this.#recordFile = join(settings.QUORATE_STATE_DIR, "promises.json");
    const { QUORATE_NAMESPACE: namespace, QUORATE_CLUSTER: cluster } = settings;
    this.#equipment = new Equipment(parts, {
      isEngineUp: () => this.#isEngineUp(),
      mayRoute: () => (this.#fence?.marginMs ?? Number.POSITIVE_INFINITY) > ROUTE_MARGIN_MS,
      podOf: (member) => this.#messenger.podOf(member),
      restMs: () => (this.#runtime === undefined ? null : restMs(this.#runtime.state)),
      changed: () => this.#report(),
    });
    const { driver, host, volume, peers, self } = this.#equipment;
    this.#accounts = new MemberAccounts({
      engine: parts.engine,
      settings,
      run: (action, epoch) => driver.run(action, { QUORATE_EPOCH: String(epoch) }),
      servingEpoch: () => this.#servingEpoch(),
      isEngineUp: () => this.#isEngineUp(),
      nowMs: () => this.#fenceClock.nowMs(),
      changed: () => this.#report(),
    });
    this.#control = new EngineControl({
      ...{ driver, host, volume, leader: () => this.#leaderInOffice() },
      makeFirstData: this.#equipment.makeFirstData,
    });
    this.#slots = new SlotKeeper({
      member: settings.QUORATE_MEMBER,
      run: (action, context, signal) => driver.run(action, context, signal),
      servingEpoch: () => this.#servingEpoch(),
      nowMs: () => this.#fenceClock.nowMs(),
      changed: () => this.#report(),
    });
    this.#watch = new EngineWatch({
      control: this.#control,
      clock,
      nowMs: () => this.#fenceClock.nowMs(),
      isUp: () => isEngineUp(this.#runtime?.state),
      observed: (observation) => this.#observed(observation),
      log,
    });
    this.#lease = new LeaseRegister(
      api,
      { apiVersion: "coordination.k8s.io/v1", kind: "Lease", namespace, name: nameOf.lease(cluster) },
      () => (this.#runtime?.state.profile.leaseMs ?? PROFILES.Standard.leaseMs) / 1000,
    );
    this.#messenger = new PeerMessenger(
      peers,
      { cluster, member: settings.QUORATE_MEMBER, info: self },
      (body) => this.#dispatch(body),
      (peer, seconds) => metrics.heartbeatSeconds.observe({ peer }, seconds),
    );
    this.#server = this.#equipment.answerPeers((body) => this.#messenger.receive(body));
    this.#phases = new PhaseTimer(metrics);
  }

  /** Why the member should get no traffic: its engine does not answer, or it neither leads nor follows. */
  ready(): string | undefined {
    const view = this.#runtime === undefined ? undefined : describeMember(this.#runtime.state);
    if (view === undefined) return "waiting for the intent of the operator";
    if (this.#watch.observation === undefined) return `the engine does not answer (${view.state})`;
    return view.role === "none" ? `${view.state}: ${view.reason ?? "no leader"}` : undefined;
  }

  /** For people: the state of the protocol and the last observation of the engine. */
  status(): unknown {
    return { state: this.#runtime?.state ?? null, observation: this.#watch.observation ?? null };
  }

  /** Starts everything; resolves once the protocol runs. */
  async start(boot: InitState): Promise<void> {
    const { settings, log, init, api } = this.#parts;
    const begun = Promise.withResolvers<void>();
    const intent = await this.#equipment.followIntent((next) => {
      this.#intent = next;
      this.#accounts.want(next);
      this.#slots.want(next);
      this.#dispatch({ type: "IntentChanged", intent: protocolIntent(next) });
      this.#takeOneShots(next);
    }, begun.promise);
    const profile = PROFILES[intent.profile];
    this.#fence = new Fence(init, this.#fenceClock, profile.renewDeadlineMs, (error) =>
      log.debug({ err: error }, "Fence not moved"),
    );
    await this.#fence.sampleClock();
    this.#watch.begin(profile.leaseMs);
    const findings: BootFindings = {
      volume: await this.#equipment.volume.state(),
      engine: boot.engine === "stopped" ? "stopped" : await this.#watch.adopt(),
      persisted: ((await readStateFile(this.#recordFile)) as PersistedRecord | undefined) ?? null,
    };
    const holder = `${settings.QUORATE_POD}/${settings.QUORATE_POD_UID}/${this.#bootNonce}`;
    const state = initialState({ member: settings.QUORATE_MEMBER, holder }, profile, {
      ...findings,
      nowMs: this.#fenceClock.nowMs(),
    });
    log.info(
      { ...findings, profile: profile.name, fenced: boot.fenced, agentRestarts: boot.agentRestarts },
      "Member started",
    );
    const runner = this.#effectRunner();
    this.#runtime = new MemberRuntime(state, this.#runtimeClock(), runner, {
      changed: (next, body) => this.#changed(next, body),
      fatal: (error) => this.#fatal(error),
    });
    // An engine that can start does so now. All that loads and connects for others comes after it: it runs on another processor meanwhile.
    this.#dispatch({ type: "IntentChanged", intent: protocolIntent(intent) });
    begun.resolve();
    await this.#server.listen(settings.QUORATE_PEER_PORT, settings.QUORATE_LISTEN_HOST);
    if (boot.fenced > 0 && boot.engine === "stopped") {
      this.#parts.metrics.fenced.inc();
      this.#equipment.tell(
        "warning",
        "Fenced",
        "The fence deadline passed without a confirmed renewal; the engine was killed",
      );
    }
    this.#listenToInit();
    for (const loop of [
      this.#tick(profile.periodMs),
      this.#watch.run(profile.periodMs, this.#equipment.stopped),
      followLease(api, this.#lease, (body) => this.#dispatch(body), { signal: this.#equipment.stopped }),
      watchLeader({
        messenger: this.#messenger,
        leader: () => this.#otherLeader(),
        clock: this.#parts.clock,
        signal: this.#equipment.stopped,
        dispatch: (body) => this.#dispatch(body),
      }),
      ...this.#measure(),
    ]) {
      loop.catch((error: unknown) => this.#fatal(error));
    }
  }

  /** What is measured of the engine for as long as the member runs. */
  #measure(): readonly Promise<void>[] {
    const { clock, metrics } = this.#parts;
    const { driver, stopped: signal } = this.#equipment;
    const servingEpoch = (): number | undefined => this.#servingEpoch();
    const isOfShard = (): boolean => this.#intent?.shard !== undefined;
    return [
      ...measureEngine({ driver, servingEpoch, isEngineUp: () => this.#isEngineUp(), metrics, clock, signal }),
      measureSlots({ driver, servingEpoch, isOfShard, show: shardMetrics(metrics.registry), clock, signal }),
    ];
  }

  #isEngineUp(): boolean {
    return this.#watch.observation !== undefined && isEngineUp(this.#runtime?.state);
  }

  /** The leader whose heartbeats arrive, if its epoch is one that this member may follow. */
  #leaderInOffice(): LeaderAddress | null {
    const { heard, record, profile } = this.#runtime?.state ?? {};
    if (heard === null || heard === undefined || record === undefined || profile === undefined) return null;
    if (heard.epoch < record.epoch || this.#fenceClock.nowMs() - heard.atMs > profile.leaseMs) return null;
    const member = this.#intent?.members.find((one) => one.name === heard.member);
    return member === undefined ? null : { member: member.name, host: member.host, port: member.enginePort };
  }

  #effectRunner(): EffectRunner {
    const { log, metrics } = this.#parts;
    return new EffectRunner({
      lease: this.#lease,
      engine: this.#control,
      messenger: this.#messenger,
      clock: this.#parts.clock,
      persist: (record) => writeStateFile(this.#recordFile, record),
      extendFence: (deadlineMs) => this.#fence?.extend(deadlineMs) ?? Promise.resolve(false),
      disarmFence: () => this.#fence?.disarm(),
      route: (ready, epoch) => this.#route(ready, epoch),
      wakeAt: (atMs) => this.#runtime?.wakeAt(atMs),
      report: (level, reason, message) => this.#equipment.tell(level, reason, message),
      switchoverResult: (id, result, message) => {
        this.#switchover = { id, result, message };
        log.info({ id, result }, message);
        this.#report();
      },
      exit: () => void this.#equipment.leave(),
      engineStarts: () => this.#equipment.routes.beforeEngineStarts(this.#mayBeSucceeded() ? LEAVE_MS : 0),
      member: (name) => this.#intent?.members.find((member) => member.name === name),
      dispatch: (body) => this.#dispatch(body),
      traced: (name, work) => this.#equipment.trace.within(name, work),
      leaseTimer: (result, seconds) => metrics.leaseSeconds.observe({ result }, seconds),
      fatal: (error) => this.#fatal(error),
    });
  }

  /** Whether another member may take over before the engine runs again. Of two, the other cannot serve before this one follows it. */
  #mayBeSucceeded(): boolean {
    const state = this.#runtime?.state;
    return (this.#intent?.members.length ?? 0) > 2 && !(state !== undefined && restartsInPlace(state));
  }

  #dispatch(body: EventBody): void {
    this.#runtime?.dispatch(body);
  }

  #fatal(error: unknown): void {
    this.#equipment.fatal(error);
  }

  #listenToInit(): void {
    const { init } = this.#parts;
    init.on("exited", () => {
      this.#control.ended();
      this.#dispatch({ type: "EngineExited" });
      if (this.#control.isStopping) return;
      // What is left of an engine whose main process died can neither serve nor be waited for.
      this.#control.stop("kill").then(
        () => this.#dispatch({ type: "EngineGone" }),
        (error: unknown) => this.#fatal(error),
      );
    });
    init.on("term", () => {
      this.#equipment.graceMs().then(
        (graceMs) => this.#dispatch({ type: "TermRequested", graceMs }),
        (error: unknown) => this.#fatal(error),
      );
    });
    init.on("disconnected", (error) => this.#fatal(error));
  }

  #runtimeClock(): RuntimeClock {
    const { clock } = this.#parts;
    return {
      nowMs: () => this.#fenceClock.nowMs(),
      schedule: (delayMs, callback) => clock.schedule(delayMs, callback),
    };
  }

  #tick(periodMs: number): Promise<void> {
    return tickLoop({
      periodMs,
      clock: this.#parts.clock,
      nowMs: () => this.#fenceClock.nowMs(),
      sampleClock: async () => (await this.#fence?.sampleClock()) ?? false,
      dispatch: (body) => this.#dispatch(body),
      ticked: async () => {
        await this.#watch.endIfHung();
        this.#parts.metrics.leaseMargin.set((this.#fence?.marginMs ?? 0) / 1000);
      },
      signal: this.#equipment.stopped,
    });
  }

  #observed(observation: EngineObservation | undefined): void {
    this.#dispatch(engineStateOf(observation));
    const isMissing = observation?.receiving === false && !observation.writable && this.#leaderInOffice() !== null;
    const isCutOff = this.#receiving.isCutOff(isMissing, this.#fenceClock.nowMs());
    if (isCutOff && !this.#isCutOff) this.#equipment.tell("warning", NOT_RECEIVING.reason, NOT_RECEIVING.message);
    this.#isCutOff = isCutOff;
    const epoch = this.#servingEpoch();
    if (epoch !== undefined) countQuorum(this.#parts.metrics, observation, this.#intent);
    if (epoch !== undefined && observation !== undefined && this.#intent !== undefined) {
      this.#equipment.routes.reads(observation, this.#intent, epoch);
    }
    for (const kept of [this.#equipment.keepUp(), this.#accounts.apply()]) {
      kept.catch((error: unknown) => this.#fatal(error));
    }
    this.#slots.apply(observation ?? {}).catch((error: unknown) => this.#fatal(error));
    this.#report();
  }

  /** The leader as its peers reach it; undefined while there is none but oneself. */
  #otherLeader(): IntentMember | undefined {
    const state = this.#runtime?.state;
    const leader = state === undefined ? null : describeMember(state).leader;
    return this.#intent?.members.find((one) => one.name === leader && one.name !== this.#parts.settings.QUORATE_MEMBER);
  }

  /** The epoch under which this member serves writes. */
  #servingEpoch(): number | undefined {
    const role = this.#runtime?.state.role;
    return role?.kind === "leader" && role.routed ? role.epoch : undefined;
  }

  #changed(state: State, body: EventBody): void {
    this.#phases.changed(state);
    const { metrics } = this.#parts;
    const leads = state.role.kind === "leader";
    metrics.isLeader.set(leads ? 1 : 0);
    metrics.epoch.set(describeMember(state).epoch);
    if (leads && this.#leaderSince === null) {
      this.#leaderSince = new Date().toISOString();
      metrics.leaderChanges.inc();
    } else if (!leads) this.#leaderSince = null;
    const isPassing = state.role.kind === "candidate" || state.role.kind === "resigning";
    if (body.type !== "Tick" && !isPassing) this.#report();
    // What was last seen of the own log may be a period old: a candidate that believed it would think itself behind.
    const contends = state.role.kind === "candidate";
    if (contends && !this.#contends) void this.#watch.look();
    this.#contends = contends;
    const sealing = state.role.kind === "candidate" && state.role.stage === "sealing" ? state.role.epoch : undefined;
    if (sealing !== undefined && sealing !== this.#sealing) this.#equipment.routes.prepareWrites(sealing);
    this.#sealing = sealing;
  }

  #route(ready: boolean, epoch: number): void {
    if (!ready) return this.#equipment.routes.leaveWrites(epoch);
    this.#equipment.routes.takeWrites(epoch, () => {
      const phasesMs = this.#phases.routed(this.#fenceClock.nowMs());
      if (phasesMs !== undefined) this.#parts.log.info({ epoch, phasesMs }, "Serving writes");
    });
  }

  #report(): void {
    const state = this.#runtime?.state;
    if (state === undefined) return;
    const parts = {
      view: describeMember(state),
      intentGeneration: this.#intent?.generation,
      observation: this.#watch.observation,
      leaderPosition: state.heard?.position ?? null,
      leaderSince: this.#leaderSince,
      switchover: this.#switchover,
      common: this.#equipment.report,
      accountsMissing: this.#accounts.missing,
      slotsHeldUp: this.#slots.heldUp,
      isCutOff: this.#isCutOff,
      leaseGone: state.leaseGone,
    };
    this.#equipment.reports.report(buildReport(parts));
    showMember(this.#parts.metrics, { ...parts, isLeaderHeard: this.#leaderInOffice() !== null }, this.#intent);
  }

  #takeOneShots(intent: Intent): void {
    this.#equipment.takeOneShots(intent, {
      leads: this.#runtime?.state.role.kind === "leader",
      servingEpoch: () => this.#servingEpoch(),
      context: () => leaderContext(this.#leaderInOffice()),
      restart: () => this.#control.stop("fast").then(() => this.#dispatch({ type: "EngineGone" })),
      rebuild: async () => {
        await this.#control.stop("fast");
        await this.#equipment.volume.markIncomplete();
        this.#parts.exit(1); // init starts the agent anew, which finds an incomplete volume and clones
      },
    });
  }
}
