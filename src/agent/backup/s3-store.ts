/** Objects in a bucket of Amazon S3, or of a store that speaks as it does, by what an agent can afford: no SDK. */
import { RetryableError } from "../../errors.ts";
import { ObjectNotFound, type ObjectStore } from "./object-store.ts";
import { S3Client, type S3Options, type S3Surroundings } from "./s3-client.ts";
import { getObject } from "./s3-download.ts";
import { putObject } from "./s3-upload.ts";
import { textOf, textsOf } from "./s3-xml.ts";

/**
 * A bucket as a store of objects. Asks nothing before it is used.
 *
 * The key needs s3:PutObject, s3:GetObject, s3:DeleteObject, s3:AbortMultipartUpload and s3:ListBucket: without the last, S3 says 403 of
 * an object that is not there. A rule of the bucket should abort multipart uploads that were left, by an agent that was killed, after
 * a few days.
 *
 * @param surroundings - For tests.
 * @throws {TerminalError} when the endpoint is none.
 */
export function s3Store(options: S3Options, surroundings?: S3Surroundings): ObjectStore {
  const client = new S3Client(options, surroundings);
  return {
    put: (key, body, signal) => putObject(client, key, body, signal),
    get: (key, signal) => getObject(client, key, signal),
    list: (prefix, signal) => listObjects(client, prefix, signal),
    remove: (key, signal) => removeObject(client, key, signal),
  };
}

async function listObjects(client: S3Client, prefix: string, signal: AbortSignal): Promise<readonly string[]> {
  const keys: string[] = [];
  let page: Readonly<Record<string, string>> | undefined = {};
  while (page !== undefined) {
    const { text } = await client.call(
      {
        operation: "ListObjectsV2",
        method: "GET",
        query: { "list-type": "2", "encoding-type": "url", prefix, ...page },
        document: "ListBucketResult",
      },
      signal,
    );
    // XML cannot hold every character of a key. Not all stores encode them; those that do say so.
    const isEncoded = textOf(text, "EncodingType") === "url";
    keys.push(...textsOf(text, "Key").map((key) => (isEncoded ? decodeURIComponent(key.replaceAll("+", " ")) : key)));
    page = pageAfter(client, text);
  }
  return keys;
}

/** What asks for the page after this one; undefined when it is the last. @throws {RetryableError} when it cannot be asked for. */
function pageAfter(client: S3Client, text: string): Readonly<Record<string, string>> | undefined {
  if (textOf(text, "IsTruncated") !== "true") return undefined;
  const token = textOf(text, "NextContinuationToken");
  if (token !== undefined && token !== "") return { "continuation-token": token };
  const details = { reason: "ObjectStoreUnavailable", object: client.nameOf() };
  throw new RetryableError("ListObjectsV2: the store has more keys, and does not say how to go on", details);
}

async function removeObject(client: S3Client, key: string, signal: AbortSignal): Promise<void> {
  try {
    await client.call({ operation: "DeleteObject", method: "DELETE", key }, signal);
  } catch (error) {
    if (!(error instanceof ObjectNotFound)) throw error;
  }
}
