/** What this member says of itself on its own Pod; written when it has settled, and never more often than twice a second. */
import { ANNOTATION_MEMBER_STATUS, LABEL_ROLE } from "../../api/names.ts";
import type { MemberReport } from "../../api/agent-wire.ts";
import { IndeterminateError } from "../../errors.ts";
import type { Clock } from "../../clock.ts";
import type { KubeApi } from "../../kube/api.ts";
import type { KubeObject, ObjectRef } from "../../kube/object.ts";

const MIN_INTERVAL_MS = 500;
/**
 * How long a report must stay the same before it is written. A change of leader changes every member's report several times
 * within a second, and each write makes kubelet, controllers and operator look at the pod anew: on small nodes that takes
 * the processor from the change itself.
 */
const SETTLE_MS = 400;
/** A report that never settles is written all the same. */
const MAX_SETTLE_MS = 1500;
const RETRY_MS = 2000;
/**
 * How soon the pod is looked at after a write that got no answer, and how late for the last time; each look takes twice as long to come as
 * the one before. Such a write may still be carried out: the kernel sends it once the network is back, although its connection was
 * given up, or an API server that stood still goes on. It would then stand in the place of what was written meanwhile.
 */
const FIRST_LOOK_MS = 5000;
const LAST_LOOK_MS = 320_000;

/** Coarse step of a lag: the annotation must not change while a cluster is quiet. */
export function lagBucket(lagBytes: bigint | null): MemberReport["lagBucket"] {
  if (lagBytes === null) return "unknown";
  if (lagBytes <= 0n) return "0";
  if (lagBytes < 1n << 20n) return "<1Mi";
  if (lagBytes < 1n << 24n) return "<16Mi";
  return lagBytes < 1n << 30n ? "<1Gi" : ">=1Gi";
}

/** Keeps the Pod's annotation and role label equal to the last report, as the API server allows. */
export class ReportWriter {
  readonly #api: KubeApi;
  readonly #pod: ObjectRef;
  readonly #podUid: string;
  readonly #clock: Clock;
  readonly #onError: (error: unknown) => void;
  #wanted: MemberReport | undefined;
  #wantedJson = "";
  #writtenJson = "";
  #changedAtMs = 0;
  /** Since when the pod says something else than is wanted. */
  #staleSinceMs = 0;
  #busy = false;
  #nextLookMs = FIRST_LOOK_MS;
  #forgetLook: () => void = () => undefined;

  constructor(
    api: KubeApi,
    pod: ObjectRef & { readonly uid: string },
    clock: Clock,
    onError: (error: unknown) => void,
  ) {
    this.#api = api;
    this.#podUid = pod.uid;
    this.#pod = { apiVersion: pod.apiVersion, kind: pod.kind, namespace: pod.namespace, name: pod.name };
    this.#clock = clock;
    this.#onError = onError;
  }

  /** Wants this to be the report from now on; returns at once. */
  report(report: MemberReport): void {
    const json = JSON.stringify(report);
    if (json === this.#wantedJson) return;
    this.#changedAtMs = this.#clock.monotonicMs();
    if (this.#wantedJson === this.#writtenJson) this.#staleSinceMs = this.#changedAtMs;
    this.#wanted = report;
    this.#wantedJson = json;
    if (!this.#busy) this.#writeIn(SETTLE_MS);
  }

  #writeIn(delayMs: number): void {
    this.#busy = true;
    this.#clock.schedule(delayMs, () => void this.#writeSettled());
  }

  async #writeSettled(): Promise<void> {
    const { report, json } = { report: this.#wanted, json: this.#wantedJson };
    if (report === undefined || json === this.#writtenJson) {
      this.#busy = false;
      return;
    }
    const nowMs = this.#clock.monotonicMs();
    const settledAtMs = Math.min(this.#changedAtMs + SETTLE_MS, this.#staleSinceMs + MAX_SETTLE_MS);
    if (settledAtMs > nowMs) return this.#writeIn(settledAtMs - nowMs);
    let waitMs = MIN_INTERVAL_MS;
    try {
      const metadata = {
        uid: this.#podUid, // a pod of the same name that came after ours is not ours to label
        labels: { [LABEL_ROLE]: report.role },
        annotations: { [ANNOTATION_MEMBER_STATUS]: json },
      };
      await this.#api.mergePatch(this.#pod, { metadata }, { timeoutMs: 5000, maxRetries: 0 });
      this.#writtenJson = json;
      this.#staleSinceMs = this.#changedAtMs; // what changed during the write is no older than its last change
    } catch (error) {
      this.#onError(error);
      waitMs = RETRY_MS;
      if (error instanceof IndeterminateError) {
        this.#writtenJson = "";
        this.#lookIn(FIRST_LOOK_MS);
      }
    }
    this.#writeIn(waitMs);
  }

  #lookIn(delayMs: number): void {
    this.#forgetLook();
    this.#nextLookMs = delayMs * 2;
    this.#forgetLook = this.#clock.schedule(delayMs, () => void this.#look());
  }

  /** Writes anew what is wanted, if the pod does not say it. */
  async #look(): Promise<void> {
    if (this.#nextLookMs <= LAST_LOOK_MS) this.#lookIn(this.#nextLookMs);
    const written = this.#writtenJson;
    try {
      const pod = await this.#api.get<KubeObject>(this.#pod, { timeoutMs: 5000, maxRetries: 0 });
      const said = pod?.metadata.annotations?.[ANNOTATION_MEMBER_STATUS] ?? "";
      if (this.#busy || said === this.#wantedJson || this.#writtenJson !== written) return;
      this.#writtenJson = said;
      this.#writeIn(MIN_INTERVAL_MS);
    } catch (error) {
      this.#onError(error); // the next look will tell
    }
  }
}
