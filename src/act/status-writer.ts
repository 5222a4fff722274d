// The one place that writes the status of ClusterSpecs.
import type { ClusterStatus } from "../api/cluster-status.ts";
import { API_VERSION } from "../api/names.ts";
import { canonicalJson } from "../build/hash.ts";
import type { Clock } from "../clock.ts";
import { deepFreeze } from "../kube/deep-freeze.ts";
import type { KubeApi } from "../kube/api.ts";
import type { KubeObject, Stored } from "../kube/object.ts";
import type { ClusterView } from "../plan/observation.ts";
import { settleMs } from "../status/urgency.ts";
import { STATUS_FIELD_MANAGER } from "./field-manager.ts";

interface WithStatus extends KubeObject {
  readonly status: ClusterStatus;
}

/** A status that is not stored yet. */
interface HeldBack {
  readonly uid: string;
  /** The stored status that it will replace, as text. */
  readonly over: string;
  readonly status: ClusterStatus;
  /** Since when it, or what it took the place of, is held back. */
  readonly sinceMs: number;
}

/** What became of a status. */
export interface StatusOutcome {
  /** The object as stored; undefined when nothing was written. */
  readonly written: Stored<KubeObject> | undefined;
  /** When it is written, if nothing else is until then; undefined when nothing waits. */
  readonly dueInMs: number | undefined;
}

/** Nothing was to be written. */
export const UNREPORTED: StatusOutcome = { written: undefined, dueInMs: undefined };

/** Writes statuses: urgent news at once, the rest together. What is held back is lost with the process; the next one finds it again. */
export class StatusWriter {
  readonly #api: Pick<KubeApi, "apply">;
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #heldBack = new Map<string, HeldBack>();

  constructor(api: Pick<KubeApi, "apply">, clock: Pick<Clock, "monotonicMs">) {
    this.#api = api;
    this.#clock = clock;
  }

  /** The status that was reported last, whether it is stored or held back; what happened since is news. */
  lastOf(cluster: ClusterView): ClusterStatus {
    const held = this.#heldBack.get(keyOf(cluster));
    if (held?.uid !== cluster.uid) return cluster.status;
    return held.over === canonicalJson(cluster.status) ? held.status : cluster.status;
  }

  /** Sees to it that `status` is stored, at once or soon. @param cluster - As stored. */
  async write(cluster: ClusterView, status: ClusterStatus, signal: AbortSignal): Promise<StatusOutcome> {
    const key = keyOf(cluster);
    const over = canonicalJson(cluster.status);
    if (canonicalJson(status) === over) {
      this.#heldBack.delete(key);
      return UNREPORTED;
    }
    const nowMs = this.#clock.monotonicMs();
    const held = this.#heldBack.get(key);
    const sinceMs = held?.uid === cluster.uid && held.over === over ? held.sinceMs : nowMs;
    const dueMs = sinceMs + settleMs(cluster.status, status);
    if (nowMs < dueMs) {
      this.#heldBack.set(key, { uid: cluster.uid, over, status: deepFreeze(status), sinceMs });
      return { written: undefined, dueInMs: dueMs - nowMs };
    }
    const { namespace, name, uid, resourceVersion } = cluster;
    const object: WithStatus = {
      apiVersion: API_VERSION,
      kind: "ClusterSpec",
      // A namesake made meanwhile must not get it. Nor may it take the place of a newer status when its request is carried out long
      // after it was given up: nobody would look before the next resync.
      metadata: { namespace, name, uid, resourceVersion },
      status,
    };
    const options = { fieldManager: STATUS_FIELD_MANAGER, force: true, subresource: "status", signal } as const;
    const written = await this.#api.apply(object, options);
    this.#heldBack.delete(key);
    return { written, dueInMs: undefined };
  }

  /** Drops what is held back for a cluster that is gone. @param key - `namespace/name`. */
  forget(key: string): void {
    this.#heldBack.delete(key);
  }
}

function keyOf({ namespace, name }: ClusterView): string {
  return `${namespace}/${name}`;
}
