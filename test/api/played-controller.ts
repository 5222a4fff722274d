// What every controller that tests play has in common: it looks again and again until it is stopped.
import { LABEL_CLUSTER } from "../../src/api/names.ts";
import { sleep, systemClock } from "../../src/clock.ts";
import { isConflict, isNotFound } from "../../src/kube/api-error.ts";
import { listAll } from "../../src/kube/list.ts";
import type { KubeObject, Stored } from "../../src/kube/object.ts";
import { admin, NAMESPACE } from "./operator-world.ts";

const TICK_MS = 60;

/** Does its part for the objects of one cluster, several times a second. */
export abstract class PlayedController {
  protected readonly cluster: string;
  readonly #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #problem: Error | undefined;

  constructor(cluster: string) {
    this.cluster = cluster;
  }

  start(): void {
    this.#running = this.#run().catch((error: unknown) => {
      this.#problem = error instanceof Error ? error : new Error(String(error));
    });
  }

  /** Ends it. @throws {Error} that ended it before, which is a mistake of the test. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    if (this.#problem !== undefined) throw this.#problem;
  }

  /** Looks once, and does what is to be done. */
  protected abstract tick(): Promise<void>;

  /** The cluster's objects of a kind. */
  protected async list<T extends KubeObject = KubeObject>(
    apiVersion: string,
    kind: string,
  ): Promise<readonly Stored<T>[]> {
    const labelSelector = `${LABEL_CLUSTER}=${this.cluster}`;
    return (await listAll<T>(admin, { apiVersion, kind, namespace: NAMESPACE, labelSelector })).items;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await this.tick().catch((error: unknown) => {
        if (!isConflict(error) && !isNotFound(error)) throw error; // the operator was faster
      });
      await sleep(systemClock, TICK_MS, signal);
    }
  }
}
