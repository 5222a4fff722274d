// One simulated world: API server, Kubernetes, members, operators, and whoever breaks things.
import type { KubeObject } from "../../src/kube/object.ts";
import { API_VERSION } from "../../src/api/names.ts";
import { hookedEngine, engine as plainEngine } from "../unit/plan/fixture.ts";
import { type Fault, FaultPlan, type TimedFault } from "./faults.ts";
import { type Any, ModelApi } from "./model-api.ts";
import { ModelGroup } from "./model-group.ts";
import { ModelKubernetes } from "./model-kubernetes.ts";
import { API, Network } from "./network.ts";
import { Oracles } from "./oracles.ts";
import { type Actor, EPOCH_MS, Scheduler } from "./scheduler.ts";
import type { ClientParts } from "./sim-client.ts";
import { SimOperator } from "./sim-operator.ts";

export const NAMESPACE = "shop";
export const CLUSTER = "orders";
export const NODES = ["node-a", "node-b", "node-c", "node-d", "node-e"];
const OPERATOR = "operator";
const USER = "user";

/** What a world is made with. */
export interface WorldOptions {
  readonly seed: number;
  readonly faults: readonly Fault[];
  /** The Engine has hooks around updates. */
  readonly hooked?: boolean;
}

/** Everything, and the means to change it as users and fate do. */
export class World {
  readonly scheduler: Scheduler;
  readonly network: Network;
  readonly api: ModelApi;
  readonly kubernetes: ModelKubernetes;
  readonly group: ModelGroup;
  readonly oracles: Oracles;
  readonly faults: FaultPlan;
  /** Images and parameters that do not work. */
  readonly broken = new Set<string>();
  readonly operators: SimOperator[] = [];
  readonly #faults: readonly Fault[];
  readonly #parts: ClientParts;
  #spec: object = {};
  #faultsBeganMs = 0;

  constructor({ seed, faults, hooked = false }: WorldOptions) {
    this.#faults = faults;
    this.scheduler = new Scheduler(seed);
    this.network = new Network(this.scheduler);
    this.api = new ModelApi(() => EPOCH_MS + this.scheduler.nowMs);
    this.faults = new FaultPlan(faults);
    this.oracles = new Oracles(this.api, this.scheduler);
    const { scheduler, network, api, broken, oracles } = this;
    const violate = (oracle: string, what: string) => oracles.violate(oracle, what);
    this.group = new ModelGroup({ scheduler, network, api, namespace: NAMESPACE, cluster: CLUSTER, violate });
    this.kubernetes = new ModelKubernetes({ scheduler, network, api, runtime: this.group, broken });
    oracles.watch(this.group);
    this.#parts = {
      scheduler,
      network,
      api,
      faults: this.faults,
      crash: (actor) => this.#crash(actor),
      onRequest: (request) => oracles.judge(request),
      onBug: (who, error) =>
        oracles.violate("Bug", `${who}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`),
      evict: (namespace, pod, by) => this.kubernetes.evict(namespace, pod, by),
    };
    for (const node of NODES) this.kubernetes.addNode(node);
    api.create({ apiVersion: "storage.k8s.io/v1", kind: "StorageClass", metadata: { name: "standard" } }, { by: USER });
    const { ...spec } = hooked ? hookedEngine : plainEngine;
    api.create({ apiVersion: API_VERSION, kind: "Engine", metadata: { name: "example" }, spec }, { by: USER });
    this.operators.push(this.#newOperator(OPERATOR, false));
    api.onChange(({ kind, before, after }) => {
      if (kind === "PersistentVolumeClaim" && after === undefined && before !== undefined)
        this.group.forgetVolume(before.metadata.uid);
    });
  }

  /** Lets everything happen until `isOver` (asked once a second) or a violation, at most for so long. @returns whether it is over. */
  async run(forMs: number, isOver: () => boolean = () => false): Promise<boolean> {
    const { scheduler, oracles } = this;
    const endMs = scheduler.nowMs + forMs;
    while (oracles.violation === undefined && scheduler.nowMs < endMs) {
      if (isOver()) return true;
      await scheduler.run(Math.min(endMs, scheduler.nowMs + 1_000), () => oracles.violation !== undefined);
    }
    return isOver();
  }

  /** Lets the schedule's faults begin to count, from now. */
  beginFaults(): void {
    this.faults.begin();
    this.#faultsBeganMs = this.scheduler.nowMs;
    for (const fault of this.#faults) {
      if ("atMs" in fault) this.scheduler.after(fault.atMs, () => this.#begin(fault));
    }
  }

  /** When the last timed fault is over. */
  get faultsEndMs(): number {
    const ends = this.#faults.map((fault) => ("atMs" in fault ? fault.atMs + ("forMs" in fault ? fault.forMs : 0) : 0));
    return this.#faultsBeganMs + Math.max(0, ...ends);
  }

  /** Ends all processes: nothing may go on beside the next run. */
  end(): void {
    for (const operator of this.operators) operator.kill();
  }

  // ------------------------------------------------------------------------------------------------------------- the user

  get cluster(): Any | undefined {
    return this.api.read("ClusterSpec", NAMESPACE, CLUSTER);
  }

  /** `.spec` as the user wants it last. */
  get spec(): object {
    return this.#spec;
  }

  create(spec: object): void {
    this.#spec = {
      engine: { name: "example", version: "1" },
      storage: { data: { size: "1Gi", className: "standard" } },
      ...spec,
    };
    this.scheduler.note(USER, "creates the ClusterSpec");
    this.api.create(
      {
        apiVersion: API_VERSION,
        kind: "ClusterSpec",
        metadata: { namespace: NAMESPACE, name: CLUSTER },
        spec: { ...this.#spec },
      },
      { by: USER },
    );
  }

  /** Changes the spec, as kubectl patch --type merge. */
  patch(patch: object): void {
    if (this.cluster === undefined) return;
    this.scheduler.note(USER, `changes the spec: ${JSON.stringify(patch)}`);
    const ref = { apiVersion: API_VERSION, kind: "ClusterSpec", namespace: NAMESPACE, name: CLUSTER };
    this.#spec = this.api.mergePatch(ref, { spec: patch }, { by: USER }).spec ?? {};
  }

  delete(): void {
    this.scheduler.note(USER, "deletes the ClusterSpec");
    const { volumeRetention } = this.#spec as { readonly volumeRetention?: { readonly whenDeleted?: string } };
    this.group.isDoomed = volumeRetention?.whenDeleted === "Delete";
    this.api.delete({ apiVersion: API_VERSION, kind: "ClusterSpec", namespace: NAMESPACE, name: CLUSTER }, {}, USER);
  }

  operate(name: string, operation: object): void {
    this.scheduler.note(USER, `asks for ${JSON.stringify(operation)}`);
    const spec = { clusterName: CLUSTER, ...operation };
    this.api.create(
      { apiVersion: API_VERSION, kind: "ClusterOperation", metadata: { namespace: NAMESPACE, name }, spec },
      { by: USER },
    );
  }

  /** Cordons the node and evicts what is on it, as kubectl drain does, until nothing is. */
  drain(node: string): void {
    this.scheduler.note(USER, `drains ${node}`);
    this.kubernetes.setUnschedulable(node, true);
    const evictAll = (): void => {
      const pods = this.pods().filter((pod) => pod.spec?.["nodeName"] === node);
      for (const { metadata } of pods) {
        if (metadata.deletionTimestamp !== undefined) continue;
        try {
          this.kubernetes.evict(NAMESPACE, metadata.name, USER);
          this.oracles.expectDisruption(metadata.name);
        } catch {
          this.scheduler.note(USER, `may not evict ${metadata.name} yet`); // the budget; tried again
        }
      }
      if (pods.length > 0) this.scheduler.after(5_000, evictAll);
    };
    evictAll();
  }

  pods(): readonly (Any & { readonly metadata: KubeObject["metadata"] & { readonly name: string } })[] {
    return this.api.all("Pod").filter(({ metadata }) => metadata.namespace === NAMESPACE);
  }

  // ----------------------------------------------------------------------------------------------------------------- fate

  losePower(node: string): void {
    this.scheduler.note("fate", `${node} loses power`);
    this.oracles.expectTrouble();
    this.kubernetes.powerOff(node);
  }

  restorePower(node: string): void {
    this.scheduler.note("fate", `${node} is back`);
    this.oracles.expectTrouble();
    this.kubernetes.powerOn(node);
  }

  crashMember(member: string): void {
    this.scheduler.note("fate", `${member} crashes`);
    this.oracles.expectTrouble();
    this.kubernetes.crashContainer(NAMESPACE, `${member}-0`);
  }

  /** Ends every lasting fault. */
  heal(): void {
    this.network.heal();
    for (const operator of this.operators) operator.resume();
    for (const { metadata, spec } of this.api.all("Node")) {
      if (spec?.["unschedulable"] === true) this.kubernetes.setUnschedulable(metadata.name, false);
    }
    // Whoever paused or stopped the cluster in the middle of things lets it go on.
    const { paused = false, stopped = false } = this.#spec as { readonly paused?: boolean; readonly stopped?: boolean };
    if (paused || stopped) this.patch({ paused: false, stopped: false });
  }

  #crash(actor: Actor): void {
    this.operators.find((operator) => operator.is(actor))?.crash();
  }

  #newOperator(name: string, believes: boolean): SimOperator {
    const skew = this.#faults.find((fault) => fault.kind === "Skew" && fault.actor === name);
    const clock = skew?.kind === "Skew" ? { skew } : {};
    return new SimOperator({ name, parts: this.#parts, believes, onPass: () => this.oracles.seePass(), ...clock });
  }

  #begin(fault: TimedFault): void {
    const { scheduler, network, oracles } = this;
    scheduler.note("fate", `⚡ ${fault.kind}`);
    switch (fault.kind) {
      case "Cut": {
        const ends = [fault.a, fault.b].map((end) =>
          end === "leader" ? (this.group.nodeOf(this.group.leader ?? "") ?? end) : end,
        );
        const [a = "", b = ""] = ends;
        oracles.expectTrouble(fault.forMs);
        // Everything else than the API server and the operator, where the schedule says so.
        const others = b === "others" ? [API, ...NODES.filter((node) => node !== a)] : [b];
        for (const other of others) {
          network.cut(a, other);
          if (fault.oneWay !== true) network.cut(other, a);
        }
        scheduler.after(fault.forMs, () => network.heal(a));
        return;
      }
      case "Pause": {
        const operator = this.operators.find(({ name }) => name === fault.actor);
        operator?.pause();
        scheduler.after(fault.forMs, () => operator?.resume());
        return;
      }
      case "Crash":
        if (fault.actor === OPERATOR) this.operators[0]?.crash();
        else this.crashMember(fault.actor === "leader" ? (this.group.leader ?? "") : fault.actor);
        return;
      case "SecondOperator": {
        const second = this.#newOperator("operator-2", true);
        this.operators.push(second);
        scheduler.after(fault.forMs, () => second.stop());
        return;
      }
      case "Deaf":
        this.group.turnDeaf(fault.forMs);
        return;
      case "ChangeSpec":
        this.patch(fault.patch);
    }
  }
}
