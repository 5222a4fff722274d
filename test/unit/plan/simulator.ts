// A small world for the planner: an API server's objects, and the StatefulSet controller, kubelets and agents as one would
// imagine them, in any order that `choose` likes. Safety is checked on every step that the planner takes.
import type { HookName, HookRequest, TaskRequest, Intent, MemberReport } from "../../../src/api/agent-wire.ts";
import { OperationIntent, type OperationStatus } from "../../../src/api/cluster-operation.ts";
import type { ClusterIntent } from "../../../src/api/cluster-spec.ts";
import type { ClusterStatus } from "../../../src/api/cluster-status.ts";
import { ANNOTATION_TEMPLATE_HASH } from "../../../src/api/names.ts";
import { childKey, type Manifest } from "../../../src/build/manifest.ts";
import { deepFreeze } from "../../../src/kube/deep-freeze.ts";
import type { Measured, MemberView, NodeView, Observation, OperationView } from "../../../src/plan/observation.ts";
import type { Plan, Step } from "../../../src/plan/plan.ts";
import { planCluster } from "../../../src/plan/plan-cluster.ts";
import { timestamp } from "../../../src/plan/timestamp.ts";
import { computeStatus } from "../../../src/status/status.ts";
import { engine, intentOf } from "./fixture.ts";
import { SimulatedAgents } from "./simulated-agents.ts";
import { SimulatedCertificates } from "./simulated-certificates.ts";
import type { SimulatedGroup } from "./simulated-group.ts";
import { elections, syncMoves } from "./simulated-standbys.ts";
import { answersOf } from "./simulated-answers.ts";
import { isSameNews } from "./news.ts";
import { NOTHING_NAMED, ordersView } from "./orders-view.ts";
import { assertSafe, assertTruthful, isRefused } from "./safety.ts";
import {
  type Child,
  describe,
  intentViewOf,
  NO_REPORT,
  type Pod,
  replicasOf,
  toChild,
  toPodView,
  toSetView,
  requestedBytes,
  toVolumeView,
  type Volume,
} from "./views.ts";

const LISTS = ["hooks", "tasks", "restarts", "handovers", "trace"] as const;

/** Picks one of `count` possibilities; the source of all disorder. */
export interface Choose {
  (count: number): number;
  /** Another one that goes on from here as this one does; absent where there is nothing to go on with. */
  readonly fork?: () => Choose;
}

const NODES = ["node-a", "node-b", "node-c", "node-d", "node-e"];
const NEW_VOLUME = { resize: { state: "None", message: "" }, homes: [] } as const;

/** @param isDeep - What changes in place must be another object there. */
function copy<V>(from: ReadonlyMap<string, V>, to: Map<string, V>, isDeep = false): void {
  for (const [name, value] of from) to.set(name, isDeep ? { ...value } : value);
}

/** One cluster `shop/orders` and everything around it. */
export class Simulator {
  spec: ClusterIntent;
  annotations: Record<string, string> = {};
  status: ClusterStatus = {};
  agentImage = "quorate/agent:1";
  agents = new SimulatedAgents();
  engine = engine;
  /** Of an engine that keeps its own list of members; without it members do not. */
  group: SimulatedGroup | undefined;
  nowMs = Date.parse("2030-01-01T00:00:00Z");
  exists = true;
  readonly children = new Map<string, Child>();
  readonly volumes = new Map<string, Volume>();
  readonly pods = new Map<string, Pod>();
  readonly operations = new Map<string, { createdMs: number; intent: OperationIntent; status: OperationStatus }>();
  readonly nodes = new Map<string, NodeView>(NODES.map((name) => [name, { ready: true, unschedulable: false }]));
  /** Images and values of parameters whose pods never become ready. */
  readonly broken = new Set<string>();
  /** What kubelets say of those. */
  trouble = "ImagePullBackOff";
  /** What was measured of the cluster. */
  measured: Measured | undefined;
  /** Whether volumes can grow. */
  expandable = true;
  /** Whether leaders refuse to hand over. */
  refusesSwitchover = false;
  /** Whether agents leave requests unanswered. */
  mute = false;
  /** How often a leader refused to hand over. */
  refusals = 0;
  /** What the Engine's hooks answer, where it is not Done. */
  readonly hookAnswers = new Map<HookName, "Refused" | "Failed">();
  /** Hooks that came to their end, in order, with the revision that they were about. */
  readonly hooks: HookRequest[] = [];
  /** Tasks that members carried out, and the members on which they fail. */
  readonly tasks: TaskRequest[] = [];
  readonly damaged = new Set<string>();
  /** Requests to hand over, and when the planner made each. */
  readonly handovers: { readonly id: string; readonly atMs: number }[] = [];
  /** Members whose engines were restarted on request, in order. */
  readonly restarts: string[] = [];
  /** Everything the planner did, a line each. */
  readonly trace: string[] = [];
  /**
   * The operator looks only when it would in production: what it watches has changed, or the time has come that the plan named.
   * Nothing may depend on a resync, so there is none. Otherwise it looks at every turn.
   */
  looksWhenTold = false;
  /** How often it looked, since this world began or was forked. */
  looks = 0;
  certificates = new SimulatedCertificates();
  readonly #choose: Choose;
  #lastLook: { readonly seen: Observation | undefined; readonly dueMs: number } | undefined;
  /** Something may have changed since the operator looked last. */
  #isTouched = true;
  /** Nothing could happen by itself when that was asked last, and nothing has changed since. */
  #isStill = false;
  #named: Observation["named"] = NOTHING_NAMED;
  #serial = 0;
  #epoch = 0;

  constructor(spec: object, choose: Choose = () => 0) {
    this.spec = intentOf(spec);
    this.#choose = choose;
  }

  change(spec: object): void {
    this.spec = intentOf(spec);
    this.touch();
  }

  operate(name: string, operation: object): void {
    const intent = OperationIntent.parse({ clusterName: "orders", ...operation });
    this.operations.set(name, { createdMs: this.nowMs, intent, status: {} });
    this.touch();
  }

  get leader(): string | undefined {
    return [...this.pods].find(([, pod]) => pod.report?.role === "leader" && !pod.lost)?.[0];
  }

  /** Who led last, as the Lease says. */
  get lastLeader(): string | undefined {
    return this.#named.lastLeader;
  }

  get intent(): Intent | undefined {
    return intentViewOf(this.children)?.intent;
  }

  /** Another world in the same state. What happens in one of them does not happen in the other. */
  fork(): Simulator {
    const other = new Simulator({}, this.#choose.fork?.() ?? this.#choose);
    const { spec, annotations, status, agentImage, nowMs, exists, trouble, measured } = this;
    const { expandable, refusesSwitchover, mute, refusals, looksWhenTold, agents, certificates, group } = this;
    Object.assign(other, { spec, annotations, status, agentImage, nowMs, exists, trouble, measured });
    Object.assign(other, { expandable, refusesSwitchover, mute, refusals, looksWhenTold, engine: this.engine });
    Object.assign(other, { agents: agents.fork(), certificates: certificates.fork(), group: group?.fork() });
    for (const name of ["children", "nodes", "hookAnswers"] as const) copy<unknown>(this[name], other[name]);
    for (const name of ["volumes", "pods", "operations"] as const) copy<object>(this[name], other[name], true);
    for (const set of ["broken", "damaged"] as const) this[set].forEach((one) => other[set].add(one));
    for (const list of LISTS) Object.assign(other[list], this[list]);
    [other.#named, other.#serial, other.#epoch] = [this.#named, this.#serial, this.#epoch];
    [other.#lastLook, other.#isTouched, other.#isStill] = [this.#lastLook, this.#isTouched, this.#isStill];
    return other;
  }

  /** Lets planner and world take turns until neither has anything to do. @throws when that takes too long. */
  settle(limit = 600): void {
    let idle = 0;
    for (let turn = 0; turn < limit; turn += 1) {
      const planned = this.pass();
      const moved = this.move();
      idle = planned || moved ? 0 : idle + 1;
      this.nowMs += idle === 0 ? 1_000 : 60_000; // what waits for time shall get it
      if (idle > 3) return;
    }
    throw new Error(`L1: not settled: ${this.status.change ?? ""}\n${this.trace.slice(-20).join("\n")}`);
  }

  /**
   * One pass of the operator. @returns whether it wrote anything.
   * @param meanwhile - What happens between looking and acting; a write that it makes outdated ends the pass. What was safe
   *   by what was seen may not be so any more: steps are not judged then.
   */
  pass(meanwhile?: () => void): boolean {
    const isDue = !this.looksWhenTold || this.nowMs >= (this.#lastLook?.dueMs ?? 0);
    const seen = isDue || this.#isTouched ? this.observe() : undefined;
    this.#isTouched = false;
    if (seen === undefined || (!isDue && isSameNews(this.#lastLook?.seen, seen))) {
      meanwhile?.();
      return false;
    }
    this.looks += 1;
    const plan = planCluster(seen);
    // What it writes is news to it, also when somebody undoes it at once.
    const last = plan.steps.length === 0 ? seen : undefined;
    this.#lastLook = { seen: last, dueMs: this.nowMs + (plan.requeueAfterMs ?? Infinity) };
    meanwhile?.();
    const asked = this.intent?.switchover?.id;
    for (const step of plan.steps) {
      if (meanwhile === undefined) assertSafe(this, step);
      else if (isRefused(this, step)) return true;
      this.#obey(step);
    }
    const { id } = this.intent?.switchover ?? {};
    if (id !== undefined && id !== asked) this.handovers.push({ id, atMs: this.nowMs });
    if (seen.cluster !== undefined) {
      this.status = computeStatus(seen, seen.cluster, plan, undefined);
      assertTruthful(seen, this.status, seen.cluster.intent.members);
    }
    return plan.steps.length > 0;
  }

  plan(): Plan {
    return planCluster(this.observe());
  }

  /** Says that something was changed from outside: there may be news for the operator, and something to do for others. */
  touch(): void {
    this.#isTouched = true;
    this.#isStill = false;
  }

  /** The operator looks at its next turn, whether there is news or not. */
  resync(): void {
    this.#lastLook = undefined;
  }

  observe(): Observation {
    const names = new Set([...this.#sets(), ...this.pods.keys(), ...this.volumes.keys()]);
    return deepFreeze({
      nowMs: this.nowMs,
      settings: { agentImage: this.agentImage, ...this.agents.offer },
      namespace: "shop",
      name: "orders",
      cluster: this.exists ? ordersView(this.spec, this.annotations, this.status) : undefined,
      engine: this.engine,
      members: [...names].map((name) => this.#member(name)),
      instances: [],
      children: new Map([...this.children].map(([key, child]) => [key, toChild(child)])),
      named: this.#named,
      intent: intentViewOf(this.children),
      operations: [...this.operations].map(
        ([name, o]): OperationView => ({ ...o, name, uid: `op-${name}`, resourceVersion: "1" }),
      ),
      nodes: new Map(this.nodes),
      measured: this.measured,
      storageClasses: new Map([["standard", { allowsExpansion: this.expandable }]]),
      stateMayHaveGoneBack: false,
    });
  }

  /** One thing happens in the world, if anything can. */
  move(): boolean {
    if (this.looksWhenTold && this.#isStill) return false;
    const moves = [...this.#controllerMoves(), ...this.#agentMoves()];
    this.#isStill = moves.length === 0;
    if (this.#isStill) return false;
    moves[this.#choose(moves.length)]?.();
    this.touch();
    return true;
  }

  /** The member's process dies; the pod comes back by itself. */
  kill(member: string): void {
    const pod = this.pods.get(member);
    if (pod !== undefined) Object.assign(pod, { ready: false, readySinceMs: this.nowMs, report: undefined });
    this.touch();
  }

  #sets(): string[] {
    return [...this.children].flatMap(([key]) => (key.startsWith("StatefulSet/") ? [key.slice(12)] : []));
  }

  #replicas(member: string): number {
    return replicasOf(this.children.get(childKey("StatefulSet", member)));
  }

  #controllerMoves(): (() => void)[] {
    const sets = new Set(this.#sets());
    const moves: (() => void)[] = [];
    for (const [name, pod] of this.pods) {
      if (pod.lost) continue;
      if (!sets.has(name) || this.#replicas(name) === 0) moves.push(() => this.pods.delete(name));
      else if (this.#canStart(name, pod)) moves.push(() => this.#start(name, pod));
    }
    for (const volume of this.volumes.values()) {
      const bytes = requestedBytes(volume.manifest);
      if (volume.capacityBytes < bytes && volume.resize.state === "None")
        moves.push(() => (volume.capacityBytes = bytes));
    }
    for (const name of sets) {
      if (!this.pods.has(name) && this.volumes.has(name) && this.#replicas(name) === 1)
        moves.push(() => this.#createPod(name));
    }
    return moves;
  }

  /** Whether starting would get the member any further: it has not spoken yet, or it has data, or somebody to clone from. */
  #canStart(name: string, pod: Pod): boolean {
    const volume = this.volumes.get(name);
    // No node has what is only on one that is gone.
    if (volume === undefined || volume.homes.length > 0 || pod.ready || !pod.works) return false;
    if (this.intent?.members.some((m) => m.name === name) !== true) return false;
    if (pod.report === undefined) return true;
    return this.group?.mayStart(this, name) ?? (volume.hasData || this.leader !== undefined);
  }

  #createPod(name: string): void {
    const set = this.children.get(childKey("StatefulSet", name))?.manifest;
    const template = JSON.stringify(set?.["spec"]);
    const taken = new Set([...this.pods.values()].map((pod) => pod.node));
    const free = NODES.filter((node) => this.nodes.get(node)?.unschedulable === false);
    this.pods.set(name, {
      uid: this.#uid(),
      templateHash: set?.metadata.annotations?.[ANNOTATION_TEMPLATE_HASH] ?? "",
      works: ![...this.broken].some((text) => template.includes(`"${text}"`)),
      createdMs: this.nowMs,
      lost: false,
      deletingSinceMs: undefined,
      node: free.find((node) => !taken.has(node)) ?? free[0] ?? "",
      ready: false,
      readySinceMs: undefined,
      report: undefined,
    });
  }

  /** The agent finds its data, or clones it, and follows whoever leads. */
  #start(name: string, pod: Pod): void {
    const volume = this.volumes.get(name);
    if (volume === undefined) return;
    const { agent } = pod.report ?? {};
    const said = { ...NO_REPORT, ...pod.report, ...(agent === undefined ? this.agents.ofImage : {}) };
    if (this.group?.mayStart(this, name) === false) {
      pod.report = { ...said, ...this.group.waiting(this, name) };
      return;
    }
    if (!volume.hasData && this.leader !== undefined) volume.hasData = true;
    this.setReady(pod, volume.hasData);
    const state = volume.hasData ? "Running" : "Starting";
    const role = volume.hasData ? "follower" : "none";
    this.group?.joined(name);
    pod.report = { ...said, role, state, epoch: this.group?.term ?? this.#epoch };
  }

  /** The kubelet says so from now on. */
  setReady(pod: Pod, ready: boolean): void {
    if (pod.ready !== ready) pod.readySinceMs = this.nowMs;
    pod.ready = ready;
  }

  #agentMoves(): (() => void)[] {
    const { intent, leader } = this;
    if (intent === undefined) return [];
    if (leader === undefined) return this.group?.elections(this, intent) ?? elections(this, intent);
    const moves = this.group?.changes(this, intent, leader) ?? syncMoves(this, intent, leader);
    for (const { member, certificate } of this.certificates.takers(this.#named, this.pods)) {
      moves.push(() => this.report(member, { certificate }));
    }
    for (const { member, change } of this.agents.takers(intent, this.pods))
      moves.push(() => this.report(member, change));
    return this.mute ? moves : [...moves, ...answersOf(this, intent, leader)];
  }

  /** The member leads from now on. */
  promote(name: string): void {
    const volume = this.volumes.get(name);
    const pod = this.pods.get(name);
    if (volume === undefined || pod === undefined) return;
    if (!volume.hasData && [...this.volumes.values()].some((v) => v.hasData))
      throw new Error(`S3: second history on ${name}`);
    volume.hasData = true;
    this.setReady(pod, true);
    this.#epoch += 1;
    // Only where agents elect, the Lease says who led last.
    if (this.group === undefined) this.#named = { ...this.#named, lastLeader: name };
    const office = { leaderSince: timestamp(this.nowMs), epoch: this.#epoch };
    pod.report = { ...NO_REPORT, ...pod.report, role: "leader", state: "Running", ...office };
    pod.report = { ...pod.report, ...this.group?.begun(this, name) };
  }

  /** The member says something else of itself from now on. */
  report(member: string, change: Partial<MemberReport>): void {
    const pod = this.pods.get(member);
    if (pod?.report !== undefined) pod.report = { ...pod.report, ...change };
  }

  #member(name: string): MemberView {
    const set = this.children.get(childKey("StatefulSet", name));
    const pod = this.pods.get(name);
    const volume = this.volumes.get(name);
    return {
      name,
      ordinal: Number(name.split("-").at(-1)),
      statefulSet: set === undefined ? undefined : toSetView(set),
      pod: pod === undefined ? undefined : toPodView(name, pod, this.trouble),
      volume: volume === undefined ? undefined : toVolumeView(name, volume),
      isOfEarlierCluster: false,
    };
  }

  #uid(): string {
    this.#serial += 1;
    return `uid-${this.#serial}`;
  }

  #obey(step: Step): void {
    this.touch();
    this.trace.push(describe(step));
    switch (step.kind) {
      case "Apply":
      case "OfferAgent":
        return this.#apply(step.manifest);
      case "Create":
        return this.#create(step.manifest);
      case "Delete":
        return this.#delete(step.object);
      case "IssueCertificates":
        this.#named = this.certificates.issue(this.#named, step, this.nowMs);
        return;
      case "GenerateCredentials":
        this.#named = {
          ...this.#named,
          credentialsUid: this.#uid(),
          credentialKeys: step.keys,
          credentialsVersion: String(this.nowMs),
        };
        return;
      case "WriteConnection": {
        const connections = this.certificates.connect(this.#named.connections, step, this.nowMs);
        this.#named = { ...this.#named, connections };
        return;
      }
      case "ReportOperation": {
        const operation = this.operations.get(step.name);
        if (operation !== undefined) operation.status = { ...operation.status, ...step.status };
      }
    }
  }

  #apply(manifest: Manifest): void {
    const { name } = manifest.metadata;
    const key = childKey(manifest.kind, name);
    const old = this.children.get(key);
    this.children.set(key, { uid: old?.uid ?? this.#uid(), version: (old?.version ?? 0) + 1, manifest });
    const volume = this.volumes.get(name.replace(/-data$/, ""));
    if (manifest.kind === "PersistentVolumeClaim" && volume !== undefined) volume.manifest = manifest;
  }

  #create(manifest: Manifest): void {
    const { name } = manifest.metadata;
    if (manifest.kind === "Lease") this.#named = { ...this.#named, hasLease: true };
    else this.#apply(manifest);
    if (manifest.kind !== "PersistentVolumeClaim") return;
    const uid = this.children.get(childKey(manifest.kind, name))?.uid ?? "";
    const volume: Volume = {
      uid,
      manifest,
      phase: "Bound",
      hasData: false,
      createdMs: this.nowMs,
      ...NEW_VOLUME,
      capacityBytes: requestedBytes(manifest),
    };
    this.volumes.set(name.replace(/-data$/, ""), volume);
  }

  #delete({ kind, name, uid }: { kind: string; name: string; uid: string }): void {
    const child = this.children.get(childKey(kind, name));
    if (kind === "Pod") {
      const member = name.replace(/-0$/, "");
      const pod = this.pods.get(member);
      if (pod?.uid !== uid) throw new Error(`S6: wrong uid for pod ${name}`);
      if (pod.lost) pod.deletingSinceMs ??= this.nowMs;
      else this.pods.delete(member);
      return;
    }
    if (kind === "Secret") {
      this.#named = { ...this.#named, credentialsUid: undefined, credentialKeys: [] };
      return;
    }
    if (child?.uid !== uid) throw new Error(`S6: wrong uid for ${kind} ${name}`);
    this.children.delete(childKey(kind, name));
    if (kind === "PersistentVolumeClaim") this.volumes.delete(name.replace(/-data$/, ""));
  }
}
