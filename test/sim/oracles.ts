// What must hold at every moment, asked at every request and every change. Those that compare whole runs are in compare.ts.
import { LABEL_MEMBER, MANAGED_BY } from "../../src/api/names.ts";
import { ANNOTATION_DELETE_WITH } from "../../src/build/labels.ts";
import type { Any, Found, LogEntry, ModelApi } from "./model-api.ts";
import type { ModelGroup } from "./model-group.ts";
import { isReady } from "./model-kubernetes.ts";
import type { Scheduler } from "./scheduler.ts";
import { OPERATOR_LEASE, type Request } from "./sim-client.ts";

/** A promise that was broken. */
export interface Violation {
  readonly oracle: string;
  readonly what: string;
}

/** What an operator sees is so old at most, unless the schedule holds it back; twice the time that probes and reports take. */
const SIGHT_MS = 15_000;
/** No story makes an operator look at one cluster more than so often within so long. */
const MOST_PASSES = 300;
const PASSES_MS = 10_000;
const OPERATORS = ["operator", "operator-2"];
/** Kinds that are written without being anybody's child. */
const UNOWNED = ["Event", "PersistentVolumeClaim", "ClusterSpec", "ClusterOperation"];

/** Watches one world. */
export class Oracles {
  /** The first one; the run ends with it. */
  violation: Violation | undefined;
  /** Writes of operators so far, by kind of object and verb, their own Lease and events left out. */
  readonly writes: string[] = [];
  /** When the last of those was. */
  lastWriteMs = Number.NEGATIVE_INFINITY;
  readonly #api: ModelApi;
  readonly #scheduler: Scheduler;
  #group: ModelGroup | undefined;
  #troubleUntilMs = 0;
  #observedGeneration = 0;
  #observedUid = "";
  readonly #readySince = new Map<string, number>();
  /** When the last passes of all operators ended, the oldest first. */
  readonly #passes: number[] = [];

  constructor(api: ModelApi, scheduler: Scheduler) {
    this.#api = api;
    this.#scheduler = scheduler;
    api.onChange((entry) => this.#see(entry));
  }

  watch(group: ModelGroup): void {
    this.#group = group;
  }

  violate(oracle: string, what: string): void {
    if (this.violation !== undefined) return;
    this.violation = { oracle, what };
    this.#scheduler.note("oracle", `✗ ${oracle}: ${what}`);
  }

  /** Members may be down through no fault of the operator, and it may not have heard of that yet. */
  expectTrouble(forMs = 0): void {
    this.#troubleUntilMs = Math.max(this.#troubleUntilMs, this.#scheduler.nowMs + forMs + SIGHT_MS);
  }

  /** A user takes the pod down, as the budget allows. */
  expectDisruption(_pod: string): void {
    this.expectTrouble();
  }

  /** Judges a request of an operator before it is carried out. */
  judge(request: Request): void {
    const { by, verb, ref } = request;
    if (!OPERATORS.includes(by) || (ref.kind === "Lease" && ref.name === OPERATOR_LEASE)) return;
    if (ref.kind !== "Event") {
      this.writes.push(`${verb} ${ref.kind}`);
      this.lastWriteMs = this.#scheduler.nowMs;
    }
    const live = this.#api.read(ref.kind, ref.namespace, ref.name);
    this.#judgeScope(request, live);
    // S2: the members' Lease is theirs; an operator that wrote it could take an epoch back.
    if (ref.kind === "Lease" && live !== undefined && verb !== "create")
      this.violate("S2", `${verb} of the members' Lease ${ref.name}`);
    if (verb !== "delete") return;
    if (request.uid === undefined) this.violate("S6", `${ref.kind} ${ref.name} is deleted without its uid`);
    if (live === undefined || live.metadata.uid !== request.uid) return;
    if (ref.kind === "PersistentVolumeClaim") this.#judgeVolume(live);
    if (ref.kind === "Pod" || ref.kind === "StatefulSet") this.#judgeDisruption(live);
    // Removed for good: if the leader died now, the others could not be sure to have what was acknowledged.
    if (ref.kind === "StatefulSet" && this.#group?.waitedFor.includes(ref.name) === true)
      this.violate("S4", `${ref.name} is removed while commits wait for it`);
  }

  /** L3: whoever looks again and again, and finds nothing new, is in a loop. */
  seePass(): void {
    const { nowMs } = this.#scheduler;
    this.#passes.push(nowMs);
    if (this.#passes.length <= MOST_PASSES) return;
    const since = this.#passes.shift() ?? 0;
    if (nowMs - since < PASSES_MS) this.violate("L3", `${MOST_PASSES} passes within ${(nowMs - since) / 1000} s`);
  }

  /** S7: only what is this cluster's, or belongs to nobody else. */
  #judgeScope({ verb, ref, body }: Request, live: Found | undefined): void {
    if (UNOWNED.includes(ref.kind) || (verb === "delete" && live === undefined)) return;
    const object: Any | undefined = live ?? body;
    const isOurs = object?.metadata.labels?.["app.kubernetes.io/managed-by"] === MANAGED_BY;
    if (!isOurs || ref.namespace !== "shop")
      this.violate("S7", `${verb} of ${ref.kind} ${ref.namespace ?? ""}/${ref.name}, which is not ours`);
  }

  /** S5: a volume goes only when its ClusterSpec is gone and said so, or wants fewer members and says so. */
  #judgeVolume(claim: Found): void {
    const { name, annotations = {} } = claim.metadata;
    const cluster = this.#api.read("ClusterSpec", "shop", "orders");
    const doomedWith = annotations[ANNOTATION_DELETE_WITH];
    const isOfGone = doomedWith !== undefined && cluster?.metadata.uid !== doomedWith;
    if (isOfGone) return;
    if (cluster === undefined) return this.violate("S5", `${name} is deleted, and nobody asked for that`);
    const { volumeRetention, members = 3 } = cluster.spec as {
      volumeRetention?: { whenScaled?: string };
      members?: number;
    };
    const ordinal = Number(/-([0-9]+)-data$/.exec(name)?.[1]);
    if (volumeRetention?.whenScaled !== "Delete" || ordinal < members)
      this.violate("S5", `${name} is deleted while its cluster lives`);
  }

  /** S4: whoever stops a member leaves the others a majority. */
  #judgeDisruption(object: Found): void {
    const cluster = this.#api.read("ClusterSpec", "shop", "orders");
    if (cluster === undefined || this.#scheduler.nowMs < this.#troubleUntilMs || cluster.spec?.["stopped"] === true)
      return;
    const victim = object.metadata.labels?.[LABEL_MEMBER];
    const pods = this.#api.all("Pod");
    const isUp = (pod: Found) => isReady(pod) && pod.metadata.deletionTimestamp === undefined;
    const isVictimUp = pods.some((pod) => pod.metadata.labels?.[LABEL_MEMBER] === victim && isUp(pod));
    const others = pods.filter((pod) => pod.metadata.labels?.[LABEL_MEMBER] !== victim);
    const total = others.length + 1;
    if (!isVictimUp || total < 3) return;
    const downLately = others.some(
      (pod) => !isUp(pod) && this.#scheduler.nowMs - (this.#readySince.get(pod.metadata.uid) ?? 0) < SIGHT_MS,
    );
    const left = others.filter(isUp).length;
    if (left < Math.floor(total / 2) + 1 && !downLately)
      this.violate("S4", `${victim ?? ""} is stopped: ${left} of ${total} are left`);
    const leadsLong = this.#scheduler.nowMs - (this.#group?.leadsSinceMs ?? 0) > SIGHT_MS;
    if (victim === this.#group?.leader && leadsLong && left > 0)
      this.violate("S4", `the leader ${victim ?? ""} is stopped before it handed over`);
  }

  #see({ kind, before, after }: LogEntry): void {
    if (kind === "Pod" && after !== undefined && (before === undefined || isReady(before) !== isReady(after))) {
      this.#readySince.set(after.metadata.uid, this.#scheduler.nowMs);
    }
    if (kind === "ClusterSpec" && after !== undefined) this.#seeStatus(after);
    // Whoever deleted it: nothing may take a volume along that is to be kept.
    if (kind === "PersistentVolumeClaim" && before !== undefined && after === undefined) this.#judgeVolume(before);
  }

  /** L4: what the status says is true, and it never speaks of an older generation than before. */
  #seeStatus(cluster: Found): void {
    const { observedGeneration = 0, conditions = [] } = (cluster.status ?? {}) as {
      observedGeneration?: number;
      conditions?: readonly { readonly type: string; readonly status: string }[];
    };
    if (this.#observedUid !== cluster.metadata.uid) this.#observedGeneration = 0;
    this.#observedUid = cluster.metadata.uid;
    if (observedGeneration < this.#observedGeneration)
      this.violate("L4", `observedGeneration goes back to ${observedGeneration}`);
    this.#observedGeneration = observedGeneration;
    const saysReady = conditions.some(({ type, status }) => type === "Ready" && status === "True");
    if (!saysReady || this.#scheduler.nowMs < this.#troubleUntilMs) return;
    const down = this.#api.all("Pod").filter((pod) => !isReady(pod));
    const stale = down.find((pod) => this.#scheduler.nowMs - (this.#readySince.get(pod.metadata.uid) ?? 0) > SIGHT_MS);
    if (stale !== undefined && observedGeneration === cluster.metadata.generation)
      this.violate("L4", `Ready is True although ${stale.metadata.name} is not`);
  }
}
