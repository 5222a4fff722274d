/** What this member says of itself on its own Pod; written when it changes, and never more often than twice a second. */
import { ANNOTATION_MEMBER_STATUS, LABEL_ROLE } from "../../api/names.ts";
import type { MemberReport } from "../../api/agent-wire.ts";
import type { Clock } from "../../clock.ts";
import type { KubeApi } from "../../kube/api.ts";
import type { ObjectRef } from "../../kube/object.ts";

const MIN_INTERVAL_MS = 500;
/**
 * Wait before a change is written. A failover changes every member's report several times within half a second, and each
 * write makes kubelet and operator look at the pod anew: that work is better done when writes go on.
 */
const SETTLE_MS = 300;
const RETRY_MS = 2000;

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
  #writtenJson = "";
  #busy = false;

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
    this.#wanted = report;
    if (!this.#busy) this.#writeIn(SETTLE_MS);
  }

  #writeIn(delayMs: number): void {
    this.#busy = true;
    this.#clock.schedule(delayMs, () => void this.#write());
  }

  async #write(): Promise<void> {
    const report = this.#wanted;
    const json = JSON.stringify(report);
    if (report === undefined || json === this.#writtenJson) {
      this.#busy = false;
      return;
    }
    let waitMs = MIN_INTERVAL_MS;
    try {
      const metadata = {
        uid: this.#podUid, // a pod of the same name that came after ours is not ours to label
        labels: { [LABEL_ROLE]: report.role },
        annotations: { [ANNOTATION_MEMBER_STATUS]: json },
      };
      await this.#api.mergePatch(this.#pod, { metadata }, { timeoutMs: 5000, maxRetries: 0 });
      this.#writtenJson = json;
    } catch (error) {
      this.#onError(error);
      waitMs = RETRY_MS;
    }
    this.#writeIn(waitMs);
  }
}
