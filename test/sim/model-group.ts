// The agents and engines of one cluster, as far as the operator can tell: they elect, copy, follow, hand over, answer requests, and
// fence themselves when they are cut off. Coarse on purpose: what real agents do step by step is test/model's and real-agents' matter.
import { type HookRequest, INTENT_KEY, Intent, type MemberReport } from "../../src/api/agent-wire.ts";
import { ANNOTATION_LEADER, ANNOTATION_MEMBER_STATUS, LABEL_MEMBER, LABEL_ROLE, nameOf } from "../../src/api/names.ts";
import { type Any, type ModelApi } from "./model-api.ts";
import { claimsOf, type PodPort, type Program, type Runtime } from "./model-kubernetes.ts";
import { API, type Network } from "./network.ts";
import type { Scheduler } from "./scheduler.ts";

/** What is on one volume: the writes it has, in order. */
interface Copy {
  readonly writes: number[];
  isComplete: boolean;
}

/** One pod's agent and engine. */
interface Member {
  readonly name: string;
  readonly podUid: string;
  readonly node: string;
  readonly port: PodPort;
  readonly copy: Copy;
  intent: Intent | undefined;
  report: MemberReport;
  /** Since when the leader reaches neither the API server nor enough others. */
  aloneSinceMs: number | undefined;
  isTerminating: boolean;
  /** A step that takes time: until then the member does nothing else. */
  busyUntilMs: number;
}

/** Whose confirmations the last leader needed: what an election must be sure to find. */
interface SyncBase {
  readonly leader: string;
  readonly names: readonly string[];
  readonly ack: number;
}

const TICK_MS = 500;
const LEASE_MS = 6_000;
const FENCE_MS = 4_000;
const CLONE_MS = 3_000;
const WRITE_EVERY_MS = 2_000;

const NEW: MemberReport = {
  role: "none",
  epoch: 0,
  state: "Starting",
  reason: null,
  history: null,
  lagBucket: "unknown",
  syncNames: [],
  ackCount: 0,
  agentVersion: "0",
  engineVersion: null,
  leaderSince: null,
  switchover: null,
  restart: null,
  rebuild: null,
  hook: null,
};

export interface GroupParts {
  readonly scheduler: Scheduler;
  readonly network: Network;
  readonly api: ModelApi;
  readonly namespace: string;
  readonly cluster: string;
  /** Told at once when a promise is broken. */
  readonly violate: (oracle: string, what: string) => void;
}

/** All members of one cluster. */
export class ModelGroup implements Runtime {
  /** Writes that were acknowledged to clients. */
  readonly acked: number[] = [];
  /** Hooks that were run. */
  readonly hooks: HookRequest[] = [];
  /** Its volumes are to go with its ClusterSpec: what was acknowledged ends with the Lease. */
  isDoomed = false;
  /** Since when the present leader leads. */
  leadsSinceMs = 0;
  readonly #parts: GroupParts;
  readonly #members = new Map<string, Member>();
  readonly #copies = new Map<string, Copy>();
  #base: SyncBase | undefined;
  /** The Lease that `#base` is written in: with another one everything begins anew. */
  #leaseUid = "";
  #intent: { readonly text: string; readonly intent: Intent } | undefined;
  #epoch = 0;
  #deafUntilMs = 0;
  #leaderLostMs = Number.NEGATIVE_INFINITY;
  #nextWrite = 1;
  #wroteMs = 0;

  constructor(parts: GroupParts) {
    this.#parts = parts;
    this.#tick();
  }

  get leader(): string | undefined {
    return this.#leader()?.name;
  }

  /** No member hears of a new intent for so long. */
  turnDeaf(forMs: number): void {
    this.#deafUntilMs = this.#parts.scheduler.nowMs + forMs;
  }

  /** Members whose confirmations commits wait for. */
  get waitedFor(): readonly string[] {
    return this.#leader()?.report.syncNames ?? [];
  }

  /** The pod that a member runs in now. */
  nodeOf(name: string): string | undefined {
    return this.#members.get(name)?.node;
  }

  start(pod: Any, port: PodPort): Program {
    const name = pod.metadata.labels?.[LABEL_MEMBER] ?? "";
    const copy = this.#copyOf(pod);
    const member: Member = {
      name,
      podUid: pod.metadata.uid ?? "",
      node: port.node,
      port,
      copy,
      intent: undefined,
      report: { ...NEW, epoch: this.#epoch },
      aloneSinceMs: undefined,
      isTerminating: false,
      busyUntilMs: this.#parts.scheduler.nowMs + this.#parts.scheduler.between(200, 1_000),
    };
    if (this.#members.has(name)) this.#parts.violate("S1", `two pods of ${name} run at once`);
    this.#members.set(name, member);
    return {
      terminate: () => this.#terminate(member),
      kill: () => this.#gone(member),
    };
  }

  /** What the leader's copy holds, and every copy when nobody leads. */
  readAll(): ReadonlySet<number> {
    const leader = this.#leader();
    const copies = leader === undefined ? [...this.#copies.values()] : [leader.copy];
    return new Set(copies.flatMap(({ writes }) => writes));
  }

  /** The volume is gone, and what was on it. */
  forgetVolume(uid: string): void {
    this.#copies.delete(uid);
  }

  #copyOf(pod: Any): Copy {
    const { api, namespace } = this.#parts;
    const [claim = ""] = claimsOf(pod);
    const uid = api.read("PersistentVolumeClaim", namespace, claim)?.metadata.uid ?? "";
    const copy = this.#copies.get(uid) ?? { writes: [], isComplete: false };
    this.#copies.set(uid, copy);
    return copy;
  }

  #leader(): Member | undefined {
    return [...this.#members.values()].find(({ report }) => report.role === "leader");
  }

  #tick(): void {
    const { scheduler } = this.#parts;
    scheduler.after(TICK_MS, () => {
      this.#readLease();
      for (const member of this.#members.values()) this.#readIntent(member);
      const leader = this.#leader();
      if (leader === undefined) this.#elect();
      else this.#lead(leader);
      for (const member of this.#members.values()) this.#follow(member);
      this.#tick();
    });
  }

  #isLinked(a: Member, b: Member): boolean {
    const { network } = this.#parts;
    return a === b || (network.isUp(a.node, b.node) && network.isUp(b.node, a.node));
  }

  #reachesApi({ node }: Member): boolean {
    const { network } = this.#parts;
    return network.isUp(node, API) && network.isUp(API, node);
  }

  #isBusy({ busyUntilMs, isTerminating }: Member): boolean {
    return busyUntilMs > this.#parts.scheduler.nowMs || isTerminating;
  }

  /** A Lease that was made anew knows of nobody; a leader in office writes itself into it. */
  #readLease(): void {
    const { api, namespace, cluster } = this.#parts;
    const uid = api.read("Lease", namespace, nameOf.lease(cluster))?.metadata.uid ?? "";
    if (uid === "" || uid === this.#leaseUid) return;
    this.#leaseUid = uid;
    if (this.isDoomed) this.acked.length = 0;
    this.isDoomed = false;
    if (this.#leader() === undefined) this.#base = undefined;
  }

  #readIntent(member: Member): void {
    // Whoever has just started reads it anew.
    const isDeaf = this.#parts.scheduler.nowMs < this.#deafUntilMs && member.intent !== undefined;
    if (isDeaf || !this.#reachesApi(member)) return;
    const { api, namespace, cluster } = this.#parts;
    const text = api.read("ConfigMap", namespace, nameOf.intent(cluster))?.data?.[INTENT_KEY];
    if (text !== undefined) member.intent = this.#parsed(text);
  }

  /** All members read the same text, twice a second. */
  #parsed(text: string): Intent {
    if (this.#intent?.text !== text) this.#intent = { text, intent: Intent.parse(JSON.parse(text)) };
    return this.#intent.intent;
  }

  // ---------------------------------------------------------------------------------------------------------- elections

  #elect(): void {
    const { scheduler } = this.#parts;
    if (scheduler.nowMs - this.#leaderLostMs < LEASE_MS || this.#leaseUid === "") return;
    const candidates = [...this.#members.values()].filter((member) => this.#mayContend(member));
    const ranked = candidates.toSorted(
      (a, b) => b.copy.writes.length - a.copy.writes.length || (a.name < b.name ? -1 : 1),
    );
    for (const candidate of ranked) {
      const sealed = candidates.filter((other) => this.#isLinked(candidate, other));
      if (!this.#suffices(sealed, candidate)) continue;
      // Of those that sealed, the one with the most leads: only then nothing that was acknowledged is missing.
      if (sealed.some((other) => other.copy.writes.length > candidate.copy.writes.length)) continue;
      return this.#promote(candidate);
    }
  }

  #mayContend(member: Member): boolean {
    const { intent, copy, name } = member;
    if (intent === undefined || intent.paused || this.#isBusy(member) || !this.#reachesApi(member)) return false;
    if (!intent.members.some((one) => one.name === name)) return false;
    return copy.isComplete || (this.#base === undefined && intent.bootstrapMember === name);
  }

  /** R + W > N, or the last leader's own copy. */
  #suffices(sealed: readonly Member[], candidate: Member): boolean {
    const base = this.#base;
    if (base === undefined) return candidate.intent?.bootstrapMember === candidate.name;
    const withData = sealed.filter(({ copy }) => copy.isComplete);
    if (withData.some(({ name }) => name === base.leader)) return true;
    return withData.filter(({ name }) => base.names.includes(name)).length >= base.names.length - base.ack + 1;
  }

  #promote(member: Member): void {
    const { scheduler, api, namespace, cluster, violate } = this.#parts;
    if (this.#leader() !== undefined) violate("S1", `${member.name} leads beside ${this.leader ?? ""}`);
    if (this.#base !== undefined && !member.copy.isComplete) violate("S3", `${member.name} begins a second history`);
    member.copy.isComplete = true;
    this.#epoch += 1;
    this.leadsSinceMs = scheduler.nowMs;
    this.#base = { leader: member.name, names: [], ack: 0 };
    scheduler.note(member.name, `leads epoch ${this.#epoch}`);
    const ref = { apiVersion: "coordination.k8s.io/v1", kind: "Lease", namespace, name: nameOf.lease(cluster) };
    if (api.read("Lease", namespace, ref.name) !== undefined) {
      const annotations = { [ANNOTATION_LEADER]: member.name };
      api.mergePatch(
        ref,
        { metadata: { annotations }, spec: { leaseTransitions: this.#epoch } },
        { by: `agent ${member.name}` },
      );
    }
    this.#say(member, {
      role: "leader",
      state: "Running",
      epoch: this.#epoch,
      lagBucket: "0",
      syncNames: [],
      ackCount: 0,
      intentGeneration: member.intent?.generation ?? 0,
    });
    member.port.setReady(true);
  }

  // --------------------------------------------------------------------------------------------------------- leadership

  #lead(leader: Member): void {
    const { scheduler } = this.#parts;
    const nowMs = scheduler.nowMs;
    const others = [...this.#members.values()].filter((other) => other !== leader && this.#isLinked(leader, other));
    const enough = (this.#base?.names.length ?? 0) - (this.#base?.ack ?? 0) + 1;
    const isAlone =
      !this.#reachesApi(leader) && others.filter(({ name }) => this.#base?.names.includes(name)).length < enough;
    if (!isAlone) leader.aloneSinceMs = undefined;
    else leader.aloneSinceMs ??= nowMs;
    if (leader.aloneSinceMs !== undefined && nowMs - leader.aloneSinceMs >= FENCE_MS)
      return this.#stepDown(leader, "Fenced");
    const { intent } = leader;
    if (intent === undefined) return;
    this.#keepSyncSet(leader, intent, others);
    if (nowMs - this.#wroteMs >= WRITE_EVERY_MS) this.#write(leader, others);
    if (this.#reachesApi(leader)) this.#answer(leader, intent);
  }

  #stepDown(leader: Member, state: MemberReport["state"]): void {
    this.#leaderLostMs = this.#parts.scheduler.nowMs;
    this.#say(leader, { role: "none", state, syncNames: [] });
    leader.port.setReady(false);
    leader.busyUntilMs = this.#parts.scheduler.nowMs + 1_000;
  }

  /** A leader may rely on a smaller set only once one of those it relied on knows of it. */
  #keepSyncSet(leader: Member, intent: Intent, others: readonly Member[]): void {
    const listed = intent.members
      .map(({ name }) => name)
      .filter((name) => name !== leader.name && !intent.learners.includes(name));
    const streaming = others.filter((one) => one.report.role === "follower" && one.report.state === "Running");
    const names = listed.filter((name) => streaming.some((one) => one.name === name)).toSorted();
    const ack = Math.min(names.length, Math.floor((listed.length + 1) / 2));
    const canTell =
      leader.report.syncNames.length === 0 ||
      leader.report.syncNames.some((name) => streaming.some((one) => one.name === name));
    if (!canTell) return;
    const intentGeneration = intent.generation;
    const { report } = leader;
    if (report.syncNames.join() === names.join() && report.intentGeneration === intentGeneration) return;
    const { api, namespace, violate } = this.#parts;
    const isRemoved = (name: string) => api.read("StatefulSet", namespace, name) === undefined;
    // With its ClusterSpec everything of a cluster goes, in whatever order.
    const isWhole = api.read("StatefulSet", namespace, leader.name) !== undefined;
    const removed = isWhole ? names.find(isRemoved) : undefined;
    if (removed !== undefined) violate("S4", `commits begin to wait for ${removed}, which was removed`);
    this.#base = { leader: leader.name, names, ack };
    this.#say(leader, { syncNames: names, ackCount: ack, intentGeneration });
  }

  #write(leader: Member, others: readonly Member[]): void {
    this.#wroteMs = this.#parts.scheduler.nowMs;
    const write = this.#nextWrite++;
    leader.copy.writes.push(write);
    const { names, ack }: Pick<SyncBase, "names" | "ack"> = this.#base ?? { names: [], ack: 0 };
    const holders = others.filter((one) => one.report.role === "follower" && one.report.state === "Running");
    for (const { copy } of holders) copy.writes.splice(0, copy.writes.length, ...leader.copy.writes);
    const confirmed = holders.filter(({ name }) => names.includes(name)).length;
    if (leader.intent?.durability.mode !== "Quorum" || confirmed >= ack) this.acked.push(write);
  }

  #answer(leader: Member, { switchover, restart, rebuild, hook, members }: Intent): void {
    if (hook !== null && leader.report.hook?.id !== hook.id && hook.member === leader.name) {
      const holds = hook.epoch === leader.report.epoch;
      if (holds) this.hooks.push(hook);
      this.#say(leader, { hook: { id: hook.id, result: holds ? "Done" : "Failed", message: "it ran" } });
    }
    if (
      switchover !== null &&
      (switchover.from ?? leader.name) === leader.name &&
      leader.report.switchover?.id !== switchover.id
    ) {
      return this.#handOver(leader, switchover);
    }
    this.#obey(leader, "restart", restart, members.length);
    this.#obey(leader, "rebuild", rebuild, members.length);
  }

  /** A leader with followers refuses; an engine that is restarted is down for a moment. */
  #obey(leader: Member, kind: "restart" | "rebuild", request: Intent["restart"], members: number): void {
    const member = request === null ? undefined : this.#members.get(request.member);
    if (request === null || member === undefined || member.report[kind]?.id === request.id) return;
    if (!this.#reachesApi(member)) return;
    const refuses = member === leader && members > 1;
    this.#say(member, { [kind]: { id: request.id, result: refuses ? "Refused" : "Done", message: "answered" } });
    if (refuses) return;
    if (kind === "rebuild") member.copy.isComplete = false;
    if (member === leader) return this.#stepDown(leader, "Starting");
    this.#say(member, { role: "none", state: "Starting" });
    member.port.setReady(false);
    member.busyUntilMs = this.#parts.scheduler.nowMs + 1_000;
  }

  #handOver(leader: Member, { id, to }: { readonly id: string; readonly to: string | null }): void {
    const target = this.#members.get(to ?? leader.report.syncNames[0] ?? "");
    const isFit =
      target !== undefined &&
      leader.report.syncNames.includes(target.name) &&
      !this.#isBusy(target) &&
      this.#isLinked(leader, target);
    if (!isFit || !this.#reachesApi(target)) {
      this.#say(leader, { switchover: { id, result: "Refused", message: "not now" } });
      return;
    }
    this.#say(leader, {
      switchover: { id, result: "Done", message: `${target.name} leads` },
      role: "follower",
      syncNames: [],
      ackCount: 0,
    });
    this.#promote(target);
  }

  // ---------------------------------------------------------------------------------------------------------- following

  #follow(member: Member): void {
    const leader = this.#leader();
    if (leader === undefined || member === leader || this.#isBusy(member) || !this.#isLinked(member, leader)) return;
    if (member.intent?.members.some(({ name }) => name === member.name) !== true) return;
    const { copy, report } = member;
    if (!copy.isComplete) {
      if (report.state !== "Cloning") {
        member.busyUntilMs = this.#parts.scheduler.nowMs + CLONE_MS;
        return this.#say(member, { role: "none", state: "Cloning" });
      }
      copy.isComplete = true;
    }
    if (report.role === "follower" && report.state === "Running" && report.epoch === this.#epoch) return;
    copy.writes.splice(0, copy.writes.length, ...leader.copy.writes);
    this.#say(member, { role: "follower", state: "Running", epoch: this.#epoch, lagBucket: "0" });
    member.port.setReady(true);
  }

  #terminate(member: Member): void {
    if (member.isTerminating) return;
    member.isTerminating = true;
    const { scheduler } = this.#parts;
    if (this.#leader() === member) {
      const heir = [...this.#members.values()].find(
        (one) =>
          member.report.syncNames.includes(one.name) &&
          !this.#isBusy(one) &&
          this.#isLinked(member, one) &&
          this.#reachesApi(one),
      );
      this.#stepDown(member, "Stopped");
      if (heir !== undefined && this.#reachesApi(member)) this.#promote(heir);
      else this.#leaderLostMs = scheduler.nowMs - LEASE_MS; // the Lease was given back
    }
    scheduler.after(scheduler.between(100, 1_500), () => {
      if (this.#members.get(member.name) === member) member.port.exited();
    });
  }

  /** Its processes are gone. */
  #gone(member: Member): void {
    if (this.#members.get(member.name) !== member) return;
    if (member.report.role === "leader") this.#leaderLostMs = this.#parts.scheduler.nowMs;
    this.#members.delete(member.name);
  }

  /** The agent's report, which it writes on its pod as soon as it can. */
  #say(member: Member, said: Partial<MemberReport>): void {
    member.report = { ...member.report, ...said };
    this.#publish(member);
  }

  #publish(member: Member): void {
    const { scheduler, api, namespace } = this.#parts;
    scheduler.after(scheduler.between(20, 400), () => {
      if (this.#members.get(member.name) !== member) return;
      if (!this.#reachesApi(member)) {
        scheduler.after(TICK_MS, () => this.#publish(member));
        return;
      }
      const name = nameOf.pod(member.name);
      if (api.read("Pod", namespace, name)?.metadata.uid !== member.podUid) return;
      const metadata = {
        labels: { [LABEL_ROLE]: member.report.role },
        annotations: { [ANNOTATION_MEMBER_STATUS]: JSON.stringify(member.report) },
      };
      api.mergePatch({ apiVersion: "v1", kind: "Pod", namespace, name }, { metadata }, { by: `agent ${member.name}` });
    });
  }
}
