/**
 * One member whose engine elects its leader itself, put together: looks at everything once a period, takes one move, and says
 * what it found. No fence is armed and no Lease is held: without a majority the engine lets nobody write.
 */
import { join } from "node:path";
import type { Intent, MemberReport } from "../../api/agent-wire.ts";
import type { EnginePosition } from "../../api/engine-observation.ts";
import { sleep } from "../../clock.ts";
import { ActionError } from "../engine/driver.ts";
import { Equipment, type MemberParts } from "../equipment.ts";
import type { InitState } from "../init-client.ts";
import { measureEngine } from "../measurements.ts";
import { MemberAccounts } from "../member-accounts.ts";
import type { PeerServer } from "../peers.ts";
import { type Profile, PROFILES } from "../protocol/profile.ts";
import { coordinator, decideActive } from "./active.ts";
import { decide, isMissing, standing } from "./decide.ts";
import { FoundingLease } from "./founding-lease.ts";
import { describeGroup } from "./describe.ts";
import { GroupEngine } from "./engine.ts";
import { EngineWatch } from "./engine-watch.ts";
import { showGroup } from "./indicators.ts";
import { LeaderRoute, NO_ROUTES } from "./leader-route.ts";
import { GroupMessenger } from "./messenger.ts";
import { carryOut, MoveError, type MovePorts } from "./moves.ts";
import { Pacing } from "./pacing.ts";
import { KeptRecord } from "./record.ts";
import { greetingTo, replyOf } from "./speech.ts";
import { isEveryMemberWriter } from "./topology.ts";
import type { GroupView, Verdict } from "./types.ts";
import type { GreetingReply } from "./wire.ts";

/** How long a member may be without an agent whose engine needs none to go on. */
const REST_MS = 30_000;

/** A running member of a group. `start` once. */
export class GroupMember {
  readonly #parts: MemberParts;
  readonly #equipment: Equipment;
  readonly #engine: GroupEngine;
  readonly #messenger: GroupMessenger;
  readonly #route: LeaderRoute;
  readonly #server: PeerServer;
  readonly #accounts: MemberAccounts;
  readonly #record: KeptRecord;
  /** Topology ActiveActive: every member writes, and none is elected. */
  readonly #isActive: boolean;
  readonly #lease: FoundingLease;
  readonly #invitations = new Map<string, string>();
  readonly #pacing = new Pacing();
  #wake = new AbortController();
  #intent: Intent | undefined;
  #watch: EngineWatch | undefined;
  /** Where the stopped copy ends; undefined while nobody has looked since the engine last ran. */
  #rest: EnginePosition | null | undefined;
  #copy: GreetingReply["copy"] | undefined;
  #verdict: Verdict = { move: { kind: "Wait" }, reason: null };
  #newestGeneration = 0;
  /** Of the intent that the last look at the engine was judged by: no move that an older one asked for is under way since. */
  #judgedGeneration: number | undefined;
  #missingSinceMs: number | undefined;
  #recoverySinceMs = 0;
  #terminating = false;
  #switchover: MemberReport["switchover"] = null;
  /** The move that last started the engine. */
  #begun: "Start" | "Enter" | "Found" = "Start";

  constructor(parts: MemberParts) {
    const { settings, clock, log, metrics } = parts;
    this.#parts = parts;
    const { QUORATE_CLUSTER: cluster, QUORATE_MEMBER: member } = settings;
    this.#record = new KeptRecord(join(settings.QUORATE_STATE_DIR, "group.json"));
    this.#equipment = new Equipment(parts, {
      isEngineUp: () => this.#watch?.seen !== undefined,
      mayRoute: () => this.#watch?.seen?.leads === true || this.#terminating,
      podOf: (name) => this.#messenger.podOf(name),
      restMs: () => this.#restMs(),
      changed: () => this.#report(),
    });
    const { driver, host, volume, routes, peers, self } = this.#equipment;
    this.#isActive = isEveryMemberWriter(parts.engine);
    this.#lease = new FoundingLease({ parts, profile: () => this.#profile, nowMs: () => this.#nowMs() });
    this.#engine = new GroupEngine({
      driver,
      host,
      volume,
      self: member,
      makeFirstData: this.#equipment.makeFirstData,
    });
    this.#messenger = new GroupMessenger({
      client: peers,
      self: { cluster, member, info: self },
      nowMs: () => this.#nowMs(),
      answer: () => this.#answer(),
      heard: ({ generation }) => this.#noteGeneration(generation),
      roundTrip: (peer, seconds) => metrics.heartbeatSeconds.observe({ peer }, seconds),
    });
    this.#server = this.#equipment.answerPeers((body) =>
      Promise.resolve(body).then((one) => this.#messenger.receive(one)),
    );
    this.#route = new LeaderRoute({
      isElected: !this.#isActive,
      routes: this.#isActive ? NO_ROUTES : routes,
      clock,
      began: () => metrics.leaderChanges.inc(),
      routed: (term) => log.info({ term }, "Serving writes"),
    });
    this.#accounts = new MemberAccounts({
      engine: parts.engine,
      settings,
      run: (action, epoch) => this.#engine.keepAccounts(action, epoch),
      servingEpoch: () => this.#route.term,
      isEngineUp: () => this.#watch?.seen?.serves === true,
      nowMs: () => this.#nowMs(),
      changed: () => this.#report(),
    });
  }

  /** Why the member should get no traffic: its engine does not answer, knows of no leader, or does not vote yet. */
  ready(): string | undefined {
    const view = this.#view();
    if (view === undefined) return "waiting for the intent of the operator";
    const { role, state, reason } = describeGroup(view, this.#verdict);
    return role === "none" ? `${state}: ${reason ?? "no leader"}` : undefined;
  }

  /** For people: what the last round saw, and what it decided. */
  status(): unknown {
    const view = this.#view();
    if (view === undefined) return { view: null, observation: null };
    const named = { peers: Object.fromEntries(view.peers), invitations: Object.fromEntries(view.invitations) };
    return { view: { ...view, ...named }, verdict: this.#verdict, observation: this.#watch?.observation ?? null };
  }

  /** Starts everything; resolves once the first round has begun. */
  async start(boot: InitState): Promise<void> {
    const { settings, log, init } = this.#parts;
    await this.#server.listen(settings.QUORATE_PEER_PORT, settings.QUORATE_LISTEN_HOST);
    await this.#record.load();
    // An engine that outlived the previous agent goes on; what is left of one that ended is ended.
    if (boot.engine === "gone-partial") await this.#engine.stop("kill");
    const intent = await this.#equipment.followIntent((next) => this.#takeIntent(next));
    this.#watch = new EngineWatch(boot.engine === "running" ? "running" : "stopped", {
      engine: this.#engine,
      nowMs: () => this.#nowMs(),
      leaseMs: PROFILES[intent.profile].leaseMs,
      hung: (silentMs) => log.warn({ silentMs }, "The engine does not answer; it is killed"),
    });
    this.#recoverySinceMs = this.#nowMs();
    log.info({ record: this.#record.value, engine: boot.engine, agentRestarts: boot.agentRestarts }, "Member started");
    init.on("exited", ({ code, signal }) => this.#exited(code, signal));
    init.on("term", () => {
      this.#terminating = true;
      this.#wake.abort();
    });
    init.on("disconnected", (error) => this.#fatal(error));
    for (const loop of [this.#roundLoop(), this.#greetLoop(), ...this.#measure()]) {
      loop.catch((error: unknown) => this.#fatal(error));
    }
  }

  #nowMs(): number {
    return Math.floor(this.#parts.clock.monotonicMs());
  }

  get #profile(): Profile {
    return PROFILES[this.#intent?.profile ?? "Standard"];
  }

  get #periodMs(): number {
    return this.#profile.periodMs;
  }

  #fatal(error: unknown): void {
    this.#equipment.fatal(error);
  }

  #takeIntent(intent: Intent): void {
    const before = this.#intent?.group?.incarnation ?? 0;
    if ((intent.group?.incarnation ?? 0) !== before) this.#recoverySinceMs = this.#nowMs();
    this.#intent = intent;
    this.#engine.know(intent.members);
    this.#accounts.want(intent);
    this.#noteGeneration(intent.generation);
    this.#takeOneShots(intent);
    this.#wake.abort();
  }

  #noteGeneration(generation: number): void {
    this.#newestGeneration = Math.max(this.#newestGeneration, generation);
  }

  #exited(code: number | null, signal: number | null): void {
    this.#parts.log.info({ code, signal }, "The engine ended");
    this.#watch?.silenced();
    // What is left of an engine whose main process died can neither serve nor be waited for.
    this.#engine.stop("kill").then(
      () => {
        this.#watch?.stopped();
        this.#pacing.failed(this.#begun, this.#nowMs(), this.#periodMs);
        this.#wake.abort();
      },
      (error: unknown) => this.#fatal(error),
    );
  }

  async #roundLoop(): Promise<void> {
    while (!this.#equipment.stopped.aborted) {
      const isMoving = await this.#round();
      this.#wake = new AbortController();
      if (!isMoving)
        await sleep(this.#parts.clock, this.#periodMs, AbortSignal.any([this.#wake.signal, this.#equipment.stopped]));
    }
  }

  /** Looks, decides, acts. @returns whether there may be more to do at once. */
  async #round(): Promise<boolean> {
    this.#copy = await this.#equipment.volume.state();
    await this.#look();
    await this.#inspect();
    const first = this.#view();
    this.#missingSinceMs = first !== undefined && isMissing(first) ? (this.#missingSinceMs ?? first.nowMs) : undefined;
    const view = this.#view();
    if (view === undefined) return false;
    this.#verdict = this.#isActive ? decideActive(view) : decide(view);
    this.#judgedGeneration = view.intent.generation;
    if (this.#intent !== undefined) this.#route.follow(view, this.#watch?.observation, this.#intent);
    this.#report();
    for (const kept of [this.#equipment.keepUp(), this.#accounts.apply()]) {
      kept.catch((error: unknown) => this.#fatal(error));
    }
    const { move } = this.#verdict;
    if (move.kind === "Wait" || this.#pacing.isHeldBack(move.kind, this.#nowMs())) return false;
    if (move.kind === "Enter" || move.kind === "Found") this.#begun = move.kind;
    try {
      await this.#equipment.trace.within(move.kind, () => carryOut(move, view, this.#movePorts(view)));
      return true;
    } catch (error) {
      if (!(error instanceof ActionError || error instanceof MoveError)) throw error;
      this.#parts.log.warn({ move: move.kind, reason: error.message }, "A move failed and is tried again");
      this.#pacing.failed(move.kind, this.#nowMs(), this.#periodMs);
      return false;
    }
  }

  async #look(): Promise<void> {
    const watch = this.#watch;
    const wasUp = watch?.seen !== undefined;
    await watch?.look();
    const seen = watch?.seen;
    if (seen !== undefined && !wasUp) this.#pacing.succeeded();
    if (seen !== undefined && this.#record.value.id !== seen.group.id) await this.#record.amend({ id: seen.group.id });
    // A vote was given, or writes are taken, after the log was caught up: what an earlier copy had is here, too.
    const isVoter = seen?.group.members.some(({ id, votes }) => votes && id === seen.group.id) === true;
    if (this.#isActive ? seen?.serves === true : isVoter) await this.#equipment.volume.dropAside();
    if (this.#isActive) await this.#settle();
  }

  /** A member that serves has joined; one with others beside it is not the only one that has what was written. */
  async #settle(): Promise<void> {
    const seen = this.#watch?.seen;
    if (seen?.serves !== true) return;
    const isWith = seen.group.members.length > 1;
    const { joining, founding: before } = this.#record.value;
    const founding = isWith ? "None" : before;
    if (joining || before !== founding) await this.#record.amend({ joining: false, founding });
    await this.#lease.release();
  }

  /** Finds out where the stopped copy ends, once after the engine last ran. */
  async #inspect(): Promise<void> {
    if (!this.#isActive) return;
    if (this.#watch?.state === "running") this.#rest = undefined;
    const isKnown = this.#rest !== undefined || this.#watch?.state !== "stopped";
    if (isKnown || this.#copy !== "data" || this.#terminating) return;
    try {
      this.#rest = await this.#engine.inspect();
    } catch (error) {
      if (!(error instanceof ActionError)) throw error;
      this.#parts.log.warn({ reason: error.message }, "It could not be seen where the copy ends; that is tried again");
    }
  }

  #view(): GroupView | undefined {
    const intent = this.#intent;
    const watch = this.#watch;
    if (intent === undefined || watch === undefined || this.#copy === undefined) return undefined;
    const view: GroupView = {
      self: this.#parts.settings.QUORATE_MEMBER,
      nowMs: this.#nowMs(),
      periodMs: this.#periodMs,
      intent: {
        generation: intent.generation,
        members: intent.members.map(({ name }) => name),
        bootstrapMember: intent.bootstrapMember,
        paused: intent.paused,
        incarnation: intent.group?.incarnation ?? 0,
        founder: intent.group?.founder ?? null,
        switchover: intent.switchover,
      },
      record: this.#record.value,
      copy: this.#copy,
      engine: watch.state,
      seen: watch.seen,
      heard: this.#messenger.heard,
      peers: this.#messenger.peers,
      newestGeneration: this.#newestGeneration,
      invitations: this.#invitations,
      leaderlessSinceMs: watch.leaderlessSinceMs,
      missingSinceMs: this.#missingSinceMs,
      recoverySinceMs: this.#recoverySinceMs,
      answeredSwitchover: this.#switchover?.id,
      terminating: this.#terminating,
      rest: this.#copy === "empty" ? null : this.#rest,
      claim: this.#lease.claim,
    };
    if (!this.#isActive || view.seen === undefined) return view;
    return { ...view, seen: { ...view.seen, leads: coordinator(view) === view.self } };
  }

  #movePorts(view: GroupView): MovePorts {
    const watch = this.#watch;
    if (watch === undefined) throw new Error("a move before the first intent");
    return {
      engine: this.#engine,
      watch,
      volume: this.#equipment.volume,
      tell: this.#equipment.tell,
      group: standing(view)?.members ?? [],
      remember: (record) => this.#record.amend(record),
      claim: () => this.#lease.take(),
      invite: (member, id) => this.#invitations.set(member, id),
      answerSwitchover: (answer) => {
        this.#switchover = answer;
        this.#report();
      },
      leave: () => this.#equipment.leave(),
    };
  }

  /** While there is nothing to do, and somebody leads: the engines go on among themselves. */
  #restMs(): number | null {
    const isQuiet = this.#verdict.move.kind === "Wait" && !this.#terminating && this.ready() === undefined;
    return isQuiet ? REST_MS : null;
  }

  #answer(): GreetingReply | undefined {
    const view = this.#view();
    return view === undefined ? undefined : replyOf(view, this.#isActive);
  }

  /** Greets everybody once a period; what a long move of this member's own engine holds up, this does not. */
  async #greetLoop(): Promise<void> {
    do {
      const view = this.#view();
      const others = (this.#intent?.members ?? []).filter(({ name }) => name !== view?.self);
      if (view !== undefined) {
        await Promise.all(
          others.map((member) => this.#messenger.greet(member, greetingTo(member.name, view), this.#periodMs)),
        );
      }
      // An identity that was taken up was given out for good.
      for (const [name, { reply }] of this.#messenger.peers) if (reply.copy === "data") this.#invitations.delete(name);
    } while (await sleep(this.#parts.clock, this.#periodMs, this.#equipment.stopped));
  }

  #measure(): readonly Promise<void>[] {
    const { metrics, clock } = this.#parts;
    const { driver, stopped: signal } = this.#equipment;
    const isEngineUp = (): boolean => this.#watch?.seen !== undefined;
    return measureEngine({ driver, servingEpoch: () => this.#route.term, isEngineUp, metrics, clock, signal });
  }

  #report(): void {
    const view = this.#view();
    if (view === undefined) return;
    const { missing } = this.#accounts;
    this.#equipment.reports.report({
      ...describeGroup(view, this.#verdict, this.#judgedGeneration),
      engineVersion: this.#watch?.observation?.version ?? null,
      leaderSince: this.#route.since,
      switchover: this.#switchover,
      ...this.#equipment.report,
      ...(missing === undefined ? {} : { accountsMissing: missing }),
    });
    showGroup(this.#parts.metrics, view, this.#watch?.observation?.contention);
  }

  #takeOneShots(intent: Intent): void {
    this.#equipment.takeOneShots(intent, {
      leads: this.#view()?.seen?.leads === true,
      servingEpoch: () => this.#route.term,
      context: () => this.#engine.context,
      restart: () => this.#engine.stop("fast"),
      rebuild: async () => {
        await this.#equipment.volume.markIncomplete();
        await this.#engine.stop("fast");
      },
      defragment: () => this.#engine.defragment(),
    });
  }
}
