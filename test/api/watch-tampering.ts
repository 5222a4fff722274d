// What can happen to a watch between the API server and who listens.
import { Transform, type TransformCallback } from "node:stream";

/** Whether a path asks for a watch. */
export function isWatch(path: string): boolean {
  const { searchParams } = new URL(path, "http://any");
  return ["true", "1"].includes(searchParams.get("watch") ?? "");
}

/**
 * The path that asks for what there was at `version`: lists are exactly that old, watches say again what happened since.
 * One object by its name is asked for as it is: that is never read from memory.
 *
 * @returns undefined for a list as a stream, which no server gives of the past.
 */
export function travelled(path: string, version: string): string | undefined {
  const url = new URL(path, "http://any");
  const { searchParams } = url;
  if (searchParams.has("sendInitialEvents")) return undefined;
  if (isWatch(path)) {
    const from = searchParams.get("resourceVersion");
    if (from !== null && BigInt(from) > BigInt(version)) searchParams.set("resourceVersion", version);
  } else if (searchParams.has("limit") && !searchParams.has("continue")) {
    searchParams.set("resourceVersion", version);
    searchParams.set("resourceVersionMatch", "Exact");
  }
  return url.pathname + url.search;
}

/** Lets nothing through until it is released. */
export class HeldBytes extends Transform {
  #release: (() => void) | undefined;
  #isReleased = false;

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    const pass = (): void => done(null, chunk);
    if (this.#isReleased) pass();
    else this.#release = pass;
  }

  /** Everything that was held comes now, and what follows at once. */
  release(): void {
    this.#isReleased = true;
    this.#release?.();
    this.#release = undefined;
  }
}

/** Breaks so many milliseconds after its beginning, with half an event said. */
export class TornStream extends Transform {
  #isTorn = false;

  constructor(afterMs: number) {
    super();
    const timer = setTimeout(() => {
      this.#isTorn = true;
    }, afterMs);
    this.once("close", () => clearTimeout(timer));
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    if (!this.#isTorn) return done(null, chunk);
    this.push(chunk.subarray(0, Math.ceil(chunk.length / 2)));
    setImmediate(() => this.destroy(new Error("torn")));
  }
}

/** Says every line twice. */
export class DoubledLines extends Transform {
  #rest = "";

  constructor() {
    super({ decodeStrings: true });
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    const lines = (this.#rest + chunk.toString("latin1")).split("\n");
    this.#rest = lines.pop() ?? "";
    done(null, Buffer.from(lines.map((line) => `${line}\n${line}\n`).join(""), "latin1"));
  }
}
