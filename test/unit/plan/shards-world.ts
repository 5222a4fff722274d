// A small world for topology Sharded: ClusterSpecs of shards that become Ready by themselves, and leaders that do what they are asked
// about slots, in the steps that an Engine does it in. Each may be cut off anywhere: what was not reported is what was not done.
// What the planner may never do is asked about every step.
import { OperationIntent } from "../../../src/api/cluster-operation.ts";
import type { ClusterIntent } from "../../../src/api/cluster-spec.ts";
import type { ClusterStatus, ShardStatus } from "../../../src/api/cluster-status.ts";
import type { EngineSpec } from "../../../src/api/engine.ts";
import { childKey, type Manifest } from "../../../src/build/manifest.ts";
import { canonicalJson } from "../../../src/build/hash.ts";
import { ANNOTATION_APPLIED_HASH } from "../../../src/build/labels.ts";
import { deepFreeze } from "../../../src/kube/deep-freeze.ts";
import type { ChildView, NamedView, Observation, OperationView } from "../../../src/plan/observation.ts";
import type { Plan, Step } from "../../../src/plan/plan.ts";
import { planCluster } from "../../../src/plan/plan-cluster.ts";
import { formatSlots, parseSlots } from "../../../src/plan/slots.ts";
import { computeStatus } from "../../../src/status/status.ts";
import { engine, intentOf } from "./fixture.ts";
import { NOTHING_NAMED, ordersView } from "./orders-view.ts";
import { SimulatedCertificates } from "./simulated-certificates.ts";
import { isSameNews } from "./news.ts";
import type { Choose } from "./simulator.ts";
import { describe } from "./views.ts";

export const SLOTS = 64;

/** What shards looked like, by what they were told and what had become of it. */
const views = new WeakMap<Manifest, Map<string, ChildView>>();
const othersSeen = new WeakMap<Manifest, ChildView>();

function otherView(manifest: Manifest): ChildView {
  const view = othersSeen.get(manifest) ?? toView(manifest, "other", 1);
  othersSeen.set(manifest, view);
  return view;
}

interface Shard {
  readonly uid: string;
  version: number;
  generation: number;
  manifest: Manifest;
  /** The generation with which it was last told to be something else, its place among the others left out. */
  told: number;
  /** The generation that its members are at. */
  settled: number;
  leads: boolean;
  readonly owned: Set<number>;
  moving: { readonly slots: readonly number[]; readonly to: string } | undefined;
  /** What its members go by; they started with what there was. */
  certificate: ClusterStatus["certificate"];
}

type ShardSpec = Pick<ClusterIntent, "shard" | "stopped" | "paused">;

const toldBy = new WeakMap<Manifest, string>(); // manifests never change

/** What a shard is told to be, its place among the others left out. */
function told(manifest: Manifest): string {
  const known = toldBy.get(manifest);
  if (known !== undefined) return known;
  const { shard: _, ...spec } = manifest["spec"] as ShardSpec;
  const spoken = canonicalJson(spec);
  toldBy.set(manifest, spoken);
  return spoken;
}

/** One cluster `shop/orders` of topology Sharded. */
export class ShardsWorld {
  spec: ClusterIntent;
  status: ClusterStatus = {};
  nowMs = Date.parse("2030-01-01T00:00:00Z");
  readonly shards = new Map<string, Shard>();
  readonly others = new Map<string, Manifest>();
  hasPasswords = false;
  connections: NamedView["connections"] = new Map();
  readonly operations = new Map<string, OperationView>();
  readonly trace: string[] = [];
  readonly certificates = new SimulatedCertificates();
  /** What was issued to the whole. */
  certified = NOTHING_NAMED;
  annotations: Record<string, string> = {};
  engine: EngineSpec = { ...engine, topologies: ["ActivePassive", "Sharded"], slots: SLOTS };
  /** Shards in which nothing happens at present. */
  readonly away = new Set<string>();
  /** Images that do not work, and the shards that each does not work in; the others are content with it. */
  readonly broken = new Map<string, readonly string[]>();
  /** How often the operator looked, since this world began or was forked. */
  looks = 0;
  /** As in simulator.ts: the operator looks only when it would in production. Otherwise it looks at every turn. */
  looksWhenTold = false;
  /** The most shards that were not settled at once since it was set, those that are new left out. */
  mostUnsettled = 0;
  readonly #choose: Choose;
  #lastLook: { readonly seen: Observation | undefined; readonly dueMs: number } | undefined;
  /** Something may have changed since the operator looked last. */
  #isTouched = true;
  /** Nothing could happen by itself when that was asked last, and nothing has changed since. */
  #isStill = false;
  #serial = 0;

  constructor(spec: object = {}, choose: Choose = () => 0) {
    this.spec = intentOf({ topology: "Sharded", ...spec });
    this.#choose = choose;
  }

  change(spec: object): void {
    this.spec = intentOf({ topology: "Sharded", ...spec });
    this.touch();
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

  /** Another world in the same state. What happens in one of them does not happen in the other. */
  fork(): ShardsWorld {
    const other = new ShardsWorld({}, this.#choose.fork?.() ?? this.#choose);
    const { spec, status, nowMs, hasPasswords, certified, annotations, mostUnsettled, looksWhenTold } = this;
    Object.assign(other, { spec, status, nowMs, hasPasswords, certified, annotations, mostUnsettled, looksWhenTold });
    Object.assign(other, { engine: this.engine, certificates: this.certificates.fork() });
    for (const [name, shard] of this.shards) other.shards.set(name, { ...shard, owned: new Set(shard.owned) });
    for (const [key, manifest] of this.others) other.others.set(key, manifest);
    other.connections = this.connections;
    for (const [name, operation] of this.operations) other.operations.set(name, operation);
    for (const [image, shards] of this.broken) other.broken.set(image, shards);
    for (const name of this.away) other.away.add(name);
    other.trace.push(...this.trace);
    other.#serial = this.#serial;
    other.#lastLook = this.#lastLook;
    other.#isTouched = this.#isTouched;
    other.#isStill = this.#isStill;
    return other;
  }

  operate(name: string, operation: object): void {
    const intent = OperationIntent.parse({ clusterName: "orders", ...operation });
    const identity = { uid: `op-${name}`, resourceVersion: "1" };
    this.operations.set(name, { ...identity, name, createdMs: this.nowMs, intent, status: {} });
    this.touch();
  }

  shard(index: number): Shard {
    const found = this.shards.get(`orders-s${index}`);
    if (found === undefined) throw new Error(`there is no shard ${index}`);
    return found;
  }

  /** How many slots each shard owns. */
  sizes(): Record<string, number> {
    return Object.fromEntries([...this.shards].map(([name, { owned }]) => [name, owned.size]));
  }

  plan(): Plan {
    return planCluster(this.observe());
  }

  /**
   * One pass of the operator. @returns whether it wrote anything.
   * @param meanwhile - What happens between looking and acting. Nothing is deleted then that is not to be deleted after another
   *   look, as in production; what was safe by what was seen may not be so any more, and is not judged.
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
    for (const step of plan.steps) {
      if (meanwhile === undefined) this.#assertSafe(step);
      else if (step.kind === "Delete" && !this.#isStillToGo(step)) continue;
      this.trace.push(describe(step));
      this.#take(step);
    }
    const unsettled = [...this.shards.values()].filter(
      (shard) => shard.settled > 0 && shard.settled < shard.generation,
    );
    this.mostUnsettled = Math.max(this.mostUnsettled, unsettled.length);
    if (seen.cluster !== undefined) this.status = computeStatus(seen, seen.cluster, plan, undefined);
    return plan.steps.length > 0;
  }

  /** Lets planner and world take turns until neither has anything to do. @throws when that takes too long. */
  settle(limit = 4000): void {
    let idle = 0;
    for (let turn = 0; turn < limit; turn += 1) {
      idle = [this.pass(), this.move()].includes(true) ? 0 : idle + 1;
      this.nowMs += 1000;
      if (idle > 20) return;
    }
    throw new Error(`L1: not settled: ${this.status.change ?? ""}\n${this.trace.slice(-20).join("\n")}`);
  }

  /** One thing happens in the world, if anything can. */
  move(): boolean {
    if (this.looksWhenTold && this.#isStill) return false;
    const moves = [...this.shards].flatMap(([name, shard]) => (this.away.has(name) ? [] : this.#movesOf(shard)));
    this.#isStill = moves.length === 0;
    if (this.#isStill) return false;
    moves[this.#choose(moves.length)]?.();
    this.touch();
    const owners = [...this.shards.values()].flatMap(({ owned }) => [...owned]);
    if (new Set(owners).size !== owners.length) throw new Error("S1: a slot has two owners");
    return true;
  }

  #isStillToGo({ object }: Extract<Step, { kind: "Delete" }>): boolean {
    return this.plan().steps.some((step) => step.kind === "Delete" && step.object.name === object.name);
  }

  /** @throws {Error} with what the planner must never do. */
  #assertSafe(step: Step): void {
    const harm = this.#harmOf(step);
    if (harm !== undefined) throw new Error(`${harm}: ${describe(step)}\n${this.trace.slice(-15).join("\n")}`);
  }

  #harmOf(step: Step): string | undefined {
    if (step.kind === "Delete") {
      const shard = this.shards.get(step.object.name);
      if (shard?.uid !== step.object.uid) return "S6: deletes what it has not seen";
      return shard.owned.size > 0 ? "S3: deletes a shard that owns slots" : undefined;
    }
    if (!("manifest" in step) || step.manifest.kind !== "ClusterSpec") return undefined;
    const before = this.shards.get(step.manifest.metadata.name);
    if (before === undefined || told(before.manifest) === told(step.manifest)) return undefined;
    // What stops or pauses the whole, and its end, concerns all shards at once.
    const isAtOnce = [before.manifest, step.manifest].some((manifest) => {
      const { stopped, paused } = manifest["spec"] as ShardSpec;
      return stopped || paused;
    });
    if (isAtOnce) return undefined;
    const disturbed = [...this.shards].filter(([name, shard]) => shard !== before && !this.isSettled(name));
    // One that is disturbed itself may be mended by the change, but no two are changed to the same at a time.
    const isMended = !this.isSettled(step.manifest.metadata.name);
    const counted = disturbed.filter(([, { manifest }]) => !isMended || told(manifest) === told(step.manifest));
    return counted.length === 0
      ? undefined
      : `S4: changes a shard while ${counted.map(([name]) => name).join()} is disturbed`;
  }

  /** Whether the shard is as it was told to be, and serves; a new place among the others disturbs no member. */
  isSettled(name: string): boolean {
    const shard = this.shards.get(name);
    return shard?.leads === true && shard.settled >= shard.told;
  }

  /** Whether it is yet to become what it was told to be, and that works there. */
  #canSettle({ manifest, settled, generation }: Shard): boolean {
    if (settled === generation) return false;
    const names = (image: string): boolean => told(manifest).includes(`"${image}"`);
    return ![...this.broken].some(([image, at]) => at.includes(manifest.metadata.name) && names(image));
  }

  #movesOf(shard: Shard): (() => void)[] {
    const { generation, leads } = shard;
    const spec = shard.manifest["spec"] as ShardSpec;
    const moves: (() => void)[] = [];
    const { authority } = this.certified;
    const name = shard.manifest.metadata.name;
    const isOld = authority !== undefined && shard.certificate?.shows !== authority.shows;
    if (isOld && spec.shard?.tls === true && !this.certificates.late.has(name)) {
      moves.push(() => void (shard.certificate = { trusts: authority.trusts, shows: authority.shows }));
    }
    if (this.#canSettle(shard)) moves.push(() => void (shard.settled = generation));
    if (!leads && !spec.stopped) moves.push(() => void (shard.leads = true));
    if (leads && spec.stopped) moves.push(() => void (shard.leads = false));
    const request = spec.shard?.request;
    if (request === undefined || !leads) return moves;
    const slots = formatted(request.slots);
    if (request.action === "Assign") {
      const free = slots.filter((slot) => ![...this.shards.values()].some(({ owned }) => owned.has(slot)));
      if (free.length > 0) moves.push(() => free.forEach((slot) => shard.owned.add(slot)));
      return moves;
    }
    const target = this.shards.get(request.to ?? "");
    const mine = slots.filter((slot) => shard.owned.has(slot));
    if (shard.moving === undefined && mine.length > 0) {
      moves.push(() => void (shard.moving = { slots: mine, to: request.to ?? "" }));
    } else if (shard.moving !== undefined && shard.moving.to === request.to && target?.leads === true) {
      moves.push(() => this.#moveOn(shard, target));
    }
    return moves;
  }

  /** The giver lets go first, then the taker takes, then it is over: a look may fall between any two. */
  #moveOn(giver: Shard, taker: Shard): void {
    const { slots = [] } = giver.moving ?? {};
    const left = slots.filter((slot) => giver.owned.has(slot));
    const missing = slots.filter((slot) => !taker.owned.has(slot));
    if (left.length > 0) left.forEach((slot) => giver.owned.delete(slot));
    else if (missing.length > 0) missing.forEach((slot) => taker.owned.add(slot));
    else giver.moving = undefined;
  }

  observe(): Observation {
    const children = [...this.shards].map(
      ([name, shard]) => [childKey("ClusterSpec", name), this.#view(shard)] as const,
    );
    const others = [...this.others].map(([key, manifest]): [string, ChildView] => [key, otherView(manifest)]);
    return deepFreeze({
      nowMs: this.nowMs,
      settings: { agentImage: "quorate/agent:1" },
      namespace: "shop",
      name: "orders",
      cluster: ordersView(this.spec, this.annotations, this.status),
      engine: this.engine,
      members: [],
      instances: [],
      children: new Map([...others, ...children]),
      named: {
        ...this.certified,
        connections: this.connections,
        ...(this.hasPasswords
          ? { credentialsUid: "s", credentialKeys: ["admin", "app"], credentialsVersion: "1" }
          : {}),
      },
      intent: undefined,
      operations: [...this.operations.values()],
      nodes: new Map(),
      measured: undefined,
      storageClasses: new Map(),
      stateMayHaveGoneBack: false,
    });
  }

  /** The same view for as long as nothing in it differs: what is parsed of it is parsed once. */
  #view(of: Shard): ChildView {
    const { manifest, owned, moving, certificate, uid, version, generation, told: from, settled, leads } = of;
    const known = views.get(manifest) ?? new Map<string, ChildView>();
    views.set(manifest, known);
    const parts = [moving?.to, moving?.slots.join(), certificate?.trusts, certificate?.shows, [...owned].join()];
    const key = `${uid} ${version} ${generation} ${from} ${settled} ${leads} ${parts.join(" ")}`;
    const view = known.get(key) ?? this.#look(of);
    known.set(key, view);
    return view;
  }

  #look({
    uid,
    version,
    manifest,
    generation,
    told: from,
    settled,
    leads,
    owned,
    moving,
    certificate,
  }: Shard): ChildView {
    const { stopped } = manifest["spec"] as ShardSpec;
    const isReady = leads && settled >= from;
    const shard: ShardStatus = {
      slots: text([...owned]),
      moving: text(moving?.slots ?? []),
      movingTo: moving?.to ?? "",
    };
    const condition = (type: string, is: boolean, reason: string) => {
      return { type, status: is ? "True" : "False", reason, message: "", lastTransitionTime: "2030-01-01T00:00:00Z" };
    };
    const status = {
      observedGeneration: settled,
      conditions: [
        condition("Ready", isReady, stopped && !leads ? "Stopped" : "Any"),
        condition("Available", leads, "Any"),
      ],
      leader: leads ? "one" : "",
      ...(leads ? { shard } : {}),
      ...(certificate === undefined ? {} : { certificate }),
    };
    const view = toView(manifest, uid, version);
    const metadata = { ...manifest.metadata, generation };
    return { ...view, live: { ...manifest, metadata, status } };
  }

  #take(step: Step): void {
    this.touch();
    if (step.kind === "ReportOperation") this.#answer(step);
    else if (step.kind === "IssueCertificates")
      this.certified = this.certificates.issue(this.certified, step, this.nowMs);
    else if (step.kind === "GenerateCredentials") this.hasPasswords = true;
    else if (step.kind === "WriteConnection")
      this.connections = this.certificates.connect(this.connections, step, this.nowMs);
    else if (step.kind === "Delete") this.shards.delete(step.object.name);
    else if ("manifest" in step && step.manifest.kind === "ClusterSpec") this.#apply(step.manifest);
    else if ("manifest" in step)
      this.others.set(childKey(step.manifest.kind, step.manifest.metadata.name), step.manifest);
  }

  #answer({ name, status }: Extract<Step, { kind: "ReportOperation" }>): void {
    const operation = this.operations.get(name);
    if (operation !== undefined)
      this.operations.set(name, { ...operation, status: { ...operation.status, ...status } });
  }

  #apply(manifest: Manifest): void {
    this.#serial += 1;
    const old = this.shards.get(manifest.metadata.name);
    if (old !== undefined) {
      const isSpecSame = JSON.stringify(old.manifest["spec"]) === JSON.stringify(manifest["spec"]);
      const generation = old.generation + (isSpecSame ? 0 : 1);
      const changed = told(old.manifest) === told(manifest) ? old.told : generation;
      Object.assign(old, { manifest, version: old.version + 1, generation, told: changed });
      return;
    }
    const uid = `uid-${this.#serial}`;
    const fresh = {
      version: 1,
      generation: 1,
      told: 1,
      settled: 0,
      leads: false,
      moving: undefined,
      certificate: undefined,
    };
    this.shards.set(manifest.metadata.name, { uid, manifest, owned: new Set(), ...fresh });
  }
}

function toView(manifest: Manifest, uid: string, version: number): ChildView {
  const appliedHash = manifest.metadata.annotations?.[ANNOTATION_APPLIED_HASH];
  return { uid, resourceVersion: String(version), appliedHash, deleting: false, live: manifest };
}

function formatted(slots: string): number[] {
  return parseSlots(slots).flatMap(({ first, last }) =>
    Array.from({ length: last - first + 1 }, (_, at) => first + at),
  );
}

function text(slots: readonly number[]): string {
  return formatSlots(slots.toSorted((a, b) => a - b).map((slot) => ({ first: slot, last: slot })));
}
