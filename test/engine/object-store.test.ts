/** Objects in a real S3 server, which checks signatures and hashes: whole or not at all, and by whom it is told to. */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ObjectNotFound, type ObjectStore } from "../../src/agent/backup/object-store.ts";
import { s3Store } from "../../src/agent/backup/s3-store.ts";
import { RetryableError, TerminalError } from "../../src/errors.ts";
import { type S3Server, startS3Server } from "./s3-server.ts";
import { ALWAYS, errorOf, MIB, pendingUploads, RANDOM, read, sha256, streamOf } from "./stored-bodies.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** Memory of buffers that are in use. */
async function bufferBytes(): Promise<number> {
  // Once is not enough: one collection may have begun before, and memory is given back beside the program.
  for (let round = 0; round < 3; round++) {
    collectGarbage();
    await turn();
  }
  return process.memoryUsage().arrayBuffers;
}

let server: S3Server;
let store: ObjectStore;

beforeAll(async () => {
  server = await startS3Server();
  store = s3Store(server.options);
});
afterAll(() => server.stop());

describe("an object", () => {
  test.each([
    ["of some bytes", Buffer.from("rows")],
    ["of nothing", Buffer.alloc(0)],
    ["of a byte less than a part", RANDOM.subarray(0, 8 * MIB - 1)],
    ["of exactly a part", RANDOM.subarray(0, 8 * MIB)],
    ["of exactly two parts", RANDOM.subarray(0, 16 * MIB)],
    ["of a byte more than two parts", RANDOM.subarray(0, 16 * MIB + 1)],
  ])("%s comes back as it was", async (_, body) => {
    expect(await store.put("some/object", streamOf(body), ALWAYS)).toEqual({
      bytes: body.length,
      sha256: sha256(body),
    });
    const back = await read(store, "some/object");
    expect([back.length, sha256(back)]).toEqual([body.length, sha256(body)]);
    expect(await pendingUploads(server)).toEqual([]);
  });

  test("of 40 MiB takes a part's memory to be kept, and next to none to be read by a slow reader", async () => {
    const before = await bufferBytes();
    let most = 0;
    const look = (): void => void (most = Math.max(most, process.memoryUsage().arrayBuffers - before));
    const kept = await store.put("large", streamOf(RANDOM, look), ALWAYS);
    expect(kept).toEqual({ bytes: RANDOM.length, sha256: sha256(RANDOM) });
    expect(most).toBeGreaterThan(7 * MIB);
    expect(most).toBeLessThan(14 * MIB);

    const hash = createHash("sha256");
    let bytes = 0;
    for await (const chunk of (await store.get("large", ALWAYS)) as AsyncIterable<Buffer>) {
      await turn();
      hash.update(chunk);
      bytes += chunk.length;
      if (bytes % (8 * MIB) < chunk.length) expect((await bufferBytes()) - before).toBeLessThan(4 * MIB);
    }
    expect(hash.digest("hex")).toBe(kept.sha256);
  });

  test("takes the place of another, of text as of bytes", async () => {
    await store.put("replaced", Readable.from(["for", "mer"]), ALWAYS);
    expect((await read(store, "replaced")).toString()).toBe("former");
    await store.put("replaced", Readable.from(["latter"]), ALWAYS);
    expect((await read(store, "replaced")).toString()).toBe("latter");
  });

  test("that was never there is told from a bucket that is not", async () => {
    const error = await errorOf(store.get("never", ALWAYS));
    expect(error).toBeInstanceOf(ObjectNotFound);
    expect(error.message).toBe("There is no such object: Object backups/never");
  });

  test("is gone when it was removed, and may be removed again", async () => {
    await store.put("removed", Readable.from(["rows"]), ALWAYS);
    await store.remove("removed", ALWAYS);
    await expect(store.get("removed", ALWAYS)).rejects.toThrow(ObjectNotFound);
    await store.remove("removed", ALWAYS);
  });

  test.each(["", "half of \ud83d"])("has no such key: '%s'", async (key) => {
    for (const work of [
      store.put(key, Readable.from(["rows"]), ALWAYS),
      store.get(key, ALWAYS),
      store.remove(key, ALWAYS),
    ])
      expect(await errorOf(work)).toBeInstanceOf(TerminalError);
  });
});

describe("keys", () => {
  const ODD = [
    "a b",
    "a+b",
    "a%2Bb%20c",
    "ü/ß/漢字 🙂",
    "a&b<c>\"d\"'e'",
    "q?x=1&y=2#z",
    "!*'();:@$,[]~",
    "tab\there",
    "back\\slash",
    "&amp;",
  ];

  test("with odd characters are listed and read as they were given", async () => {
    for (const key of ODD) await store.put(`odd/${key}`, Readable.from([key]), ALWAYS);
    expect((await store.list("odd/", ALWAYS)).toSorted()).toEqual(ODD.map((key) => `odd/${key}`).toSorted());
    for (const key of ODD) expect((await read(store, `odd/${key}`)).toString()).toBe(key);
    expect(await store.list("odd/a+", ALWAYS)).toEqual(["odd/a+b"]);
    expect(await store.list("odd/a b", ALWAYS)).toEqual(["odd/a b"]);
    for (const key of ODD) await store.remove(`odd/${key}`, ALWAYS);
    expect(await store.list("odd/", ALWAYS)).toEqual([]);
  });

  test("are all listed when there are thousands", async () => {
    const names = Array.from({ length: 2345 }, (_, index) => `many/${String(index).padStart(5, "0")} +`);
    mkdirSync(join(server.folder, "many"));
    for (const name of names) writeFileSync(join(server.folder, name), "");
    expect(await store.list("many/", ALWAYS)).toEqual(names);
    expect(server.requests().filter((line) => line.includes("continuation-token"))).toHaveLength(2);
  });
});

describe("nothing is to be seen of a body", () => {
  const BREAKS = {
    "that breaks": (body: Readable) => body.destroy(new Error("the disk is gone")),
    "that is destroyed": (body: Readable) => body.destroy(),
  };

  test.each(Object.entries(BREAKS))("%s in its first part", async (_, end) => {
    const body: Readable = streamOf(RANDOM, (start) => start === 2 * MIB && end(body));
    const error = await errorOf(store.put("broken", body, ALWAYS));
    expect(error).toBeInstanceOf(RetryableError);
    expect(error.reason).toBe("SourceBroken");
    await expectNothing("broken");
  });

  test.each(Object.entries(BREAKS))("%s after some parts", async (_, end) => {
    const body: Readable = streamOf(RANDOM, (start) => start === 20 * MIB && end(body));
    expect((await errorOf(store.put("broken", body, ALWAYS))).reason).toBe("SourceBroken");
    await expectNothing("broken");
  });

  test("that had broken before", async () => {
    const body = new PassThrough().on("error", () => undefined);
    body.destroy(new Error("the disk is gone"));
    expect((await errorOf(store.put("broken", body, ALWAYS))).message).toContain("the disk is gone");
    await expectNothing("broken");
  });

  test.each([0, 2, 20])("when the signal aborts after %i MiB", async (mebibytes) => {
    const control = new AbortController();
    const body = streamOf(RANDOM, (start) => start === mebibytes * MIB && control.abort());
    const error = await errorOf(store.put("aborted", body, control.signal));
    expect(error.reason).toBe("Aborted");
    expect(body.destroyed).toBe(true);
    await expectNothing("aborted");
  });

  test("when the signal aborts while nothing comes", async () => {
    const control = new AbortController();
    const body = new PassThrough();
    const put = errorOf(store.put("aborted", body, control.signal));
    await turn();
    control.abort();
    expect((await put).reason).toBe("Aborted");
    await expectNothing("aborted");
  });

  async function expectNothing(key: string): Promise<void> {
    expect(await store.list(key, ALWAYS)).toEqual([]);
    expect(await pendingUploads(server)).toEqual([]);
  }
});

describe("what the store refuses", () => {
  const SECRETS = ["of-somebody-else", "of-a-session"] as const;

  test.each(["put", "get", "list", "remove"] as const)("%s by a wrong secret", async (operation) => {
    const [secretAccessKey] = SECRETS;
    const wrong = s3Store({ ...server.options, credentials: async () => ({ ...server.credentials, secretAccessKey }) });
    const error = await errorOf(
      operation === "put" ? wrong.put("denied", Readable.from(["rows"]), ALWAYS) : wrong[operation]("denied", ALWAYS),
    );
    expect(error).toBeInstanceOf(TerminalError);
    expect(error.message).toMatch(
      /^\w+: HTTP 403 SignatureDoesNotMatch \(.+\): (?:Object backups\/denied|Bucket backups)$/,
    );
    expectNoProof(error);
  });

  test("a key that nobody has, and a token with it", async () => {
    const [secretAccessKey, sessionToken] = SECRETS;
    const unknown = { accessKeyId: "nobody", secretAccessKey, sessionToken };
    const error = await errorOf(s3Store({ ...server.options, credentials: async () => unknown }).list("", ALWAYS));
    expect(error.message).toContain("ListObjectsV2: HTTP 400 InvalidToken");
    expectNoProof(error);
  });

  test("a bucket that is not there", async () => {
    const elsewhere = s3Store({ ...server.options, bucket: "no-such-bucket" });
    for (const [operation, work] of [
      ["PutObject", () => elsewhere.put("a", Readable.from(["rows"]), ALWAYS)],
      ["CreateMultipartUpload", () => elsewhere.put("a", streamOf(RANDOM), ALWAYS)],
      ["GetObject", () => elsewhere.get("a", ALWAYS)],
      ["ListObjectsV2", () => elsewhere.list("a", ALWAYS)],
      ["DeleteObject", () => elsewhere.remove("a", ALWAYS)],
    ] as const) {
      const error = await errorOf(work());
      expect(error).toBeInstanceOf(TerminalError);
      expect(error).not.toBeInstanceOf(ObjectNotFound);
      expect(error.message).toMatch(new RegExp(`^${operation}: HTTP 404 NoSuchBucket \\(.+no-such-bucket`));
    }
  });

  test("an endpoint that is none", () => {
    for (const endpoint of ["backups", "ftp://host", "http://user:word@host", "http://host/?a=b"])
      expect(() => s3Store({ ...server.options, endpoint })).toThrow(TerminalError);
  });

  test("what the credentials throw is what is told", async () => {
    const credentials = (): Promise<never> => Promise.reject(new Error("no such file"));
    await expect(s3Store({ ...server.options, credentials }).list("", ALWAYS)).rejects.toThrow("no such file");
  });

  function expectNoProof(error: Error): void {
    const causes = (of: unknown): string =>
      of instanceof Error ? `${of.stack} ${JSON.stringify(of)} ${causes(of.cause)}` : String(of);
    for (const secret of [...SECRETS, server.credentials.secretAccessKey]) expect(causes(error)).not.toContain(secret);
    expect(causes(error)).not.toMatch(/[0-9a-f]{64}/);
  }
});

describe("with TLS", () => {
  let secure: S3Server;
  beforeAll(async () => {
    secure = await startS3Server({ tls: true });
  });
  afterAll(() => secure.stop());

  test("a store of a private authority is believed when that is", async () => {
    const body = RANDOM.subarray(0, 10 * MIB);
    const own = s3Store(secure.options);
    await own.put("secure", streamOf(body), ALWAYS);
    expect(sha256(await read(own, "secure"))).toBe(sha256(body));
    expect(sha256(readFileSync(join(secure.folder, "secure")))).toBe(sha256(body));
  });

  test("and not asked again, nor told a key, when that is not", async () => {
    const { ca: _, ...options } = secure.options;
    const before = secure.requests().length;
    const error = await errorOf(s3Store(options).list("", ALWAYS));
    expect(error).toBeInstanceOf(TerminalError);
    expect(error.message).toMatch(/^ListObjectsV2: no answer: unable to verify the first certificate/);
    expect(secure.requests()).toHaveLength(before);
  });
});
