// Who reaches whom. A message on a cut link is lost on its way; what waits for it learns of that by its own deadline.
import type { Scheduler } from "./scheduler.ts";

/** The API server's end of links. */
export const API = "api";

/** A matrix of links between actors, all of them up until they are cut. */
export class Network {
  readonly #scheduler: Scheduler;
  readonly #cuts = new Set<string>();

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler;
  }

  /** Nothing passes from `from` to `to` any more; the other way is another link. */
  cut(from: string, to: string): void {
    this.#cuts.add(`${from}>${to}`);
  }

  cutBoth(a: string, b: string): void {
    this.cut(a, b);
    this.cut(b, a);
  }

  /** Mends every link of `end`, or all. */
  heal(end?: string): void {
    for (const link of this.#cuts) {
      if (end === undefined || link.split(">").includes(end)) this.#cuts.delete(link);
    }
  }

  isUp(from: string, to: string): boolean {
    return !this.#cuts.has(`${from}>${to}`);
  }

  /** Carries a message; `arrive` is called when it is there, and never when the link is cut by then. */
  send(from: string, to: string, arrive: () => void, delayMs = this.#scheduler.between(0.2, 5)): void {
    this.#scheduler.after(delayMs, () => {
      if (this.isUp(from, to)) arrive();
    });
  }
}
