// The rest of Kubernetes: StatefulSet controller, scheduler, kubelets, volume binder, garbage collector, node lifecycle, eviction.
// All of them work from the live state, level by level, some milliseconds after something changed.
import type { KubeObject, OwnerReference } from "../../src/kube/object.ts";
import { type Any, type Found, type LogEntry, type ModelApi, status, timestamp } from "./model-api.ts";
import { API, type Network } from "./network.ts";
import { EPOCH_MS, type Scheduler } from "./scheduler.ts";

/** What runs in a pod. */
export interface Program {
  /** SIGTERM: it ends by itself, and says so by `exited`. */
  terminate(): void;
  /** It ends at once. */
  kill(): void;
}

/** Starts what runs in pods. */
export interface Runtime {
  start(pod: Any, kubelet: PodPort): Program;
}

/** What a program tells its kubelet. */
export interface PodPort {
  readonly node: string;
  setReady(ready: boolean): void;
  exited(): void;
}

/** A pod that a kubelet has. */
interface Running {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly node: string;
  program: Program | undefined;
  isReady: boolean;
  restarts: number;
}

const BY = "kubernetes";
const CLAIM_FINALIZER = "kubernetes.io/pvc-protection";
/** After so long without a word a node is taken for lost, and after as long again its pods are told to go. */
const NODE_LOST_MS = 40_000;
const TOLERATED_MS = 300_000;
const RESTART_MS = 2_000;

export interface KubernetesParts {
  readonly scheduler: Scheduler;
  readonly network: Network;
  readonly api: ModelApi;
  readonly runtime: Runtime;
  /** Images and values of parameters with which no container starts. */
  readonly broken: ReadonlySet<string>;
}

/** Everything of a cluster that is not the API server, and not quorate. */
export class ModelKubernetes {
  readonly #parts: KubernetesParts;
  readonly #pending = new Set<string>();
  readonly #running = new Map<string, Running>();
  readonly #nodeStates = new Map<string, "Up" | "Off">();
  #isCollecting = false;

  constructor(parts: KubernetesParts) {
    this.#parts = parts;
    parts.api.onChange((entry) => this.#concern(entry));
  }

  addNode(name: string): void {
    this.#nodeStates.set(name, "Up");
    const labels = { "kubernetes.io/hostname": name };
    const node = { apiVersion: "v1", kind: "Node", metadata: { name, labels }, spec: {} };
    this.#parts.api.create(node, { by: BY });
    this.#setNodeReady(name, "True");
  }

  /** The machine loses its power: what runs there is gone, and nobody says so. */
  powerOff(name: string): void {
    this.#nodeStates.set(name, "Off");
    for (const running of this.#running.values()) {
      if (running.node === name) this.#stop(running);
    }
    this.#parts.scheduler.after(NODE_LOST_MS, () => this.#loseNode(name));
  }

  /** The machine starts, with what is on its disks. */
  powerOn(name: string): void {
    this.#nodeStates.set(name, "Up");
    this.#setNodeReady(name, "True");
    for (const pod of this.#podsOn(name))
      this.#later(`Pod/${pod.metadata.namespace ?? ""}/${pod.metadata.name}`, RESTART_MS);
  }

  setUnschedulable(name: string, unschedulable: boolean): void {
    this.#parts.api.mergePatch({ apiVersion: "v1", kind: "Node", name }, { spec: { unschedulable } }, { by: BY });
  }

  /** The process in a pod ends by itself; its kubelet starts it anew. */
  crashContainer(namespace: string, pod: string): void {
    const running = this.#runningOf(this.#parts.api.read("Pod", namespace, pod));
    if (running?.program === undefined) return;
    this.#stop(running);
    running.restarts += 1;
    this.#report(running, { phase: "Running" });
    this.#later(`Pod/${namespace}/${pod}`, RESTART_MS);
  }

  /** The eviction API. @throws {ApiStatusError} 429 while the budget needs the pod. */
  evict(namespace: string, name: string, by: string): void {
    const { api } = this.#parts;
    const pod = api.read("Pod", namespace, name);
    if (pod === undefined) throw status(404, "NotFound", "pod not found", name);
    const budget = api.all("PodDisruptionBudget").find((one) => isSelectedBy(one, pod));
    const least = (budget?.spec?.["minAvailable"] as number | undefined) ?? 0;
    const selected = api.all("Pod").filter((one) => budget !== undefined && isSelectedBy(budget, one));
    const healthy = selected.filter((one) => isReady(one) && one.metadata.deletionTimestamp === undefined).length;
    if (isReady(pod) && healthy - 1 < least)
      throw status(429, "TooManyRequests", "the disruption budget needs the pod", name);
    api.delete({ apiVersion: "v1", kind: "Pod", namespace, name }, {}, by);
  }

  #concern({ kind, before, after }: LogEntry): void {
    const object = after ?? before;
    if (object === undefined) return;
    const { namespace = "", name } = object.metadata;
    if (after === undefined || before === undefined) this.#collect();
    if (kind === "StatefulSet" || kind === "PersistentVolumeClaim") this.#later(`${kind}/${namespace}/${name}`);
    if (kind === "Pod") {
      this.#later(`Pod/${namespace}/${name}`);
      const owner = ownerOf(object, "StatefulSet");
      if (owner !== undefined) this.#later(`StatefulSet/${namespace}/${owner.name}`);
      if (after === undefined)
        for (const claim of claimsOf(object)) this.#later(`PersistentVolumeClaim/${namespace}/${claim}`);
    }
    if (kind === "Node" || kind === "PersistentVolumeClaim") this.#retryUnscheduled();
  }

  /** Looks at an object some time from now, once. */
  #later(key: string, delayMs = this.#parts.scheduler.between(5, 60)): void {
    if (this.#pending.has(key)) return;
    this.#pending.add(key);
    this.#parts.scheduler.after(delayMs, () => {
      this.#pending.delete(key);
      const [kind = "", namespace = "", name = ""] = key.split("/");
      if (kind === "StatefulSet") this.#syncSet(namespace, name);
      if (kind === "Pod") this.#syncPod(namespace, name);
      if (kind === "PersistentVolumeClaim") this.#syncClaim(namespace, name);
    });
  }

  #syncSet(namespace: string, name: string): void {
    const { api } = this.#parts;
    const set = api.read("StatefulSet", namespace, name);
    if (set === undefined || set.metadata.deletionTimestamp !== undefined) return;
    const podName = `${name}-0`;
    const pod = api.read("Pod", namespace, podName);
    const spec = set.spec as {
      readonly replicas?: number;
      readonly template: Pick<KubeObject, "metadata"> & { spec: object };
    };
    if (spec.replicas === 0) {
      if (pod !== undefined)
        api.delete({ apiVersion: "v1", kind: "Pod", namespace, name: podName }, { uid: pod.metadata.uid }, BY);
      return;
    }
    if (pod !== undefined) return;
    const { apiVersion, kind, metadata } = set;
    const owner: OwnerReference = { apiVersion, kind, name, uid: metadata.uid, controller: true };
    const { labels = {}, annotations = {} } = spec.template.metadata;
    const made = { name: podName, namespace, labels, annotations, ownerReferences: [owner] };
    api.create({ apiVersion: "v1", kind: "Pod", metadata: made, spec: { ...spec.template.spec } }, { by: BY });
  }

  #syncPod(namespace: string, name: string): void {
    const { api } = this.#parts;
    const pod = api.read("Pod", namespace, name);
    if (pod === undefined) return;
    const node = pod.spec?.["nodeName"] as string | undefined;
    if (node === undefined) return this.#schedule(pod);
    if (this.#nodeStates.get(node) !== "Up" || !this.#parts.network.isUp(API, node)) return;
    const running = this.#runningOf(pod);
    if (pod.metadata.deletionTimestamp !== undefined) {
      if (running?.program === undefined) this.#forget(pod);
      else running.program.terminate();
      return;
    }
    if (running?.program === undefined) this.#start(pod, node);
  }

  #schedule(pod: Found): void {
    const { api, scheduler } = this.#parts;
    const { namespace = "", name } = pod.metadata;
    const isBound = claimsOf(pod).every(
      (claim) => api.read("PersistentVolumeClaim", namespace, claim)?.status?.["phase"] === "Bound",
    );
    const nodes = api
      .all("Node")
      .filter((node) => node.spec?.["unschedulable"] !== true && isReady(node))
      .map((node) => node.metadata.name);
    const free = nodes.filter((node) => this.#podsOn(node).length === 0);
    const among = free.length > 0 ? free : nodes;
    const node = among[Math.floor(scheduler.random() * among.length)];
    const ref = { apiVersion: "v1", kind: "Pod", namespace, name };
    if (node === undefined || !isBound) {
      const message = isBound ? "no node fits" : "its volume is not bound";
      api.mergePatch(
        ref,
        {
          status: {
            conditions: [condition("PodScheduled", "False", scheduler.nowMs, { reason: "Unschedulable", message })],
          },
        },
        { by: BY, status: true },
      );
      return;
    }
    api.mergePatch(ref, { spec: { nodeName: node } }, { by: BY });
    api.mergePatch(
      ref,
      { status: { phase: "Pending", conditions: [condition("PodScheduled", "True", scheduler.nowMs)] } },
      { by: BY, status: true },
    );
  }

  #retryUnscheduled(): void {
    for (const { metadata, spec } of this.#parts.api.all("Pod")) {
      if (spec?.["nodeName"] === undefined) this.#later(`Pod/${metadata.namespace ?? ""}/${metadata.name}`);
    }
  }

  #start(pod: Found, node: string): void {
    const { scheduler, broken } = this.#parts;
    const { uid, name, namespace = "" } = pod.metadata;
    const known = this.#running.get(uid);
    const running: Running = known ?? { uid, name, namespace, node, program: undefined, isReady: false, restarts: 0 };
    this.#running.set(uid, running);
    const text = JSON.stringify(pod.spec);
    if ([...broken].some((one) => text.includes(`"${one}"`))) {
      return this.#report(running, {
        phase: "Pending",
        waiting: { reason: "ImagePullBackOff", message: "no such image" },
      });
    }
    running.program = { terminate: () => undefined, kill: () => undefined }; // being started
    scheduler.after(scheduler.between(300, 1_500), () => {
      if (this.#running.get(uid) !== running || running.program === undefined || this.#nodeStates.get(node) !== "Up")
        return;
      const port: PodPort = {
        node,
        setReady: (ready) => this.#setPodReady(running, ready),
        exited: () => this.#exited(running),
      };
      running.program = this.#parts.runtime.start(pod, port);
      this.#report(running, { phase: "Running" });
      this.#later(`Pod/${namespace}/${name}`); // it may have been deleted meanwhile
    });
  }

  #setPodReady(running: Running, ready: boolean): void {
    if (running.isReady === ready) return;
    running.isReady = ready;
    this.#report(running, { phase: "Running" });
  }

  #exited(running: Running): void {
    this.#stop(running);
    this.#report(running, { phase: "Running" });
    this.#later(`Pod/${running.namespace}/${running.name}`, RESTART_MS / 10);
  }

  #stop(running: Running): void {
    running.program?.kill();
    running.program = undefined;
    running.isReady = false;
  }

  /** Tells what the kubelet knows of a pod, once it can. */
  #report(running: Running, state: { readonly phase: string; readonly waiting?: object }): void {
    const { scheduler, network, api } = this.#parts;
    const { node, name, namespace, uid } = running;
    const atMs = scheduler.nowMs;
    scheduler.after(scheduler.between(5, 80), () => {
      if (!network.isUp(node, API)) {
        scheduler.after(1_000, () => this.#report(running, state));
        return;
      }
      const live = api.read("Pod", namespace, name);
      if (live?.metadata.uid !== uid || this.#nodeStates.get(node) !== "Up") return;
      const ready = condition("Ready", running.isReady ? "True" : "False", atMs);
      const before = conditionOf(live, "Ready");
      const conditions = [condition("PodScheduled", "True", 0), before?.status === ready.status ? before : ready];
      const containerStatuses = [
        { restartCount: running.restarts, state: state.waiting === undefined ? {} : { waiting: state.waiting } },
      ];
      const next = { phase: state.phase, podIP: `ip-${uid}`, conditions, containerStatuses };
      api.mergePatch({ apiVersion: "v1", kind: "Pod", namespace, name }, { status: next }, { by: BY, status: true });
    });
  }

  /** The last step of a deletion. */
  #forget(pod: Found): void {
    const { uid, name, namespace } = pod.metadata;
    this.#running.delete(uid);
    this.#parts.api.delete({ apiVersion: "v1", kind: "Pod", namespace, name }, { uid, gracePeriodSeconds: 0 }, BY);
  }

  #syncClaim(namespace: string, name: string): void {
    const { api, scheduler } = this.#parts;
    const claim = api.read("PersistentVolumeClaim", namespace, name);
    if (claim === undefined) return;
    const ref = { apiVersion: "v1", kind: "PersistentVolumeClaim", namespace, name };
    const isUsed = api.all("Pod").some((pod) => pod.metadata.namespace === namespace && claimsOf(pod).includes(name));
    if (claim.metadata.deletionTimestamp !== undefined) {
      if (!isUsed) api.finalize(claim, CLAIM_FINALIZER, BY);
      return;
    }
    const spec = claim.spec as { readonly volumeName?: string; readonly resources: { readonly requests: object } };
    const finalizers = claim.metadata.finalizers ?? [];
    if (spec.volumeName === undefined || !finalizers.includes(CLAIM_FINALIZER)) {
      const bound = { metadata: { finalizers: [CLAIM_FINALIZER] }, spec: { volumeName: `pv-${claim.metadata.uid}` } };
      api.mergePatch(ref, bound, { by: BY });
    }
    const capacity = spec.resources.requests;
    scheduler.after(scheduler.between(5, 200), () => {
      const live = api.read("PersistentVolumeClaim", namespace, name);
      if (live?.metadata.uid !== claim.metadata.uid) return;
      api.mergePatch(ref, { status: { phase: "Bound", capacity } }, { by: BY, status: true });
    });
  }

  /** What nobody owns any more goes, some time after. */
  #collect(): void {
    const { api, scheduler } = this.#parts;
    if (this.#isCollecting) return;
    this.#isCollecting = true;
    scheduler.after(scheduler.between(100, 2_000), () => {
      this.#isCollecting = false;
      const uids = new Set(api.everything().map(({ metadata }) => metadata.uid));
      for (const { apiVersion, kind, metadata } of api.everything()) {
        const owners = metadata.ownerReferences ?? [];
        if (owners.length === 0 || owners.some(({ uid }) => uids.has(uid))) continue;
        api.delete(
          { apiVersion, kind, namespace: metadata.namespace, name: metadata.name },
          { uid: metadata.uid },
          "gc",
        );
      }
    });
  }

  #loseNode(name: string): void {
    const { api, scheduler } = this.#parts;
    if (this.#nodeStates.get(name) !== "Off") return;
    this.#setNodeReady(name, "Unknown");
    for (const pod of this.#podsOn(name)) {
      const { namespace, name: of } = pod.metadata;
      const conditions = [condition("PodScheduled", "True", 0), condition("Ready", "False", scheduler.nowMs)];
      api.mergePatch(
        { apiVersion: "v1", kind: "Pod", namespace, name: of },
        { status: { conditions } },
        { by: BY, status: true },
      );
    }
    scheduler.after(TOLERATED_MS, () => {
      if (this.#nodeStates.get(name) !== "Off") return;
      for (const { metadata } of this.#podsOn(name)) {
        api.delete(
          { apiVersion: "v1", kind: "Pod", namespace: metadata.namespace, name: metadata.name },
          { uid: metadata.uid },
          BY,
        );
      }
    });
  }

  #setNodeReady(name: string, ready: "True" | "Unknown"): void {
    const { api, scheduler } = this.#parts;
    const conditions = [condition("Ready", ready, scheduler.nowMs)];
    api.mergePatch({ apiVersion: "v1", kind: "Node", name }, { status: { conditions } }, { by: BY, status: true });
  }

  #podsOn(node: string): readonly Found[] {
    return this.#parts.api.all("Pod").filter((pod) => pod.spec?.["nodeName"] === node);
  }

  #runningOf(pod: Found | undefined): Running | undefined {
    return pod === undefined ? undefined : this.#running.get(pod.metadata.uid);
  }
}

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly lastTransitionTime: string;
}

function condition(type: string, is: string, atMs: number, why: object = {}): Condition {
  return { type, status: is, lastTransitionTime: timestamp(EPOCH_MS + atMs), ...why };
}

function conditionOf(object: Any, type: string): Condition | undefined {
  return (object.status?.["conditions"] as readonly Condition[] | undefined)?.find((one) => one.type === type);
}

/** Whether an object's condition Ready is true. */
export function isReady(object: Any): boolean {
  return conditionOf(object, "Ready")?.status === "True";
}

function ownerOf(object: KubeObject, kind: string): OwnerReference | undefined {
  return object.metadata.ownerReferences?.find((owner) => owner.kind === kind);
}

function isSelectedBy(budget: Any, pod: Any): boolean {
  const { matchLabels } = (budget.spec ?? {})["selector"] as { readonly matchLabels: Readonly<Record<string, string>> };
  return (
    budget.metadata.namespace === pod.metadata.namespace &&
    Object.entries(matchLabels).every(([label, value]) => pod.metadata.labels?.[label] === value)
  );
}

/** Names of the claims that a pod uses. */
export function claimsOf(pod: Any): readonly string[] {
  const volumes = (pod.spec?.["volumes"] ?? []) as readonly {
    readonly persistentVolumeClaim?: { readonly claimName: string };
  }[];
  return volumes.flatMap((volume) => volume.persistentVolumeClaim?.claimName ?? []);
}
