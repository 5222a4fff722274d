// The calls of `KubeApi` over one `Transport`: paths, bodies, retries, and errors converted once.
import { type Clock, type Random, sleep, systemClock } from "../clock.ts";
import { IndeterminateError, RetryableError } from "../errors.ts";
import type {
  ApplyOptions,
  CallOptions,
  DeleteOptions,
  DeleteResult,
  KubeApi,
  ListOptions,
  ObjectList,
  Selection,
  WatchEvent,
  WatchOptions,
  WriteOptions,
} from "./api.ts";
import { ApiStatusError, apiStatusOf, fromApiError, TransportError } from "./api-error.ts";
import type { Connection } from "./connection.ts";
import { Discovery, groupVersionPath, type Resource } from "./discovery.ts";
import { describeRef, type KindRef, type KubeObject, type ObjectRef, refOf, type Stored } from "./object.ts";
import { PodReader } from "./pod-reader.ts";
import { kindOf, pathOf, selectionQuery, SUBRESOURCE_PARENTS, withQuery } from "./request-path.ts";
import { type HttpAnswer, type HttpRequest, parseJson, Transport, type TransportOptions } from "./transport.ts";
import { parseWatch } from "./watch-stream.ts";

/** The verbs of the API server, as RBAC and its own metrics name them; `apply` is a patch there. */
export const VERBS = ["get", "list", "watch", "create", "update", "apply", "patch", "delete"] as const;
export type Verb = (typeof VERBS)[number];

/** One exchange with the API server, retries counted one by one. */
export interface ApiCall {
  readonly verb: Verb;
  /** Plural name, such as `leases`. */
  readonly resource: string;
  /** HTTP status, or `0` when no answer came. */
  readonly code: number;
  /** Until the whole answer was read; for watches until it was accepted. */
  readonly seconds: number;
}

export interface KubeClientOptions extends TransportOptions {
  readonly random?: Random;
  /** Called after every exchange; must not throw. */
  readonly observe?: (call: ApiCall) => void;
}

interface Call {
  readonly verb: Verb;
  readonly resource: string;
  readonly http: HttpRequest;
  /** For messages. */
  readonly object: string;
  readonly options: CallOptions;
}

const DEFAULT_TIMEOUT_MS = 30_000;
const DEFAULT_MAX_RETRIES = 3;
const FIRST_RETRY_MS = 100;
const READS: readonly Verb[] = ["get", "list", "watch"];
// Sent twice, these leave the same state as sent once. `update` is not among them: its second try would meet its own first.
const IDEMPOTENT: readonly Verb[] = [...READS, "apply", "delete"];

/** Calls one API server as one identity. Create one per process; `close` it at the end. */
export class KubeClient implements KubeApi {
  /** Namespace of the pod or of the kubeconfig context. */
  readonly namespace: string;
  /** What pods print and answer. */
  readonly pods: PodReader;
  readonly #transport: Transport;
  readonly #discovery: Discovery;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #observe: (call: ApiCall) => void;

  constructor(connection: Connection, options: KubeClientOptions = {}) {
    this.namespace = connection.namespace;
    this.#transport = new Transport(connection, options);
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#observe = options.observe ?? (() => undefined);
    this.#discovery = new Discovery((apiVersion) => this.#readKinds(apiVersion));
    this.pods = new PodReader(this.#transport, (...part) => this.#path(...part));
  }

  /** Breaks off calls and watches that are under way and closes the connections. */
  close(): void {
    this.#transport.close();
  }

  async get<T extends KubeObject>(ref: ObjectRef, options: CallOptions = {}): Promise<Stored<T> | undefined> {
    try {
      return await this.#object<T>("get", ref, { method: "GET", path: await this.#path(ref, ref.name) }, options);
    } catch (error) {
      const status = apiStatusOf(error);
      // Without the name in it, a 404 speaks of the path: the kind is not served, which does not make the object absent.
      if (status?.code === 404 && status.objectName === ref.name) return undefined;
      throw error;
    }
  }

  async list<T extends KubeObject>(selection: Selection, options: ListOptions = {}): Promise<ObjectList<T>> {
    const query = selectionQuery(selection);
    if (options.limit !== undefined) query.set("limit", String(options.limit));
    if (options.continue !== undefined) query.set("continue", options.continue);
    const http: HttpRequest = { method: "GET", path: withQuery(await this.#path(selection), query) };
    const list = await this.#json<RawList<T>>("list", selection, http, options);
    const { apiVersion, kind } = selection;
    const token = list.metadata.continue;
    return {
      items: (list.items ?? []).map((item) => ({ ...item, apiVersion, kind })),
      resourceVersion: list.metadata.resourceVersion,
      ...(token === undefined || token === "" ? {} : { continue: token }),
    };
  }

  async create<T extends KubeObject>(object: T, options: WriteOptions = {}): Promise<Stored<T>> {
    // A subresource (eviction, token) is created under the name of its object.
    const name = options.subresource === undefined ? undefined : object.metadata.name;
    const parent =
      options.subresource === undefined ? object : { ...object, ...SUBRESOURCE_PARENTS[options.subresource] };
    const path = await this.#path(
      { ...kindOf(parent), namespace: object.metadata.namespace },
      name,
      options.subresource,
    );
    return this.#write(
      "create",
      { ...kindOf(object), ...object.metadata },
      { method: "POST", path, body: JSON.stringify(object) },
      options,
    );
  }

  async update<T extends KubeObject>(object: T, options: WriteOptions = {}): Promise<Stored<T>> {
    const ref = refOf(object);
    if (object.metadata.resourceVersion === undefined)
      throw new TypeError(`${describeRef(ref)} without resourceVersion`);
    const path = await this.#path(ref, ref.name, options.subresource);
    return this.#write("update", ref, { method: "PUT", path, body: JSON.stringify(object) }, options);
  }

  async apply<T extends KubeObject>(desired: T, options: ApplyOptions): Promise<Stored<T>> {
    const ref = refOf(desired);
    const query = new URLSearchParams({ fieldManager: options.fieldManager });
    if (options.force === true) query.set("force", "true");
    const path = withQuery(await this.#path(ref, ref.name, options.subresource), query);
    const contentType = "application/apply-patch+yaml"; // JSON is YAML
    return this.#write("apply", ref, { method: "PATCH", path, contentType, body: JSON.stringify(desired) }, options);
  }

  async mergePatch<T extends KubeObject>(
    ref: ObjectRef,
    patch: object,
    options: WriteOptions = {},
  ): Promise<Stored<T>> {
    const path = await this.#path(ref, ref.name, options.subresource);
    const contentType = "application/merge-patch+json";
    return this.#write("patch", ref, { method: "PATCH", path, contentType, body: JSON.stringify(patch) }, options);
  }

  async delete(ref: ObjectRef, options: DeleteOptions = {}): Promise<DeleteResult> {
    const { uid, resourceVersion, gracePeriodSeconds, propagationPolicy = "Background" } = options;
    const body = {
      apiVersion: "v1",
      kind: "DeleteOptions",
      propagationPolicy,
      ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
      ...(uid === undefined && resourceVersion === undefined ? {} : { preconditions: { uid, resourceVersion } }),
      ...(options.dryRun === true ? { dryRun: ["All"] } : {}),
    };
    const http: HttpRequest = {
      method: "DELETE",
      path: await this.#path(ref, ref.name),
      contentType: "application/json",
      body: JSON.stringify(body),
    };
    try {
      const answer = await this.#json<KubeObject>("delete", ref, http, options);
      return answer.kind === "Status" || answer.metadata.deletionTimestamp === undefined ? "Deleted" : "Deleting";
    } catch (error) {
      const status = apiStatusOf(error);
      if (status?.code === 404 && status.objectName === ref.name) return "Absent";
      throw error;
    }
  }

  async *watch<T extends KubeObject>(
    selection: Selection,
    options: WatchOptions = {},
  ): AsyncGenerator<WatchEvent<T>, void, void> {
    const query = selectionQuery(selection);
    query.set("watch", "true");
    query.set("allowWatchBookmarks", "true");
    if (options.resourceVersion !== undefined) query.set("resourceVersion", options.resourceVersion);
    if (options.timeoutSeconds !== undefined) query.set("timeoutSeconds", String(options.timeoutSeconds));
    if (options.sendInitialEvents === true) {
      query.set("sendInitialEvents", "true");
      query.set("resourceVersionMatch", "NotOlderThan");
    }
    const object = describeRef(selection);
    const startedMs = this.#clock.monotonicMs();
    const limits = { signal: options.signal, timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS };
    let code = 0;
    try {
      const resource = await this.#resource(selection);
      const http: HttpRequest = { method: "GET", path: withQuery(pathOf(selection, resource), query) };
      const report = () => this.#report({ verb: "watch", resource: resource.plural }, code, startedMs);
      const stream = await this.#transport.stream(http, limits).catch((error: unknown) => {
        report();
        throw error;
      });
      code = stream.status;
      report();
      if (stream.status !== 200) {
        if (stream.status === 401) this.#transport.refreshCredentials();
        let body = "";
        for await (const text of stream.text) body += text;
        throw new ApiStatusError(stream.status, parseJson(body), stream.retryAfterMs);
      }
      yield* parseWatch<T>(stream.text, selection);
    } catch (error) {
      if (code === 200 && error instanceof TransportError) {
        throw new RetryableError("The watch broke", { reason: "WatchBroken", object, cause: error });
      }
      throw fromApiError(error, object, false);
    }
  }

  async #write<T extends KubeObject>(
    verb: Verb,
    ref: Partial<ObjectRef> & KindRef,
    http: HttpRequest,
    options: WriteOptions,
  ): Promise<Stored<T>> {
    const path = options.dryRun === true ? withQuery(http.path, new URLSearchParams({ dryRun: "All" })) : http.path;
    return this.#object(verb, ref, { contentType: "application/json", ...http, path }, options);
  }

  /** As `#json`, for answers that are an object. */
  #object<T extends KubeObject>(
    verb: Verb,
    ref: Partial<ObjectRef> & KindRef,
    http: HttpRequest,
    options: CallOptions,
  ): Promise<Stored<T>> {
    return this.#json<Stored<T>>(verb, ref, http, options);
  }

  async #json<A>(verb: Verb, ref: Partial<ObjectRef> & KindRef, http: HttpRequest, options: CallOptions): Promise<A> {
    const resource = await this.#discovery.find(ref);
    const { body } = await this.#send({
      verb,
      resource: resource?.plural ?? ref.kind,
      http,
      object: describeRef(ref),
      options,
    });
    return body as A; // the server's own schema guards its shape; checking it here would cost more than parsing
  }

  /** Sends a call, again where that is safe, within one deadline. @throws {OperatorError} */
  async #send(call: Call): Promise<{ readonly body: unknown }> {
    const { signal, timeoutMs = DEFAULT_TIMEOUT_MS, maxRetries = DEFAULT_MAX_RETRIES } = call.options;
    const deadlineMs = this.#clock.monotonicMs() + timeoutMs;
    let refreshed = false;
    for (let tries = 0; ; tries += 1) {
      try {
        const remainingMs = deadlineMs - this.#clock.monotonicMs();
        return { body: await this.#exchange(call, { signal, timeoutMs: remainingMs }) };
      } catch (error) {
        const failure = fromApiError(error, call.object, !READS.includes(call.verb));
        if (apiStatusOf(failure)?.code === 401 && !refreshed) {
          refreshed = true; // the token may have been rotated since it was read
          this.#transport.refreshCredentials();
          continue;
        }
        if (tries >= maxRetries || !isWorthRepeating(call.verb, failure)) throw failure;
        const delayMs = Math.max(retryAfterOf(failure), FIRST_RETRY_MS * 2 ** tries * (0.5 + this.#random()));
        if (delayMs >= deadlineMs - this.#clock.monotonicMs()) throw failure;
        if (!(await sleep(this.#clock, delayMs, signal))) throw failure;
      }
    }
  }

  async #exchange(call: Call, limits: { signal: AbortSignal | undefined; timeoutMs: number }): Promise<unknown> {
    const startedMs = this.#clock.monotonicMs();
    let answer: HttpAnswer | undefined;
    try {
      answer = await this.#transport.call(call.http, limits);
    } finally {
      this.#report(call, answer?.status ?? 0, startedMs);
    }
    const body = parseJson(answer.body);
    if (answer.status >= 300) throw new ApiStatusError(answer.status, body, answer.retryAfterMs);
    if (body === undefined) throw new TransportError("BAD_JSON", true);
    return body;
  }

  #report(call: { readonly verb: Verb; readonly resource: string }, code: number, startedMs: number): void {
    this.#observe({
      verb: call.verb,
      resource: call.resource,
      code,
      seconds: (this.#clock.monotonicMs() - startedMs) / 1000,
    });
  }

  async #path(
    ref: KindRef & { readonly namespace?: string | undefined },
    name?: string,
    subresource?: string,
  ): Promise<string> {
    const parts = [pathOf(ref, await this.#resource(ref)), name && encodeURIComponent(name), subresource];
    return parts.filter((part) => part !== undefined).join("/");
  }

  async #resource(ref: KindRef): Promise<Resource> {
    const resource = await this.#discovery.find(ref);
    if (resource !== undefined) return resource;
    const details = { reason: "KindNotServed", object: `${ref.apiVersion} ${ref.kind}` };
    throw new RetryableError("The API server does not serve this kind (yet)", details);
  }

  async #readKinds(apiVersion: string): Promise<ReadonlyMap<string, Resource> | undefined> {
    try {
      const http: HttpRequest = { method: "GET", path: groupVersionPath(apiVersion) };
      const { body } = await this.#send({ verb: "get", resource: "discovery", http, object: apiVersion, options: {} });
      const own = (body as RawResourceList).resources.filter((resource) => !resource.name.includes("/"));
      return new Map(own.map(({ kind, name, namespaced }) => [kind, { plural: name, namespaced }]));
    } catch (error) {
      if (apiStatusOf(error)?.code === 404) return undefined;
      throw error;
    }
  }
}

interface RawList<T extends KubeObject> {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
  readonly items: readonly Stored<T>[] | null;
}

interface RawResourceList {
  readonly resources: readonly { readonly kind: string; readonly name: string; readonly namespaced: boolean }[];
}

function isWorthRepeating(verb: Verb, failure: unknown): boolean {
  if (!(failure instanceof RetryableError || failure instanceof IndeterminateError)) return false;
  const { cause } = failure;
  if (cause instanceof TransportError) {
    if (cause.code === "ABORTED" || cause.code === "DEADLINE" || cause.code === "CLOSED") return false;
    return !cause.sent || READS.includes(verb);
  }
  const code = apiStatusOf(failure)?.code;
  return IDEMPOTENT.includes(verb) && (code === 429 || code === 503);
}

function retryAfterOf(failure: unknown): number {
  return apiStatusOf(failure)?.retryAfterMs ?? 0;
}
