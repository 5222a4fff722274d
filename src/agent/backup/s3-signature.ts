/**
 * AWS Signature Version 4 of requests to S3.
 *
 * Of our own, over node:crypto: `aws4` takes a path apart and puts it together anew, keeps the last thousand secrets in memory, and
 * loads node:crypto as it is loaded itself, which each agent would pay at its start whether it has backups or not.
 *
 * @see https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
 */
import { createHash, createHmac } from "node:crypto";

/** Who asks; with a token where the key is a temporary one. */
export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

/** What of a request is signed, which is all of it. */
export interface Signable {
  readonly method: string;
  /** Percent-encoded by `encodePath`. */
  readonly path: string;
  /** As they are, not encoded. */
  readonly query: Readonly<Record<string, string>>;
  /** By names in lower case; `host` among them, as it is sent. */
  readonly headers: Readonly<Record<string, string>>;
  /** Hash of the body, in hex. */
  readonly bodySha256: string;
}

/** Who signs, for where, and when. */
export interface Signer {
  readonly credentials: S3Credentials;
  readonly region: string;
  readonly now: Date;
}

/** Hash of no bytes. */
export const EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/** All headers to send: those of the request, and what proves who sends it. */
export function signedHeaders(request: Signable, { credentials, region, now }: Signer): Record<string, string> {
  const time = now.toISOString().replaceAll(/[-:]|[.][0-9]{3}/g, "");
  const headers: Record<string, string> = {
    ...request.headers,
    "x-amz-content-sha256": request.bodySha256,
    "x-amz-date": time,
    ...(credentials.sessionToken === undefined ? {} : { "x-amz-security-token": credentials.sessionToken }),
  };
  const names = Object.keys(headers).toSorted();
  const canonical = [
    request.method,
    request.path,
    encodeQuery(request.query),
    ...names.map((name) => `${name}:${headers[name]?.trim().replaceAll(/ +/g, " ")}`),
    "",
    names.join(";"),
    request.bodySha256,
  ].join("\n");
  const date = time.slice(0, 8);
  const scope = `${date}/${region}/s3/aws4_request`;
  const text = ["AWS4-HMAC-SHA256", time, scope, createHash("sha256").update(canonical).digest("hex")].join("\n");
  const key = [date, region, "s3", "aws4_request"].reduce<Buffer | string>(hmac, `AWS4${credentials.secretAccessKey}`);
  const signature = hmac(key, text).toString("hex");
  headers["authorization"] =
    `AWS4-HMAC-SHA256 Credential=${credentials.accessKeyId}/${scope},SignedHeaders=${names.join(";")},Signature=${signature}`;
  return headers;
}

/** A path whose segments are percent-encoded as signatures want it: all but letters, digits, `-`, `.`, `_` and `~`. */
export function encodePath(path: string): string {
  return path.split("/").map(encode).join("/");
}

/** A query in the order and the form in which it is signed; empty when there is none. */
export function encodeQuery(query: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(query).map(([name, value]) => [encode(name), encode(value)] as const);
  return pairs
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`)
    .join("&");
}

function encode(text: string): string {
  const percent = (char: string): string => `%${char.charCodeAt(0).toString(16).toUpperCase()}`;
  return encodeURIComponent(text).replaceAll(/[!'()*]/g, percent);
}

function hmac(key: Buffer | string, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}
