/** Keeps the cluster's two EndpointSlices as the leader wants them, also when somebody else changes or deletes them. */
import type { Clock } from "../../clock.ts";
import type { KubeApi } from "../../kube/api.ts";
import { Reflector } from "../../kube/reflector.ts";
import { type Endpoint, epochOf, RouteWriter, type SliceObject } from "./routes.ts";
import { WATCH_TIMING } from "../watch-timing.ts";

/** What a route should be; `null` endpoints were never asked for in this boot. */
interface Wanted {
  readonly endpoints: readonly Endpoint[];
  readonly epoch: number;
}

const RETRY_MS = 200;
const ABSENT_RETRY_MS = 2000;

/** One slice and what it should say. Writes are one at a time and repeat until they stick or another epoch took over. */
class Route {
  readonly #writer: RouteWriter;
  readonly #clock: Clock;
  readonly #mayWrite: () => boolean;
  readonly #onError: (error: unknown) => void;
  #wanted: Wanted | undefined;
  #busy = false;
  #again = false;

  constructor(
    writer: RouteWriter,
    options: { clock: Clock; mayWrite: () => boolean; onError: (error: unknown) => void },
  ) {
    this.#writer = writer;
    this.#clock = options.clock;
    this.#mayWrite = options.mayWrite;
    this.#onError = options.onError;
  }

  /** @param written - Called once the slice says so. */
  want(wanted: Wanted | undefined, written?: () => void): void {
    this.#wanted = wanted;
    if (wanted !== undefined) this.write(written);
  }

  write(written?: () => void): void {
    if (this.#busy) {
      this.#again = true;
      return;
    }
    this.#busy = true;
    void this.#writeUntilDone(written);
  }

  async #writeUntilDone(written?: () => void): Promise<void> {
    let waitMs: number | undefined;
    do {
      this.#again = false;
      waitMs = await this.#writeOnce(written);
    } while (this.#again && waitMs === undefined);
    if (waitMs === undefined) {
      this.#busy = false;
      return;
    }
    this.#clock.schedule(waitMs, () => void this.#writeUntilDone(written));
  }

  /** @returns how long to wait before the next try; undefined when there is none to make. */
  async #writeOnce(written?: () => void): Promise<number | undefined> {
    const wanted = this.#wanted;
    if (wanted === undefined) return undefined;
    try {
      const outcome = await this.#writer.write(wanted.endpoints, wanted.epoch, this.#mayWrite);
      if (outcome === "absent") return ABSENT_RETRY_MS;
      if (outcome === "outranked") this.#wanted = undefined;
      else if (this.#wanted === wanted) written?.();
      return undefined;
    } catch (error) {
      this.#onError(error);
      return RETRY_MS;
    }
  }

  /** Whether a slice seen by the watch is not what we want, and ours to mend. */
  differs(slice: SliceObject): boolean {
    const wanted = this.#wanted;
    if (wanted === undefined || epochOf(slice) > wanted.epoch) return false;
    const uids = (slice.endpoints ?? []).map((endpoint) => endpoint.targetRef?.uid);
    return (
      epochOf(slice) !== wanted.epoch || uids.join() !== wanted.endpoints.map((endpoint) => endpoint.podUid).join()
    );
  }
}

/** The names and ports that the keeper needs. */
export interface RouteKeeperOptions {
  readonly api: KubeApi;
  readonly namespace: string;
  readonly readWrite: string;
  readonly readOnly: string;
  /** At which clients speak TLS, where that is a port of its own. */
  readonly tlsPort?: number | undefined;
  readonly clock: Clock;
  /** False once our own fence deadline is near: from then on traffic may already be somebody else's. */
  readonly mayWrite: () => boolean;
  readonly onError: (error: unknown) => void;
}

/** Both routes of one cluster, from the view of the member that leads. */
export class RouteKeeper {
  readonly #options: RouteKeeperOptions;
  readonly #writeSlice: RouteWriter;
  readonly #readWrite: Route;
  readonly #readOnly: Route;
  #watching: AbortController | undefined;
  #readOnlyKey = "";

  constructor(options: RouteKeeperOptions) {
    this.#options = options;
    const { api, namespace, tlsPort } = options;
    this.#writeSlice = new RouteWriter(api, namespace, options.readWrite, tlsPort);
    this.#readWrite = new Route(this.#writeSlice, options);
    this.#readOnly = new Route(new RouteWriter(api, namespace, options.readOnly, tlsPort), options);
  }

  /** Reads the route of writes ahead of its first write in `epoch`, whose Lease is held. */
  prepareWrites(epoch: number): void {
    this.#writeSlice.prepare(epoch).catch(this.#options.onError);
  }

  /** Names this member as the one that serves writes, or (with no endpoint) withdraws it. */
  routeWrites(endpoint: Endpoint | undefined, epoch: number, written: () => void): void {
    this.#readWrite.want({ endpoints: endpoint === undefined ? [] : [endpoint], epoch }, written);
    if (endpoint === undefined) this.release();
    else this.#watch();
  }

  /** Epoch that last wrote the route of writes; 0 while it cannot be read. */
  async epochOfWrites(): Promise<number> {
    try {
      return await this.#writeSlice.epoch();
    } catch (error) {
      this.#options.onError(error);
      return 0;
    }
  }

  /** Names the members that serve reads; writes only when the set changed. */
  routeReads(endpoints: readonly Endpoint[], epoch: number): void {
    const key = `${epoch}:${endpoints
      .map((one) => `${one.podUid}@${one.address}`)
      .toSorted()
      .join()}`;
    if (key === this.#readOnlyKey) return;
    this.#readOnlyKey = key;
    this.#readOnly.want({ endpoints: endpoints.toSorted((a, b) => (a.pod < b.pod ? -1 : 1)), epoch });
  }

  /** Stops watching over the routes: they are another leader's from now on. */
  release(): void {
    this.#watching?.abort();
    this.#watching = undefined;
    this.#readOnly.want(undefined);
    this.#readOnlyKey = "";
  }

  #watch(): void {
    if (this.#watching !== undefined) return;
    const watching = new AbortController();
    this.#watching = watching;
    for (const [name, route] of [
      [this.#options.readWrite, this.#readWrite],
      [this.#options.readOnly, this.#readOnly],
    ] as const) {
      const check = (slice: SliceObject): void => {
        if (route.differs(slice)) route.write();
      };
      const reflector = new Reflector<SliceObject>({
        ...WATCH_TIMING,
        api: this.#options.api,
        selection: {
          apiVersion: "discovery.k8s.io/v1",
          kind: "EndpointSlice",
          namespace: this.#options.namespace,
          name,
        },
        sink: (event) => {
          if (event.type === "Upserted") check(event.object);
          else if (event.type === "Replaced") event.objects.forEach(check);
          else if (event.type === "Deleted") route.write();
        },
      });
      reflector.run(watching.signal).catch(this.#options.onError);
    }
  }
}
