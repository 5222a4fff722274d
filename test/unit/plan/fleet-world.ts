// A small world for topology Stateless: an API server's objects, and the Deployment controller and kubelets as Kubernetes documents
// them. What the planner promises is checked on every move: never fewer members ready than there shall be at the least.
import { OperationIntent, type OperationStatus } from "../../../src/api/cluster-operation.ts";
import type { ClusterIntent } from "../../../src/api/cluster-spec.ts";
import type { ClusterStatus } from "../../../src/api/cluster-status.ts";
import { EngineSpec } from "../../../src/api/engine.ts";
import { ANNOTATION_TEMPLATE_HASH } from "../../../src/api/names.ts";
import type { Track } from "../../../src/build/deployment.ts";
import { childKey, type Manifest } from "../../../src/build/manifest.ts";
import { ANNOTATION_APPLIED_HASH } from "../../../src/build/labels.ts";
import { deepFreeze } from "../../../src/kube/deep-freeze.ts";
import type { ChildView, InstanceView, Measured, Observation, OperationView } from "../../../src/plan/observation.ts";
import type { Plan, Step } from "../../../src/plan/plan.ts";
import { planCluster } from "../../../src/plan/plan-cluster.ts";
import { computeStatus } from "../../../src/status/status.ts";
import { intentOf } from "./fixture.ts";
import { NOTHING_NAMED, ordersView } from "./orders-view.ts";
import type { Choose } from "./simulator.ts";
import { describe } from "./views.ts";

/** An HTTP server with two versions, neither of which knows anything of agents. */
export const httpEngine: EngineSpec = EngineSpec.parse({
  topologies: ["Stateless"],
  versions: [
    { version: "1", image: "example/http:1" },
    { version: "2", image: "example/http:2" },
    { version: "3", image: "example/http:3" },
  ],
  runAs: { user: 999, group: 999 },
  port: 8080,
  start: ["serve", "--port", "$(QUORATE_PORT)"],
  probes: { ready: { path: "/ready" }, live: { path: "/live" } },
  stop: { graceSeconds: 20 },
});

interface Pod {
  readonly name: string;
  readonly track: Track;
  readonly templateHash: string;
  /** The whole template as text: a restart changes it and not the hash. */
  readonly template: string;
  readonly createdMs: number;
  readySinceMs: number | undefined;
}

interface Child {
  readonly uid: string;
  version: number;
  generation: number;
  manifest: Manifest;
}

type Move = () => unknown;

interface DeploymentSpec {
  readonly replicas: number;
  readonly paused?: boolean;
  readonly minReadySeconds?: number;
  readonly strategy: { readonly rollingUpdate: { readonly maxSurge: string } };
  readonly template: {
    readonly metadata: { readonly annotations: Readonly<Record<string, string>> };
    readonly spec: { readonly containers: readonly { readonly image: string }[] };
  };
}

const TRACK_NAMES: Readonly<Record<string, Track>> = { orders: "stable", "orders-canary": "canary" };

/** One cluster `shop/orders` of topology Stateless and everything around it. */
export class FleetWorld {
  spec: ClusterIntent;
  annotations: Record<string, string> = {};
  status: ClusterStatus = {};
  agentImage = "quorate/agent:1";
  nowMs = Date.parse("2030-01-01T00:00:00Z");
  measured: Measured | undefined;
  pods: Pod[] = [];
  /** Images whose pods crash again and again. */
  readonly crashing = new Set<string>();
  /** Images whose pods never become ready. */
  readonly silent = new Set<string>();
  readonly children = new Map<string, Child>();
  readonly operations = new Map<string, { createdMs: number; intent: OperationIntent; status: OperationStatus }>();
  /** Everything the planner did, a line each. */
  readonly trace: string[] = [];
  /** The least number of ready members of the stable track since it was set. */
  leastReady = Number.POSITIVE_INFINITY;
  readonly #choose: Choose;
  #serial = 0;

  constructor(spec: object = {}, choose: Choose = () => 0) {
    this.spec = intentOf({ topology: "Stateless", ...spec });
    this.#choose = choose;
  }

  change(spec: object): void {
    this.spec = intentOf({ topology: "Stateless", ...spec });
  }

  operate(name: string, operation: object): void {
    const intent = OperationIntent.parse({ clusterName: "orders", ...operation });
    this.operations.set(name, { createdMs: this.nowMs, intent, status: {} });
  }

  /** What a Deployment asks for; undefined when there is none. */
  deployment(name: string): DeploymentSpec | undefined {
    return this.children.get(childKey("Deployment", name))?.manifest["spec"] as DeploymentSpec | undefined;
  }

  /** Images of the ready pods of a track, each once. */
  images(track: Track): string[] {
    const ready = this.pods.filter((pod) => pod.track === track && pod.readySinceMs !== undefined);
    return [...new Set(ready.map(({ template }) => /example\/http:\d/.exec(template)?.[0] ?? ""))].toSorted();
  }

  /** What an autoscaler does: another number of stable members, without asking anybody. */
  autoscale(replicas: number): void {
    const child = this.children.get(childKey("Deployment", "orders"));
    if (child === undefined) throw new Error("there is no Deployment");
    const spec = child.manifest["spec"] as DeploymentSpec;
    child.manifest = { ...child.manifest, spec: { ...spec, replicas } };
    child.version += 1;
    child.generation += 1;
  }

  /** Lets planner and world take turns until neither has anything to do. @throws when that takes too long. */
  settle(limit = 2000): void {
    let idle = 0;
    for (let turn = 0; turn < limit; turn += 1) {
      const planned = this.pass();
      const moved = this.move();
      idle = planned || moved ? 0 : idle + 1;
      this.nowMs += idle === 0 ? 1_000 : 60_000 * idle; // what waits for time shall get it
      if (idle > 6) return;
    }
    throw new Error(`not settled: ${this.status.change ?? ""}\n${this.trace.slice(-20).join("\n")}`);
  }

  /** Lets some seconds pass, with a pass of the planner and a move of the world in each. */
  live(seconds: number): void {
    for (let second = 0; second < seconds; second += 1) {
      this.pass();
      this.move();
      this.nowMs += 1_000;
    }
  }

  /** One pass of the operator. @returns whether it wrote anything. */
  pass(): boolean {
    const seen = this.observe();
    const plan = planCluster(seen);
    for (const step of plan.steps) {
      this.trace.push(describe(step));
      if (!this.#take(step)) return true; // a conflict ends the pass
    }
    if (seen.cluster !== undefined) this.status = computeStatus(seen, seen.cluster, plan, undefined);
    return plan.steps.length > 0;
  }

  plan(): Plan {
    return planCluster(this.observe());
  }

  observe(): Observation {
    return deepFreeze({
      nowMs: this.nowMs,
      settings: { agentImage: this.agentImage },
      namespace: "shop",
      name: "orders",
      cluster: ordersView(this.spec, this.annotations, this.status),
      engine: httpEngine,
      members: [],
      instances: this.pods.map((pod) => this.#view(pod)),
      children: new Map([...this.children].map(([key, child]) => [key, this.#child(child)])),
      named: NOTHING_NAMED,
      intent: undefined,
      operations: [...this.operations].map(
        ([name, o]): OperationView => ({ ...o, name, uid: `op-${name}`, resourceVersion: "1" }),
      ),
      nodes: new Map(),
      measured: this.measured,
      storageClasses: new Map(),
      stateMayHaveGoneBack: false,
    });
  }

  /** One thing happens in the world, if anything can. */
  move(): boolean {
    const moves = [...this.children.keys()].flatMap((key): readonly Move[] => {
      const name = key.startsWith("Deployment/") ? key.slice("Deployment/".length) : "";
      const track = TRACK_NAMES[name];
      return track === undefined ? [] : this.#movesOf(name, track);
    });
    const orphans = this.pods.filter(({ track }) => this.deployment(nameOf(track)) === undefined);
    moves.push(...orphans.map((pod) => () => this.#end(pod)));
    if (moves.length === 0) return false;
    moves[this.#choose(moves.length)]?.();
    const ready = this.pods.filter((pod) => pod.track === "stable" && pod.readySinceMs !== undefined).length;
    this.leastReady = Math.min(this.leastReady, ready);
    return true;
  }

  /** The Deployment controller: up to the surge more, and one fewer only when enough are available. */
  #movesOf(name: string, track: Track): Move[] {
    const spec = this.deployment(name);
    if (spec === undefined) return [];
    const template = JSON.stringify(spec.template);
    const pods = this.pods.filter((pod) => pod.track === track);
    const current = pods.filter((pod) => pod.template === template);
    const old = pods.filter((pod) => pod.template !== template);
    const isPaused = spec.paused === true;
    const surge = Math.ceil((spec.replicas * Number.parseInt(spec.strategy.rollingUpdate.maxSurge, 10)) / 100);
    const starting = pods.filter((pod) => pod.readySinceMs === undefined && this.#works(pod));
    const moves = starting.map(
      (pod): Move =>
        () =>
          Object.assign(pod, { readySinceMs: this.nowMs }),
    );
    const isScaling = pods.length < spec.replicas;
    if (isScaling || (!isPaused && current.length < spec.replicas && pods.length < spec.replicas + surge)) {
      const source = isPaused && old[0] !== undefined ? old[0] : undefined; // paused: more of the same
      moves.push(() => this.#start(track, source?.template ?? template, source?.templateHash ?? hashOf(spec)));
    }
    const available = pods.filter((pod) => this.#isAvailable(pod, spec));
    for (const pod of [...old, ...current]) {
      const isSurplus = pods.length > spec.replicas && (!isPaused || old.length === 0 || current.length === 0);
      const goesNow = !this.#isAvailable(pod, spec) || available.length > spec.replicas;
      if (isSurplus && goesNow && (old.includes(pod) || old.length === 0)) moves.push(() => this.#end(pod));
    }
    return moves;
  }

  #works({ template }: Pod): boolean {
    return ![...this.crashing, ...this.silent].some((image) => template.includes(`"${image}"`));
  }

  #isAvailable({ readySinceMs }: Pod, { minReadySeconds = 0 }: DeploymentSpec): boolean {
    return readySinceMs !== undefined && this.nowMs - readySinceMs >= minReadySeconds * 1000;
  }

  #start(track: Track, template: string, templateHash: string): void {
    this.#serial += 1;
    const name = `${nameOf(track)}-${this.#serial}`;
    this.pods.push({ name, track, template, templateHash, createdMs: this.nowMs, readySinceMs: undefined });
  }

  #end(pod: Pod): void {
    this.pods = this.pods.filter((one) => one !== pod);
  }

  #view({ name, track, templateHash, template, createdMs, readySinceMs }: Pod): InstanceView {
    const crashes = [...this.crashing].some((image) => template.includes(`"${image}"`));
    return {
      uid: name,
      resourceVersion: "1",
      name,
      track,
      ready: readySinceMs !== undefined,
      readySinceMs: readySinceMs ?? createdMs,
      deletingSinceMs: undefined,
      node: undefined,
      templateHash,
      createdMs,
      report: undefined,
      trouble: crashes ? "CrashLoopBackOff: back-off 10s" : undefined,
    };
  }

  #child({ uid, version, generation, manifest }: Child): ChildView {
    const track = manifest.kind === "Deployment" ? TRACK_NAMES[manifest.metadata.name] : undefined;
    const live =
      track === undefined
        ? manifest
        : { ...manifest, metadata: { ...manifest.metadata, generation }, status: this.#counts(track, generation) };
    const appliedHash = manifest.metadata.annotations?.[ANNOTATION_APPLIED_HASH];
    return { uid, resourceVersion: String(version), appliedHash, deleting: false, live };
  }

  #counts(track: Track, observedGeneration: number): object {
    const spec = this.deployment(nameOf(track));
    const pods = this.pods.filter((pod) => pod.track === track);
    const template = JSON.stringify(spec?.template);
    return {
      observedGeneration,
      replicas: pods.length,
      updatedReplicas: pods.filter((pod) => pod.template === template).length,
      readyReplicas: pods.filter(({ readySinceMs }) => readySinceMs !== undefined).length,
      availableReplicas: spec === undefined ? 0 : pods.filter((pod) => this.#isAvailable(pod, spec)).length,
    };
  }

  /** @returns false when the API server refuses, because the object changed meanwhile. */
  #take(step: Step): boolean {
    if ("manifest" in step) {
      const { kind, metadata } = step.manifest;
      const key = childKey(kind, metadata.name);
      const old = this.children.get(key);
      if (metadata.resourceVersion !== undefined && metadata.resourceVersion !== String(old?.version)) return false;
      this.#serial += 1;
      this.children.set(key, {
        uid: old?.uid ?? `uid-${this.#serial}`,
        version: (old?.version ?? 0) + 1,
        generation: (old?.generation ?? 0) + 1,
        manifest: step.manifest,
      });
    } else if (step.kind === "Delete") {
      this.children.delete(childKey(step.object.kind, step.object.name));
    } else if (step.kind === "ReportOperation") {
      const operation = this.operations.get(step.name);
      if (operation !== undefined) operation.status = { ...operation.status, ...step.status };
    } else throw new Error(`${step.kind} has no place in topology Stateless`);
    return true;
  }
}

function nameOf(track: Track): string {
  return track === "stable" ? "orders" : "orders-canary";
}

function hashOf({ template }: DeploymentSpec): string {
  return template.metadata.annotations[ANNOTATION_TEMPLATE_HASH] ?? "";
}
