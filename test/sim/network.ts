// Who reaches whom. A message on a cut link is lost on its way; what waits for it learns of that by its own deadline.
import type { Scheduler } from "./scheduler.ts";

/** The API server's end of links. */
export const API = "api";

/** A matrix of links between actors, all of them up until they are cut. */
export class Network {
  readonly #scheduler: Scheduler;
  readonly #cuts = new Set<string>();
  #slowMs = 0;

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

  /** Every message takes up to so much longer from now on; none: as long as ever. */
  slow(mostMs: number): void {
    this.#slowMs = mostMs;
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
    const extraMs = this.#slowMs === 0 ? 0 : this.#scheduler.between(0, this.#slowMs);
    this.#scheduler.after(delayMs + extraMs, () => {
      if (this.isUp(from, to)) arrive();
    });
  }
}
