// One watch: changes of a selection, in order, as they arrive.
import type { Selection, WatchEvent, WatchOptions } from "../../src/kube/api.ts";
import { TransportError } from "../../src/kube/api-error.ts";
import type { KubeObject } from "../../src/kube/object.ts";
import type { FaultPlan } from "./faults.ts";
import { isSelected, type LogEntry, type ModelApi } from "./model-api.ts";
import { API, type Network } from "./network.ts";
import type { Actor, Scheduler } from "./scheduler.ts";

/** What a watch is connected to. */
export interface WatchParts {
  readonly scheduler: Scheduler;
  readonly network: Network;
  readonly api: ModelApi;
  readonly faults: FaultPlan;
}

type Heard = WatchEvent<KubeObject> | Error | "End";

const BOOKMARK_EVERY_MS = 60_000;

/** The server's and the client's side of one watch. */
export class WatchConnection {
  readonly #parts: WatchParts;
  readonly #actor: Actor;
  readonly #selection: Selection;
  /** On its way, in order. */
  readonly #sent: Heard[] = [];
  readonly #heard: Heard[] = [];
  #wake: (() => void) | undefined;
  #sentRevision: number;
  #heldUntilMs = 0;
  #isSilent = false;
  /** The server's side sends no more. */
  #isClosed = false;
  /** The client's side knows that nothing comes any more. */
  #hasEnded = false;
  #isArriving = false;
  #stopListening: () => void = () => undefined;

  /** @throws {ApiStatusError} 410 when the version to begin from was forgotten. */
  constructor(parts: WatchParts, actor: Actor, selection: Selection, options: WatchOptions) {
    this.#parts = parts;
    this.#actor = actor;
    this.#selection = selection;
    const { api } = parts;
    const from = options.resourceVersion === undefined ? undefined : Number(options.resourceVersion);
    this.#sentRevision = from ?? api.revision;
    if (options.sendInitialEvents === true) {
      for (const object of api.list(selection)) this.#send({ type: "ADDED", object });
      this.#send({ type: "BOOKMARK", resourceVersion: String(api.revision), initialEventsEnd: true });
    } else if (from !== undefined) {
      for (const entry of api.since(from)) if (!this.#isClosed) this.#tell(entry);
    }
    if (this.#isClosed) return;
    this.#stopListening = api.onChange((entry) => this.#tell(entry));
    this.#bookmark();
  }

  /** The next event as the client hears it; undefined at the watch's planned end. */
  async next(): Promise<WatchEvent<KubeObject> | undefined> {
    while (this.#heard.length === 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const heard = this.#heard.shift();
    if (heard instanceof Error) throw heard;
    return heard === "End" ? undefined : heard;
  }

  /** Ends it: cleanly, or with an error. What was not heard yet is lost. Of a silent connection only its own side can hear that. */
  end(error?: Error): void {
    this.#sent.length = 0;
    this.close();
    const isOwnEnd = error instanceof TransportError && error.code === "ABORTED";
    if (this.#hasEnded || (this.#isSilent && !isOwnEnd)) return;
    this.#hasEnded = true;
    this.#hear(error ?? "End");
  }

  /** Nobody listens any more. */
  close(): void {
    this.#isClosed = true;
    this.#stopListening();
  }

  #tell(entry: LogEntry): void {
    const event = eventOf(this.#selection, entry);
    if (event === undefined) return;
    const fault = this.#parts.faults.takeEvent(this.#actor.name, entry.kind);
    if (fault !== undefined) this.#parts.scheduler.note(this.#actor.name, `watch of ${entry.kind}  ⚡ ${fault.kind}`);
    switch (fault?.kind) {
      case "HoldWatch":
        this.#heldUntilMs = this.#parts.scheduler.nowMs + fault.forMs;
        break;
      case "SilenceWatch":
        this.#isSilent = true;
        break;
      case "ForgetVersions":
        this.#parts.api.compact();
        return this.end(new TransportError("ECONNRESET", true));
      case "BreakWatch":
        return this.end(new TransportError("ECONNRESET", true));
      case undefined:
    }
    this.#sentRevision = entry.revision;
    this.#send(event);
  }

  /** Says now and then up to where everything was told. */
  #bookmark(): void {
    const { scheduler, api } = this.#parts;
    scheduler.after(BOOKMARK_EVERY_MS, () => {
      if (this.#isClosed || !this.#actor.isAlive) {
        this.close();
        return;
      }
      this.#sentRevision = Math.max(this.#sentRevision, api.revision);
      this.#send({ type: "BOOKMARK", resourceVersion: String(this.#sentRevision), initialEventsEnd: false });
      this.#bookmark();
    });
  }

  #send(event: WatchEvent<KubeObject>): void {
    if (this.#isSilent || this.#isClosed) return;
    this.#sent.push(event);
    if (!this.#isArriving) this.#arrive();
  }

  /** Events arrive one after the other; a cut link keeps them until it is mended, as TCP does. */
  #arrive(): void {
    const { scheduler, network } = this.#parts;
    this.#isArriving = true;
    const delayMs = Math.max(scheduler.between(0.2, 10), this.#heldUntilMs - scheduler.nowMs);
    scheduler.after(delayMs, () => {
      this.#isArriving = false;
      if (this.#isClosed || !this.#actor.isAlive) {
        this.close();
        return;
      }
      if (!network.isUp(API, this.#actor.name)) {
        this.#heldUntilMs = scheduler.nowMs + 500;
        this.#arrive();
        return;
      }
      for (const event of this.#sent.splice(0)) this.#hear(event);
    });
  }

  #hear(heard: Heard): void {
    this.#actor.clock.schedule(0, () => {
      this.#heard.push(heard);
      const wake = this.#wake;
      this.#wake = undefined;
      wake?.();
    });
  }
}

/** How a change looks in a selection: an object that leaves it looks deleted, one that enters it new. */
function eventOf(selection: Selection, { before, after, revision }: LogEntry): WatchEvent<KubeObject> | undefined {
  const was = before !== undefined && isSelected(selection, before);
  const is = after !== undefined && isSelected(selection, after);
  if (is) return { type: was ? "MODIFIED" : "ADDED", object: after };
  const last = after ?? before;
  if (!was || last === undefined) return undefined;
  return { type: "DELETED", object: { ...last, metadata: { ...last.metadata, resourceVersion: String(revision) } } };
}
