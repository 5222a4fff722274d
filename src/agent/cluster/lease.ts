/** The leader Lease as the protocol sees it: a register with compare-and-swap. Reads and writes the Kubernetes object. */
import * as z from "zod";
import {
  ANNOTATION_ATTEMPT,
  ANNOTATION_FAILOVERS,
  ANNOTATION_HANDOVER,
  ANNOTATION_LEADER,
  ANNOTATION_SYNC,
} from "../../api/names.ts";
import { IndeterminateError } from "../../errors.ts";
import type { KubeApi } from "../../kube/api.ts";
import type { KubeObject, ObjectRef, Stored } from "../../kube/object.ts";
import { isConflict } from "../../kube/api-error.ts";
import { Reflector, type ReflectorOptions } from "../../kube/reflector.ts";
import type { EventBody } from "../protocol/exchange.ts";
import type { LeaseContent, LeaseView, SyncSet } from "../protocol/types.ts";
import { WATCH_TIMING } from "../watch-timing.ts";

/** The fields of a coordination.k8s.io/v1 Lease that are read. */
export interface LeaseObject extends KubeObject {
  readonly spec?: {
    readonly holderIdentity?: string;
    readonly leaseTransitions?: number;
    readonly leaseDurationSeconds?: number;
    readonly acquireTime?: string;
    readonly renewTime?: string;
  };
}

/** How a write of the Lease ended; see the protocol's LeaseWriteResult. */
export type LeaseWriteOutcome =
  | { readonly result: "ok"; readonly resourceVersion: string }
  | { readonly result: "conflict" | "failed" | "indeterminate"; readonly resourceVersion: null };

const SyncBaseJson = z.object({
  leader: z.string(),
  mode: z.enum(["Quorum", "Async", "All"]),
  names: z.array(z.string()),
  ack: z.int(),
});
const SyncSetJson = SyncBaseJson.extend({
  epoch: z.int(),
  version: z.int(),
  lineage: z.array(z.int()),
  unproven: z.array(SyncBaseJson),
});

/** No read or write of the Lease may take longer: a write that waits in a queue of the API server is worse than none. */
const LEASE_TIMEOUT_MS = 1000;

/** Access to one cluster's Lease. */
export class LeaseRegister {
  readonly ref: ObjectRef;
  readonly #api: KubeApi;
  readonly #leaseSeconds: () => number;
  /** The newest object seen: a PUT must carry the metadata that others own. */
  #last: Stored<LeaseObject> | undefined;

  constructor(api: KubeApi, ref: ObjectRef, leaseSeconds: () => number) {
    this.#api = api;
    this.ref = ref;
    this.#leaseSeconds = leaseSeconds;
  }

  /** Takes in an object that a watch delivered. */
  view(object: Stored<LeaseObject>): LeaseView {
    this.#last = object;
    return { resourceVersion: object.metadata.resourceVersion, content: contentOf(object) };
  }

  /** Linearizable read. @returns undefined when there is no Lease. @throws OperatorError when the API server does not answer. */
  async read(): Promise<LeaseView | undefined> {
    const object = await this.#api.get<LeaseObject>(this.ref, { timeoutMs: LEASE_TIMEOUT_MS, maxRetries: 0 });
    return object === undefined ? undefined : this.view(object);
  }

  /** One PUT, never repeated. `now` is written as renewTime for people to read; nothing decides on it. */
  async write(casResourceVersion: string, content: LeaseContent, now: Date): Promise<LeaseWriteOutcome> {
    const base = this.#last;
    if (base === undefined) return { result: "failed", resourceVersion: null };
    try {
      const stored = await this.#api.update<LeaseObject>(this.#object(base, casResourceVersion, content, now), {
        timeoutMs: LEASE_TIMEOUT_MS,
        maxRetries: 0,
      });
      this.#last = stored;
      return { result: "ok", resourceVersion: stored.metadata.resourceVersion };
    } catch (error) {
      if (isConflict(error)) return { result: "conflict", resourceVersion: null };
      return { result: error instanceof IndeterminateError ? "indeterminate" : "failed", resourceVersion: null };
    }
  }

  #object(base: Stored<LeaseObject>, resourceVersion: string, content: LeaseContent, now: Date): LeaseObject {
    const time = microTime(now);
    const taken = base.spec?.leaseTransitions !== content.epoch || base.spec?.holderIdentity !== content.holder;
    return {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: {
        ...base.metadata,
        resourceVersion,
        annotations: {
          ...base.metadata.annotations,
          [ANNOTATION_LEADER]: content.leader,
          [ANNOTATION_HANDOVER]: content.handover,
          [ANNOTATION_ATTEMPT]: String(content.attempt),
          [ANNOTATION_FAILOVERS]: String(content.failovers),
          ...(content.sync === null ? {} : { [ANNOTATION_SYNC]: JSON.stringify(content.sync) }),
        },
      },
      spec: {
        holderIdentity: content.holder,
        leaseTransitions: content.epoch,
        leaseDurationSeconds: this.#leaseSeconds(),
        acquireTime: taken ? time : (base.spec?.acquireTime ?? time),
        renewTime: time,
      },
    };
  }
}

/** Until when a Lease is followed, and by which clock; the machine's where none is given. */
export interface FollowOptions extends Pick<ReflectorOptions<LeaseObject>, "clock" | "random"> {
  readonly signal: AbortSignal;
}

/** Tells every change of the Lease until `signal` aborts. */
export async function followLease(
  api: KubeApi,
  register: LeaseRegister,
  dispatch: (body: EventBody) => void,
  { signal, ...timing }: FollowOptions,
): Promise<void> {
  const seen = (object: Stored<LeaseObject>): void =>
    dispatch({ type: "LeaseObserved", readId: null, lease: register.view(object) });
  const reflector = new Reflector<LeaseObject>({
    ...WATCH_TIMING,
    ...timing,
    api,
    selection: register.ref,
    project: (object) => object, // a PUT carries the whole metadata back
    sink: (event) => {
      if (event.type === "Deleted") dispatch({ type: "LeaseGone", readId: null });
      else if (event.type === "Upserted") seen(event.object);
      else if (event.type === "Replaced") event.objects.forEach(seen);
    },
  });
  await reflector.run(signal);
}

/** What a Lease object says in the protocol's words. An unreadable annotation counts as absent: nobody may lead on a guess. */
export function contentOf(object: LeaseObject): LeaseContent {
  const annotations = object.metadata.annotations ?? {};
  return {
    holder: object.spec?.holderIdentity ?? "",
    epoch: object.spec?.leaseTransitions ?? 0,
    leader: annotations[ANNOTATION_LEADER] ?? "",
    handover: annotations[ANNOTATION_HANDOVER] ?? "",
    attempt: countOf(annotations[ANNOTATION_ATTEMPT]),
    failovers: countOf(annotations[ANNOTATION_FAILOVERS]),
    sync: syncOf(annotations[ANNOTATION_SYNC]),
  };
}

function countOf(text: string | undefined): number {
  const count = Number(text ?? "0");
  return Number.isSafeInteger(count) ? count : 0;
}

function syncOf(json: string | undefined): SyncSet | null {
  if (json === undefined || json === "") return null;
  try {
    return SyncSetJson.parse(JSON.parse(json));
  } catch {
    return null;
  }
}

/** RFC 3339 with six digits, as MicroTime wants it. */
function microTime(now: Date): string {
  return now.toISOString().replace("Z", "000Z");
}
