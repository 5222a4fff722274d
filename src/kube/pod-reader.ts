// What pods print and answer, asked by way of the API server: also from where pods cannot be reached.
import { ApiStatusError, fromApiError } from "./api-error.ts";
import { describeRef, type KindRef, type ObjectRef } from "./object.ts";
import { parseJson, type Transport } from "./transport.ts";
import { withQuery } from "./request-path.ts";

/** A pod by its name. */
export type PodRef = Omit<ObjectRef, keyof KindRef>;

/** Which part of a container's output. */
export interface LogOptions {
  readonly container: string;
  /** Stay, and hand on what comes. */
  readonly follow?: boolean;
  readonly sinceSeconds?: number | undefined;
  readonly tailLines?: number | undefined;
  readonly signal?: AbortSignal;
}

/** Where the API server has an object, or a part of it. */
type PathOf = (ref: ObjectRef, name: string, subresource: string) => Promise<string>;

const POD = { apiVersion: "v1", kind: "Pod" } as const;
const TIMEOUT_MS = 30_000;

/** Reads from pods. */
export class PodReader {
  readonly #transport: Transport;
  readonly #pathOf: PathOf;

  constructor(transport: Transport, pathOf: PathOf) {
    this.#transport = transport;
    this.#pathOf = pathOf;
  }

  /**
   * What a container printed, as it comes in. Ends when the container does, or at once when `follow` is false.
   * @throws {OperatorError} when there is no such pod or container, or none that has run yet.
   */
  async *logs(pod: PodRef, options: LogOptions): AsyncGenerator<string, void, void> {
    const { container, follow = false, sinceSeconds, tailLines, signal } = options;
    const query = new URLSearchParams({ container, timestamps: "true", follow: String(follow) });
    if (sinceSeconds !== undefined) query.set("sinceSeconds", String(sinceSeconds));
    if (tailLines !== undefined) query.set("tailLines", String(tailLines));
    const ref = { ...POD, ...pod };
    try {
      const path = withQuery(await this.#pathOf(ref, pod.name, "log"), query);
      const stream = await this.#transport.stream({ method: "GET", path }, { signal, timeoutMs: TIMEOUT_MS });
      if (stream.status === 200) return yield* stream.text;
      let body = "";
      for await (const text of stream.text) body += text;
      throw new ApiStatusError(stream.status, parseJson(body), stream.retryAfterMs);
    } catch (error) {
      throw fromApiError(error, describeRef(ref), false);
    }
  }

  /**
   * What a pod answers at `path` of one of its ports.
   * @throws {OperatorError} when the API server cannot reach it, or it answers with an error.
   */
  async text(pod: PodRef, port: number, path: string, signal?: AbortSignal): Promise<string> {
    const ref = { ...POD, ...pod };
    try {
      const url = `${await this.#pathOf(ref, `${pod.name}:${port}`, "proxy")}${path}`;
      const answer = await this.#transport.call({ method: "GET", path: url }, { signal, timeoutMs: TIMEOUT_MS });
      if (answer.status === 200) return answer.body;
      throw new ApiStatusError(answer.status, parseJson(answer.body), answer.retryAfterMs);
    } catch (error) {
      throw fromApiError(error, describeRef(ref), false);
    }
  }
}
