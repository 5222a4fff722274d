// One actor's way to the model API server: what `KubeClient` is in production, with every request and every event of a watch on
// the simulated network.
import { RetryableError } from "../../src/errors.ts";
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
} from "../../src/kube/api.ts";
import { ApiStatusError, fromApiError, TransportError } from "../../src/kube/api-error.ts";
import { describeRef, type KubeObject, type ObjectRef, type Stored } from "../../src/kube/object.ts";
import type { FaultPlan, WriteFault } from "./faults.ts";
import { type Any, type ModelApi, status } from "./model-api.ts";
import { API, type Network } from "./network.ts";
import type { Actor, Scheduler } from "./scheduler.ts";
import { WatchConnection } from "./watch-connection.ts";

/** Everything a client is connected to. */
export interface ClientParts {
  readonly scheduler: Scheduler;
  readonly network: Network;
  readonly api: ModelApi;
  readonly faults: FaultPlan;
  /** Ends the actor's process, as a fault asks for. */
  readonly crash: (actor: Actor) => void;
  /** Something threw that is no error of a call. */
  readonly onBug: (who: string, error: unknown) => void;
  /** Sees every request as it is carried out; oracles look at what was asked, not only at what came of it. */
  readonly onRequest: (request: Request) => void;
  /** Carries out an eviction. @throws {ApiStatusError} when the budget does not allow it. */
  readonly evict: (namespace: string, pod: string, by: string) => void;
}

/** One write as it is carried out. */
export interface Request {
  readonly by: string;
  readonly verb: "create" | "update" | "apply" | "patch" | "delete";
  readonly ref: { readonly kind: string; readonly namespace?: string | undefined; readonly name: string };
  readonly body?: Any;
  readonly uid?: string | undefined;
  readonly subresource?: string | undefined;
}

interface Call<A> {
  readonly object: string;
  /** What to note of it; absent for reads. */
  readonly write?: string;
  readonly options: CallOptions;
  readonly carryOut: () => A;
}

const DEFAULT_TIMEOUT_MS = 30_000;
/** The Lease by which operators elect one of them. */
export const OPERATOR_LEASE = "quorate-operator";

/** Calls the model as one actor. */
export class SimClient implements KubeApi {
  readonly #actor: Actor;
  readonly #parts: ClientParts;

  constructor(actor: Actor, parts: ClientParts) {
    this.#actor = actor;
    this.#parts = parts;
  }

  get<T extends KubeObject>(ref: ObjectRef, options: CallOptions = {}): Promise<Stored<T> | undefined> {
    const carryOut = () => this.#parts.api.get(ref) as Stored<T> | undefined;
    return this.#exchange({ object: describeRef(ref), options, carryOut });
  }

  list<T extends KubeObject>(selection: Selection, options: ListOptions = {}): Promise<ObjectList<T>> {
    const { api } = this.#parts;
    const carryOut = () => ({
      items: [...api.list(selection)] as unknown as Stored<T>[],
      resourceVersion: String(api.revision),
    });
    return this.#exchange({ object: describeRef(selection), options, carryOut });
  }

  create<T extends KubeObject>(object: T, options: WriteOptions = {}): Promise<Stored<T>> {
    const { name = "", namespace } = object.metadata;
    if (options.subresource === "eviction") {
      return this.#write("create", { kind: "Pod", namespace, name }, options, () => {
        this.#parts.evict(namespace ?? "", name, this.#actor.name);
        return object as Stored<T>;
      });
    }
    const body = object as Any;
    return this.#write(
      "create",
      { kind: object.kind, namespace, name },
      { ...options, body },
      (by) => this.#parts.api.create(body, { by, dryRun: options.dryRun }) as unknown as Stored<T>,
    );
  }

  update<T extends KubeObject>(object: T, options: WriteOptions = {}): Promise<Stored<T>> {
    const { name = "", namespace, resourceVersion } = object.metadata;
    if (resourceVersion === undefined) throw new TypeError(`${object.kind} without resourceVersion`);
    const body = object as Any;
    return this.#write(
      "update",
      { kind: object.kind, namespace, name },
      { ...options, body },
      (by) =>
        this.#parts.api.update(body, {
          by,
          status: options.subresource === "status",
          dryRun: options.dryRun,
        }) as unknown as Stored<T>,
    );
  }

  apply<T extends KubeObject>(desired: T, options: ApplyOptions): Promise<Stored<T>> {
    const { name = "", namespace, uid } = desired.metadata;
    const body = desired as Any;
    return this.#write("apply", { kind: desired.kind, namespace, name }, { ...options, body, uid }, (by) => {
      const context = { by, status: options.subresource === "status", dryRun: options.dryRun };
      return this.#parts.api.apply(body, options.fieldManager, context) as unknown as Stored<T>;
    });
  }

  mergePatch<T extends KubeObject>(ref: ObjectRef, patch: object, options: WriteOptions = {}): Promise<Stored<T>> {
    const { uid } = (patch as Partial<KubeObject>).metadata ?? {};
    return this.#write(
      "patch",
      ref,
      { ...options, body: patch as Any, uid },
      (by) =>
        this.#parts.api.mergePatch(ref, patch, {
          by,
          status: options.subresource === "status",
          dryRun: options.dryRun,
        }) as unknown as Stored<T>,
    );
  }

  delete(ref: ObjectRef, options: DeleteOptions = {}): Promise<DeleteResult> {
    return this.#write("delete", ref, options, (by) => this.#parts.api.delete(ref, options, by));
  }

  async *watch<T extends KubeObject>(
    selection: Selection,
    options: WatchOptions = {},
  ): AsyncGenerator<WatchEvent<T>, void, void> {
    const object = describeRef(selection);
    const { signal, timeoutMs, timeoutSeconds } = options;
    const call: CallOptions = { signal, ...(timeoutMs === undefined ? {} : { timeoutMs }) };
    const begin = () => new WatchConnection(this.#parts, this.#actor, selection, options);
    const connection = await this.#exchange({ object, options: call, carryOut: begin });
    const onAbort = () => connection.end(new TransportError("ABORTED", true));
    if (signal?.aborted === true) onAbort();
    signal?.addEventListener("abort", onAbort, { once: true });
    const cancelEnd = this.#parts.scheduler.after((timeoutSeconds ?? 300) * 1000, () => connection.end());
    try {
      for (;;) {
        const event = await connection.next();
        if (event === undefined) return;
        yield event as WatchEvent<T>;
      }
    } catch (error) {
      if (error instanceof TransportError)
        throw new RetryableError("The watch broke", { reason: "WatchBroken", object, cause: error });
      throw fromApiError(error, object, false);
    } finally {
      cancelEnd();
      signal?.removeEventListener("abort", onAbort);
      connection.close();
    }
  }

  #write<A>(
    verb: Request["verb"],
    ref: Request["ref"],
    options: WriteOptions & Pick<Request, "body" | "uid">,
    carryOut: (by: string) => A,
  ): Promise<A> {
    const by = this.#actor.name;
    const { body, uid, subresource } = options;
    const request: Request = { by, verb, ref, uid, subresource, ...(body === undefined ? {} : { body }) };
    return this.#exchange({
      object: describeRef({ apiVersion: "", ...ref }),
      write: `${verb} ${ref.kind} ${ref.name}${subresource === undefined ? "" : `/${subresource}`}`,
      options,
      carryOut: () => {
        this.#parts.onRequest(request);
        return carryOut(by);
      },
    });
  }

  /** One request and its answer. Whoever is gone by then hears nothing; what was sent may be carried out all the same. */
  #exchange<A>({ object, write, options, carryOut }: Call<A>): Promise<A> {
    const { network, scheduler, faults, crash } = this.#parts;
    const actor = this.#actor;
    // Renewals come by the clock, not by what happens: counting them would move every fault behind them.
    const isCounted = write !== undefined && !write.endsWith(OPERATOR_LEASE);
    const fault = isCounted ? faults.takeWrite(actor.name) : undefined;
    const outgoing = new Outgoing<A>(actor, options, (error) => fromApiError(error, object, write !== undefined));
    if (isCounted) scheduler.note(actor.name, fault === undefined ? write : `${write}  ⚡ ${fault.kind}`);
    if (fault?.kind === "CrashBefore") {
      crash(actor);
      return outgoing.answer;
    }
    network.send(
      actor.name,
      API,
      () => {
        if (outgoing.isUnsent) return;
        const answer = attempt(
          fault,
          carryOut,
          write === undefined ? undefined : (what) => scheduler.note(API, `${write}: ${what}`),
        );
        if (fault?.kind === "CrashAfter") return crash(actor);
        if (fault?.kind === "LoseAnswer" || fault?.kind === "Ghost") return outgoing.fail("ECONNRESET");
        network.send(API, actor.name, () => outgoing.settle(answer));
      },
      delayOf(fault, scheduler),
    );
    if (fault?.kind === "Ghost") scheduler.after(5, () => outgoing.fail("ECONNRESET"));
    return outgoing.answer;
  }
}

type Answer<A> = { readonly value: A } | { readonly error: unknown };

function attempt<A>(
  fault: WriteFault | undefined,
  carryOut: () => A,
  noteFailure: ((what: string) => void) | undefined,
): Answer<A> {
  try {
    if (fault?.kind === "Refuse")
      throw status(fault.code, fault.code === 409 ? "Conflict" : "Unavailable", "refused by the schedule");
    return { value: carryOut() };
  } catch (error) {
    if (!(error instanceof ApiStatusError)) throw error;
    noteFailure?.(`${error.code} ${error.reason}`);
    return { error };
  }
}

function delayOf(fault: WriteFault | undefined, scheduler: Scheduler): number {
  const usual = scheduler.between(0.2, 8);
  return fault !== undefined && "delayMs" in fault ? fault.delayMs : usual;
}

/** A request on its way, as its sender sees it. */
class Outgoing<A> {
  readonly answer: Promise<A>;
  #isOver = false;
  #isSent = false;
  readonly #resolve: (value: A) => void;
  readonly #reject: (error: unknown) => void;
  readonly #convert: (error: unknown) => unknown;
  readonly #actor: Actor;
  readonly #release: () => void;

  constructor(
    actor: Actor,
    { signal, timeoutMs = DEFAULT_TIMEOUT_MS }: CallOptions,
    convert: (error: unknown) => unknown,
  ) {
    const { promise, resolve, reject } = Promise.withResolvers<A>();
    this.answer = promise;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#convert = convert;
    this.#actor = actor;
    const cancelDeadline = actor.clock.schedule(timeoutMs, () => this.fail("DEADLINE"));
    const onAbort = () => this.fail("ABORTED");
    this.#release = () => {
      cancelDeadline();
      signal?.removeEventListener("abort", onAbort);
    };
    if (signal?.aborted === true) onAbort();
    else {
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#isSent = true;
    }
  }

  /** It ended before it was sent, and must not be carried out. */
  get isUnsent(): boolean {
    return !this.#isSent;
  }

  fail(code: string): void {
    this.#end(() => this.#reject(this.#convert(new TransportError(code, this.#isSent))));
  }

  /** Hands the answer over, when the actor takes it in. */
  settle(answer: Answer<A>): void {
    this.#actor.clock.schedule(0, () => {
      this.#end(() => ("value" in answer ? this.#resolve(answer.value) : this.#reject(this.#convert(answer.error))));
    });
  }

  #end(settle: () => void): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#release();
    settle();
  }
}
