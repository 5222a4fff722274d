/**
 * The leader's EndpointSlices: `-rw` names the leader, `-ro` the followers that are close enough.
 * Written with PUT and the resourceVersion of a read after our own acquisition, never with apply or force, so that a leader
 * that slept cannot take the traffic back.
 */
import { ANNOTATION_EPOCH } from "../../api/names.ts";
import { CLIENT_TLS_PORT } from "../../api/services.ts";
import { isConflict } from "../../kube/api-error.ts";
import type { KubeApi } from "../../kube/api.ts";
import type { KubeObject, ObjectRef, Stored } from "../../kube/object.ts";

/** One pod behind a Service. */
export interface Endpoint {
  readonly pod: string;
  readonly podUid: string;
  readonly address: string;
  readonly node: string;
}

interface SliceEndpoint {
  readonly addresses: readonly string[];
  readonly conditions: { readonly ready: boolean; readonly serving: boolean; readonly terminating: boolean };
  readonly nodeName: string;
  readonly targetRef: { readonly kind: "Pod"; readonly namespace: string; readonly name: string; readonly uid: string };
}

/** The fields of a discovery.k8s.io/v1 EndpointSlice that are read and written. */
export interface SliceObject extends KubeObject {
  readonly addressType: string;
  readonly endpoints?: readonly SliceEndpoint[] | null;
  readonly ports?: readonly { readonly name?: string; readonly port?: number; readonly protocol?: string }[] | null;
}

/** How a write of a slice ended. `outranked`: a higher epoch has written it, we are not the leader any more. */
export type RouteOutcome = "written" | "unchanged" | "outranked" | "absent";

const ROUTE_TIMEOUT_MS = 1000;
const CONFLICT_TRIES = 4;

/** Writes one slice. */
export class RouteWriter {
  readonly #api: KubeApi;
  readonly #ref: ObjectRef;
  readonly #namespace: string;
  readonly #tlsPort: number | undefined;
  #prepared: { readonly epoch: number; readonly slice: Stored<SliceObject> } | undefined;

  /** @param tlsPort - At which clients speak TLS, where that is a port of its own. */
  constructor(api: KubeApi, namespace: string, name: string, tlsPort?: number) {
    this.#api = api;
    this.#namespace = namespace;
    this.#ref = { apiVersion: "discovery.k8s.io/v1", kind: "EndpointSlice", namespace, name };
    this.#tlsPort = tlsPort;
  }

  /**
   * Reads the slice ahead of the first write of `epoch`, whose Lease must be held: that write then needs one request, and
   * finds the connection open. What changes meanwhile makes it a conflict.
   *
   * @throws OperatorError when the API server does not answer in time.
   */
  async prepare(epoch: number): Promise<void> {
    const slice = await this.#read();
    this.#prepared = slice === undefined ? undefined : { epoch, slice };
  }

  /**
   * Makes the slice name exactly `endpoints`, for `epoch`.
   *
   * @param mayWrite - Asked right before each send: false once our own fence deadline is near.
   * @throws OperatorError when the API server does not take the write in time.
   */
  async write(endpoints: readonly Endpoint[], epoch: number, mayWrite: () => boolean): Promise<RouteOutcome> {
    const prepared = this.#prepared?.epoch === epoch ? this.#prepared.slice : undefined;
    this.#prepared = undefined;
    for (let attempt = 1; ; attempt++) {
      const current = (attempt === 1 ? prepared : undefined) ?? (await this.#read());
      if (current === undefined) return "absent";
      if (epochOf(current) > epoch || !mayWrite()) return "outranked";
      const next = { ...current, ...this.#content(current, endpoints, epoch) };
      if (sameRoute(current, next)) return "unchanged";
      try {
        await this.#api.update<SliceObject>(next, { timeoutMs: ROUTE_TIMEOUT_MS, maxRetries: 0 });
        return "written";
      } catch (error) {
        if (!isConflict(error) || attempt >= CONFLICT_TRIES) throw error;
      }
    }
  }

  /** Epoch that last wrote the slice; 0 when there is none. @throws OperatorError when the API server does not answer. */
  async epoch(): Promise<number> {
    const current = await this.#read();
    return current === undefined ? 0 : epochOf(current);
  }

  /** A slice that was made before the engine had that port lacks it. */
  #ports(ports: SlicePorts): SlicePorts {
    const port = this.#tlsPort;
    if (port === undefined || ports.some(({ name }) => name === CLIENT_TLS_PORT)) return ports;
    return [...ports, { name: CLIENT_TLS_PORT, port, protocol: "TCP" }];
  }

  #read(): Promise<Stored<SliceObject> | undefined> {
    return this.#api.get<SliceObject>(this.#ref, { timeoutMs: ROUTE_TIMEOUT_MS, maxRetries: 0 });
  }

  #content(
    current: Stored<SliceObject>,
    endpoints: readonly Endpoint[],
    epoch: number,
  ): Pick<SliceObject, "metadata" | "endpoints" | "ports"> {
    return {
      ports: this.#ports(current.ports ?? []),
      metadata: {
        ...current.metadata,
        annotations: { ...current.metadata.annotations, [ANNOTATION_EPOCH]: String(epoch) },
      },
      endpoints: endpoints.map((endpoint) => ({
        addresses: [endpoint.address],
        conditions: { ready: true, serving: true, terminating: false },
        nodeName: endpoint.node,
        targetRef: { kind: "Pod", namespace: this.#namespace, name: endpoint.pod, uid: endpoint.podUid },
      })),
    };
  }
}

type SlicePorts = NonNullable<SliceObject["ports"]>;

/** Epoch that last wrote a slice; 0 for a new one. */
export function epochOf(slice: SliceObject): number {
  const epoch = Number(slice.metadata.annotations?.[ANNOTATION_EPOCH] ?? "0");
  return Number.isSafeInteger(epoch) ? epoch : 0;
}

function sameRoute(a: SliceObject, b: SliceObject): boolean {
  const key = (slice: SliceObject): string =>
    JSON.stringify([
      epochOf(slice),
      (slice.ports ?? []).length,
      (slice.endpoints ?? []).map((endpoint) => [endpoint.addresses, endpoint.targetRef?.uid]),
    ]);
  return key(a) === key(b);
}
