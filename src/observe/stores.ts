// One reflector and one store per watched kind, started and waited for together.
import { INTENT_KEY } from "../api/agent-wire.ts";
import type { Clock, Random } from "../clock.ts";
import type { KubeApi } from "../kube/api.ts";
import type { KubeObject, Stored } from "../kube/object.ts";
import { Reflector, type ReflectorObserver } from "../kube/reflector.ts";
import { type Change, Store } from "../kube/store.ts";
import { WATCHED } from "./kinds.ts";
import { Packing } from "./packed.ts";
import { SharedParts } from "./shared-parts.ts";

/** A change in any store, with the kind it is of. */
export interface AnyChange {
  readonly kind: string;
  readonly change: Change<KubeObject>;
}

export interface StoresOptions {
  readonly api: Pick<KubeApi, "list" | "watch">;
  /** Only this namespace is watched; absent: all. Nodes, Engines and other cluster-scoped kinds are watched in any case. */
  readonly namespace?: string;
  readonly onSubscriberError: (error: unknown) => void;
  /** Observer of one reflector, by the name of its resource. */
  readonly observer?: (resource: string, ageMs: () => number) => ReflectorObserver;
  readonly clock?: Clock;
  readonly random?: Random;
}

const CLUSTER_SCOPED = ["Node", "Engine", "StorageClass", "PriorityClass"];
const GONE_BACK_HOLD_MS = 300_000; // as long as kubelets and controllers may need to show what the restored state lacks

/** Everything the operator knows from watches. */
export class Stores {
  readonly #stores = new Map<string, Store<KubeObject>>();
  readonly #reflectors = new Map<string, Reflector<KubeObject>>();
  #timelines = 0;
  #wentBackMs = Number.NEGATIVE_INFINITY;

  constructor(options: StoresOptions) {
    const { clock, random } = options;
    const parts = new SharedParts();
    const packing = new Packing();
    for (const watched of WATCHED) {
      const { kind } = watched.selection;
      const store = new Store<KubeObject>(kind, { onSubscriberError: options.onSubscriberError });
      const scoped = CLUSTER_SCOPED.includes(kind) ? {} : { namespace: options.namespace };
      const reflector: Reflector<KubeObject> = new Reflector({
        api: options.api,
        selection: { ...watched.selection, ...scoped },
        sink: (event) => store.ingest(event),
        project: (object) => kept(watched.project(object), parts, packing),
        observer: options.observer?.(watched.name, () => reflector.ageMs) ?? {},
        ...(clock === undefined ? {} : { clock }),
        ...(random === undefined ? {} : { random }),
      });
      this.#stores.set(kind, store);
      this.#reflectors.set(kind, reflector);
    }
  }

  /** The store of a watched kind; undefined for kinds that are read by name. */
  find(kind: string): Store<KubeObject> | undefined {
    return this.#stores.get(kind);
  }

  /** The store of a kind known to be watched. @throws {TypeError} when it is not: a bug of the caller. */
  of(kind: string): Store<KubeObject> {
    const store = this.#stores.get(kind);
    if (store === undefined) throw new TypeError(`${kind} is not watched`);
    return store;
  }

  /** Milliseconds since anything was heard of a kind; infinite for one that is not watched. While all is well at most some 90 seconds. */
  ageMs(kind: string): number {
    return this.#reflectors.get(kind)?.ageMs ?? Number.POSITIVE_INFINITY;
  }

  get isSynced(): boolean {
    return [...this.#stores.values()].every((store) => store.isSynced);
  }

  /** Resolves when every store has had its first complete list. */
  async whenSynced(): Promise<void> {
    await Promise.all([...this.#stores.values()].map((store) => store.whenSynced()));
  }

  /** Calls `subscriber` after every change of any kind. @returns the function that ends it. */
  subscribe(subscriber: (change: AnyChange) => void): () => void {
    const ends = WATCHED.map(({ selection }) =>
      this.of(selection.kind).subscribe((change) => subscriber({ kind: selection.kind, change })),
    );
    return () => {
      for (const end of ends) end();
    };
  }

  /** Whether the API server's state was seen to go back in the last five minutes. @param nowMs - Monotonic. */
  wentBackLately(nowMs: number): boolean {
    const timelines = [...this.#stores.values()].reduce((sum, store) => sum + store.timeline, 0);
    if (timelines !== this.#timelines) {
      this.#timelines = timelines;
      this.#wentBackMs = nowMs;
    }
    return nowMs - this.#wentBackMs < GONE_BACK_HOLD_MS;
  }

  /** Watches until `signal` aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([...this.#reflectors.values()].map((reflector) => reflector.run(signal)));
  }
}

interface WithParts extends KubeObject {
  readonly data?: Readonly<Record<string, unknown>>;
  readonly spec?: { readonly template?: unknown };
}

/** The form in which an object is kept: what is large and seldom read as text, the rest with what others have, too. */
function kept(object: Stored<KubeObject>, parts: SharedParts, packing: Packing): Stored<KubeObject> {
  const { data, spec }: WithParts = object;
  const isText = object.kind === "ControllerRevision" || data?.[INTENT_KEY] !== undefined;
  if (data !== undefined && isText)
    return withPart({ data: {} }, (metadata) => ({ data: packing.pack(data, metadata) }));
  const template = object.kind === "StatefulSet" ? spec?.template : undefined;
  if (typeof template !== "object" || template === null) return parts.share(object);
  return withPart({ spec: {} }, (metadata) => ({
    spec: { ...parts.share({ ...spec, template: undefined }), template: packing.pack(template, metadata) },
  }));

  function withPart(without: object, part: (metadata: Stored<KubeObject>["metadata"]) => object): Stored<KubeObject> {
    const shared = parts.share<Stored<KubeObject>>({ ...object, ...without });
    return { ...shared, ...part(shared.metadata) };
  }
}
