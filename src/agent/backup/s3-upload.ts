/** Keeps a stream of any length under a key: as one request when it is short, in parts when it is not. */
import { createHash, randomUUID } from "node:crypto";
import type { Readable } from "node:stream";
import { OperatorError, RetryableError, TerminalError } from "../../errors.ts";
import { ObjectNotFound, type StoredBody } from "./object-store.ts";
import type { S3Client } from "./s3-client.ts";
import { S3Failure } from "./s3-exchange.ts";
import { escaped, textOf } from "./s3-xml.ts";

const FIRST_PART_BYTES = 8 * 1024 * 1024;
const MAX_PARTS = 10_000;
const PARTS_OF_A_SIZE = 1000;
/** Stores put gigabytes together before they answer; not all of them send anything meanwhile. */
const COMPLETE_TIMEOUT_MS = 600_000;
const ABORT_TIMEOUT_MS = 60_000;
/** What tells an object that this upload made from one that was there before. */
const UPLOAD_HEADER = "x-amz-meta-quorate-upload";

/** Length of a part, counted from 1: 8 MiB for the first 8 GiB, and as much more for each thousand parts; 429 GiB in all. */
export function partBytes(number: number): number {
  return FIRST_PART_BYTES * Math.ceil(number / PARTS_OF_A_SIZE);
}

/** See `ObjectStore.put`. Holds one part in memory, and sends it before it takes more of the body. */
export async function putObject(
  client: S3Client,
  key: string,
  body: Readable,
  signal: AbortSignal,
): Promise<StoredBody> {
  body.on("error", () => undefined); // whoever reads it is told; it must not end the process while nobody does
  const onAbort = (): void => void body.destroy(new Error("ended on request"));
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  const parts = new PartReader(body);
  try {
    const first = await parts.read(partBytes(1));
    if (first.isLast) await putWhole(client, key, first, signal);
    else await new MultipartUpload(client, key, signal).run(first, parts);
    return parts.summary();
  } catch (thrown) {
    const error = thrown instanceof SourceBroken ? sourceError(client.nameOf(key), thrown, signal) : (thrown as Error);
    body.destroy(error);
    throw error;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

async function putWhole(client: S3Client, key: string, part: Part, signal: AbortSignal): Promise<void> {
  const { body, sha256 } = part;
  const request = { operation: "PutObject", method: "PUT", key, body, bodySha256: sha256, commits: true } as const;
  await client.call(request, signal);
}

/** An upload in parts, from its beginning to its end, whichever that is. */
class MultipartUpload {
  readonly #client: S3Client;
  readonly #key: string;
  readonly #signal: AbortSignal;
  readonly #mark = randomUUID();
  readonly #tags: string[] = [];

  constructor(client: S3Client, key: string, signal: AbortSignal) {
    this.#client = client;
    this.#key = key;
    this.#signal = signal;
  }

  async run(first: Part, parts: PartReader): Promise<void> {
    const uploadId = await this.#create();
    try {
      let part = first;
      await this.#send(uploadId, part);
      while (!part.isLast) {
        if (this.#tags.length === MAX_PARTS) throw this.#tooLong();
        part = await parts.read(partBytes(this.#tags.length + 1));
        if (part.body.length > 0) await this.#send(uploadId, part);
      }
      await this.#complete(uploadId);
    } catch (error) {
      await this.#abort(uploadId);
      throw error;
    }
  }

  async #create(): Promise<string> {
    const { text } = await this.#client.call(
      {
        operation: "CreateMultipartUpload",
        method: "POST",
        key: this.#key,
        query: { uploads: "" },
        headers: { [UPLOAD_HEADER]: this.#mark },
        document: "InitiateMultipartUploadResult",
      },
      this.#signal,
    );
    return textOf(text, "UploadId") || this.#lacks("UploadId");
  }

  async #send(uploadId: string, { body, sha256 }: Part): Promise<void> {
    const partNumber = String(this.#tags.length + 1);
    const { headers } = await this.#client.call(
      {
        operation: "UploadPart",
        method: "PUT",
        key: this.#key,
        query: { partNumber, uploadId },
        body,
        bodySha256: sha256,
      },
      this.#signal,
    );
    this.#tags.push(headers.etag ?? this.#lacks("ETag"));
  }

  async #complete(uploadId: string): Promise<void> {
    const parts = this.#tags.map(
      (tag, index) => `<Part><PartNumber>${index + 1}</PartNumber><ETag>${escaped(tag)}</ETag></Part>`,
    );
    const text = `<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${parts.join("")}</CompleteMultipartUpload>`;
    try {
      await this.#client.call(
        {
          operation: "CompleteMultipartUpload",
          method: "POST",
          key: this.#key,
          query: { uploadId },
          headers: { "content-type": "application/xml" },
          body: Buffer.from(text),
          document: "CompleteMultipartUploadResult",
          commits: true,
          idleTimeoutMs: COMPLETE_TIMEOUT_MS,
        },
        this.#signal,
      );
    } catch (error) {
      // So is asked again what was done, when its answer was lost.
      if (!isNoSuchUpload(error) || !(await this.#isThere())) throw error;
    }
  }

  /** Whether the object is the one of this upload. */
  async #isThere(): Promise<boolean> {
    try {
      const request = { operation: "HeadObject", method: "HEAD", key: this.#key } as const;
      return (await this.#client.call(request, this.#signal)).headers[UPLOAD_HEADER] === this.#mark;
    } catch (error) {
      if (error instanceof ObjectNotFound) return false;
      throw error;
    }
  }

  /** Takes the parts back. Where even that fails, a lifecycle rule of the bucket has to: what failed first is what is told. */
  async #abort(uploadId: string): Promise<void> {
    const request = {
      operation: "AbortMultipartUpload",
      method: "DELETE",
      key: this.#key,
      query: { uploadId },
    } as const;
    await this.#client.call(request, AbortSignal.timeout(ABORT_TIMEOUT_MS)).catch(() => undefined);
  }

  #lacks(what: string): never {
    throw new TerminalError(`The store's answer lacks ${what}`, {
      reason: "ObjectStoreRefused",
      object: this.#client.nameOf(this.#key),
    });
  }

  #tooLong(): OperatorError {
    return new TerminalError(`The body does not fit into ${MAX_PARTS} parts, the most that S3 takes`, {
      reason: "ObjectStoreRefused",
      object: this.#client.nameOf(this.#key),
    });
  }
}

/** What of a body is sent at once. `body` is good until the next one is read. */
interface Part {
  readonly body: Buffer;
  readonly sha256: string;
  /** Whether the body has ended well with it. */
  readonly isLast: boolean;
}

/** Why a body gave no more, as the cause. */
class SourceBroken extends Error {
  override readonly name = "SourceBroken";
}

/** Cuts a body into parts, all in the same memory. */
class PartReader {
  readonly #chunks: AsyncIterator<Buffer | string>;
  readonly #whole = createHash("sha256");
  #bytes = 0;
  #memory: Buffer = Buffer.alloc(0);
  #rest: Buffer = Buffer.alloc(0);

  constructor(body: Readable) {
    this.#chunks = body[Symbol.asyncIterator]() as AsyncIterator<Buffer | string>;
  }

  /** The next part, shorter than `wantedBytes` only when it is the last. @throws {SourceBroken} */
  async read(wantedBytes: number): Promise<Part> {
    // Of its own, so that pages which a short body does not reach are never touched, and all of it is given back at the end.
    if (this.#memory.length < wantedBytes) this.#memory = Buffer.allocUnsafeSlow(wantedBytes);
    const hash = createHash("sha256");
    let length = 0;
    let isLast = false;
    while (length < wantedBytes && !isLast) {
      if (this.#rest.length === 0) isLast = !(await this.#pull());
      const taken = this.#rest.subarray(0, wantedBytes - length);
      this.#rest = this.#rest.subarray(taken.length);
      taken.copy(this.#memory, length);
      length += taken.length;
      hash.update(taken);
      this.#whole.update(taken);
    }
    this.#bytes += length;
    return { body: this.#memory.subarray(0, length), sha256: hash.digest("hex"), isLast };
  }

  /** For use once, after the last part. */
  summary(): StoredBody {
    return { bytes: this.#bytes, sha256: this.#whole.digest("hex") };
  }

  /** @returns false at the body's end. */
  async #pull(): Promise<boolean> {
    try {
      const { done, value } = await this.#chunks.next();
      if (done === true) return false;
      this.#rest = typeof value === "string" ? Buffer.from(value) : value;
      return true;
    } catch (cause) {
      throw new SourceBroken("broke off", { cause });
    }
  }
}

function sourceError(object: string, { cause }: SourceBroken, signal: AbortSignal): OperatorError {
  if (signal.aborted)
    return new RetryableError("The upload was ended on request", { reason: "Aborted", object, cause: signal.reason });
  return new RetryableError(`What was to be kept broke off: ${(cause as Error).message}`, {
    reason: "SourceBroken",
    object,
    cause,
  });
}

function isNoSuchUpload(error: unknown): boolean {
  return error instanceof OperatorError && error.cause instanceof S3Failure && error.cause.code === "NoSuchUpload";
}
