/** Signatures of requests to S3, as Amazon's documentation works them out. */
import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { EMPTY_SHA256, encodePath, encodeQuery, signedHeaders } from "../../../src/agent/backup/s3-signature.ts";

const SIGNER = {
  credentials: {
    accessKeyId: "AKIAIOSFODNN7EXAMPLE",
    secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
  },
  region: "us-east-1",
  now: new Date("2013-05-24T00:00:00.000Z"),
};
const GET = {
  method: "GET",
  path: "/",
  query: {},
  headers: { host: "examplebucket.s3.amazonaws.com" },
  bodySha256: EMPTY_SHA256,
};

/** @see https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html */
const EXAMPLES = [
  {
    what: "GetObject with a range",
    request: { ...GET, path: encodePath("/test.txt"), headers: { ...GET.headers, range: "bytes=0-9" } },
    signature: "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
  },
  {
    what: "PutObject of a key that is encoded",
    request: {
      ...GET,
      method: "PUT",
      path: encodePath("/test$file.text"),
      headers: {
        ...GET.headers,
        date: "Fri, 24 May 2013 00:00:00 GMT",
        "x-amz-storage-class": "REDUCED_REDUNDANCY",
      },
      bodySha256: createHash("sha256").update("Welcome to Amazon S3.").digest("hex"),
    },
    signature: "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
  },
  {
    what: "a query without a value",
    request: { ...GET, query: { lifecycle: "" } },
    signature: "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
  },
  {
    what: "a list of objects",
    request: { ...GET, query: { prefix: "J", "max-keys": "2" } },
    signature: "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
  },
] as const;

describe("a signature", () => {
  test.each(EXAMPLES)("of $what", ({ request, signature }) => {
    const { authorization } = signedHeaders(request, SIGNER);
    expect(authorization).toContain(
      "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=",
    );
    expect(authorization).toMatch(new RegExp(`,Signature=${signature}$`));
  });

  test("covers the token of a temporary key", () => {
    const credentials = { ...SIGNER.credentials, sessionToken: "token" };
    const headers = signedHeaders(GET, { ...SIGNER, credentials });
    expect(headers["x-amz-security-token"]).toBe("token");
    expect(headers["authorization"]).toContain(
      "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,",
    );
  });
});

test("a path keeps nothing but what every signer keeps, and its slashes", () => {
  expect(encodePath("a b/+(ü)*'!/~_.-/%2F")).toBe("a%20b/%2B%28%C3%BC%29%2A%27%21/~_.-/%252F");
});

test("a query is in the order of its names as they are encoded", () => {
  expect(encodeQuery({ prefix: "a b&c", "max-keys": "2", "list-type": "2" })).toBe(
    "list-type=2&max-keys=2&prefix=a%20b%26c",
  );
});
