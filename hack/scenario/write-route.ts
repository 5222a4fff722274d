/** Where a cluster's writes go, followed as kube-proxy follows it: by a watch, not by asking when a write has failed. */
import type { ChildProcess } from "node:child_process";
import { KUBECTL } from "./lab.ts";
import { follow } from "./shell.ts";

const AGAIN_MS = 200;

/** The first address of an EndpointSlice, as of its last change. */
export class WriteRoute {
  readonly #namespace: string;
  readonly #slice: string;
  #host = "";
  #watch: ChildProcess | undefined;
  #isStopped = false;

  constructor(namespace: string, slice: string) {
    this.#namespace = namespace;
    this.#slice = slice;
    this.#follow();
  }

  /** Empty while it names nobody. */
  get host(): string {
    return this.#host;
  }

  /** Stops watching. */
  stop(): void {
    this.#isStopped = true;
    this.#watch?.kill();
  }

  /** A watch ends after a while, and when the API server goes: what was known holds until the next one says otherwise. */
  #follow(): void {
    const columns = '{range .endpoints[*]}{.addresses[0]}{end}{"\\n"}';
    const get = ["-n", this.#namespace, "get", "endpointslice", this.#slice, "--watch", "-o", `jsonpath=${columns}`];
    this.#watch = follow([...KUBECTL, ...get], (line) => (this.#host = line.trim()));
    this.#watch.on("close", () => {
      if (!this.#isStopped) setTimeout(() => this.#follow(), AGAIN_MS);
    });
  }
}
