/** Bodies that tests keep in a store, and what became of them. */
import { createHash, randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import { expect } from "vitest";
import type { ObjectStore } from "../../src/agent/backup/object-store.ts";
import { S3Client } from "../../src/agent/backup/s3-client.ts";
import { textsOf } from "../../src/agent/backup/s3-xml.ts";
import type { OperatorError } from "../../src/errors.ts";
import type { S3Server } from "./s3-server.ts";

export const MIB = 1024 * 1024;
const PIECE_BYTES = 64 * 1024;
/** A signal that never aborts. */
export const ALWAYS = new AbortController().signal;
/** Forty MiB, made once: who measures memory measures none of the test's. */
export const RANDOM = randomBytes(40 * MIB);

/** A body's hash in hex. */
export function sha256(body: Buffer): string {
  return createHash("sha256").update(body).digest("hex");
}

/** A stream of a body in pieces of 64 KiB, each of which is waited for. @param look - Called before each, with where it begins. */
export function streamOf(body: Buffer, look?: (start: number) => void): Readable {
  async function* pieces(): AsyncGenerator<Buffer> {
    for (let start = 0; start < body.length; start += PIECE_BYTES) {
      await turn();
      look?.(start);
      yield body.subarray(start, start + PIECE_BYTES);
    }
  }
  return Readable.from(pieces(), { objectMode: false });
}

/** A whole object. */
export async function read(store: ObjectStore, key: string): Promise<Buffer> {
  return Buffer.concat(await (await store.get(key, ALWAYS)).toArray());
}

/** Keys of uploads in parts that were begun and neither completed nor aborted. */
export async function pendingUploads({ options }: S3Server): Promise<readonly string[]> {
  const request = { operation: "ListMultipartUploads", method: "GET", query: { uploads: "" } } as const;
  return textsOf((await new S3Client(options).call(request, ALWAYS)).text, "Key");
}

/** What work ends with that must not succeed. */
export async function errorOf(work: Promise<unknown>): Promise<OperatorError> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(Error);
  return error as OperatorError;
}
