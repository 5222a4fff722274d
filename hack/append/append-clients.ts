/** Clients that read and add to a few lists at the same time, through whoever takes writes, and note what they did and saw. */
import { setTimeout as pause } from "node:timers/promises";
import type { Append, Transaction } from "./history.ts";
import { ConflictError, type ListSession, NotTakenError, type OpenSession, type Request } from "./list-store.ts";

/** How they behave. */
export interface AppendOptions {
  readonly open: OpenSession;
  /** Begins the name of each list; differs from that of every earlier workload in the same store. */
  readonly prefix: string;
  readonly clients: number;
  /** Between two transactions of one client. */
  readonly pauseMs: number;
  readonly random: () => number;
}

/** Lists that are in use at the same time: few, so that clients meet. */
const LISTS = 4;
/** Appends to a list before another takes its place: each read carries all of it. */
const MOST_APPENDS = 60;
const AGAIN_MS = 50;
const LAST_READ_MS = 180_000;
/** Lists in one of the last transactions: etcd takes 128 operations in one, a long workload has more lists. */
const LISTS_AT_ONCE = 50;

/** A workload of several clients. */
export class AppendClients {
  readonly #options: AppendOptions;
  readonly #history: Transaction[] = [];
  readonly #stop = new AbortController();
  readonly #appends: number[] = Array.from({ length: LISTS }, () => 0);
  #running: readonly Promise<void>[] = [];
  #value = 0;

  constructor(options: AppendOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running = Array.from({ length: this.#options.clients }, (_, client) => this.#run(client));
  }

  /** Transactions that were acknowledged so far. */
  get acked(): number {
    return this.#history.filter(({ outcome }) => outcome === "ok").length;
  }

  /** Stops, reads every list once more and gives the history. @throws when nobody takes writes for three minutes. */
  async finish(): Promise<readonly Transaction[]> {
    this.#stop.abort();
    await Promise.all(this.#running);
    const lists = [...new Set(this.#history.flatMap(({ appends }) => appends.map(({ list }) => list)))];
    const endMs = performance.now() + LAST_READ_MS;
    for (let at = 0; at < lists.length; at += LISTS_AT_ONCE) {
      await this.#readAtLast(lists.slice(at, at + LISTS_AT_ONCE), endMs);
    }
    return this.#history;
  }

  async #readAtLast(reads: readonly string[], endMs: number): Promise<void> {
    for (;;) {
      // It adds something, too: an engine confirms what it writes, and with that all that came before.
      const request = { reads, appends: [{ list: `${this.#options.prefix}-end`, value: ++this.#value }] };
      const session = await this.#options.open().catch(() => undefined);
      const outcome = session && (await this.#transact(session, this.#options.clients, request));
      session?.close();
      if (outcome === "ok") return;
      if (performance.now() > endMs) throw new Error("nobody took the last transaction");
      await pause(AGAIN_MS);
    }
  }

  async #run(client: number): Promise<void> {
    let session: ListSession | undefined;
    while (!this.#stop.signal.aborted) {
      session ??= await this.#options.open().catch(() => undefined);
      if (session === undefined) await pause(AGAIN_MS);
      else if ((await this.#transact(session, client, this.#draw())) === "over") {
        session.close();
        session = undefined;
      }
      await pause(this.#options.pauseMs * (0.5 + this.#options.random()));
    }
    session?.close();
  }

  /** @returns `over` when the session is not to be used again. */
  async #transact(session: ListSession, client: number, request: Request): Promise<"ok" | "conflict" | "over"> {
    const startMs = performance.now();
    const note = (outcome: Transaction["outcome"], reads: Transaction["reads"]): void => {
      const { appends } = request;
      this.#history.push({ client, outcome, startMs, endMs: performance.now(), reads, appends });
    };
    try {
      note("ok", await session.transact(request));
      return "ok";
    } catch (error) {
      note(error instanceof NotTakenError ? "failed" : "unknown", new Map());
      return error instanceof ConflictError ? "conflict" : "over";
    }
  }

  /** One or two lists to read, one to three appends: often to the same lists, and now and then twice to one. */
  #draw(): Request {
    const reads = new Set(this.#times(2, () => this.#list(this.#place())));
    // In the order of the lists: none waits for another that waits for it.
    const places = this.#times(3, () => this.#place()).toSorted((a, b) => a - b);
    const appends = places.map((place): Append => {
      this.#appends[place] = (this.#appends[place] ?? 0) + 1;
      return { list: this.#list(place), value: ++this.#value };
    });
    return { reads: [...reads], appends };
  }

  #times<T>(most: number, make: () => T): T[] {
    return Array.from({ length: 1 + Math.floor(this.#options.random() * most) }, make);
  }

  #place(): number {
    return Math.floor(this.#options.random() * LISTS);
  }

  #list(place: number): string {
    return `${this.#options.prefix}-${place}-${Math.floor((this.#appends[place] ?? 0) / MOST_APPENDS)}`;
  }
}
