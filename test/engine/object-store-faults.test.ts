/** Objects in a real S3 server behind a network that cuts, and with a store that is busy: asked again, and never taken for what they are not. */
import { Readable } from "node:stream";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import type { ObjectStore } from "../../src/agent/backup/object-store.ts";
import { IDLE_TIMEOUT_MS } from "../../src/agent/backup/s3-client.ts";
import { s3Store } from "../../src/agent/backup/s3-store.ts";
import { type Clock, systemClock } from "../../src/clock.ts";
import { IndeterminateError, TerminalError } from "../../src/errors.ts";
import { type Fault, S3Faults, type Script } from "./s3-faults.ts";
import { type S3Server, startS3Server } from "./s3-server.ts";
import { ALWAYS, errorOf, MIB, pendingUploads, RANDOM, read, sha256, streamOf } from "./stored-bodies.ts";

/** Waits as long between attempts as a test can afford, and for an answer as long as a busy machine needs. */
const HASTY: Clock = {
  ...systemClock,
  schedule: (delayMs, callback) => systemClock.schedule(delayMs === IDLE_TIMEOUT_MS ? 2000 : delayMs / 50, callback),
};

let server: S3Server;
let faults: S3Faults;
/** Asks the server itself. */
let store: ObjectStore;
/** Asks through the faults. */
let hasty: ObjectStore;

beforeAll(async () => {
  server = await startS3Server();
  store = s3Store(server.options);
});
afterAll(() => server.stop());
beforeEach(async () => {
  faults = await S3Faults.before(server.endpoint);
  hasty = s3Store({ ...server.options, endpoint: faults.endpoint }, { clock: HASTY });
});
afterEach(() => faults.close());

/** Does `given` to requests of a kind, one after the other, and nothing to those after them. */
function first(...given: readonly Fault[]): Script {
  const counts = new Map<string, number>();
  return (request) => {
    const kind = request.replace(/uploadId=[^&]+/, "uploadId");
    const count = counts.get(kind) ?? 0;
    counts.set(kind, count + 1);
    return given[count];
  };
}

/** Whether it puts the parts of an upload together. */
const isComplete = (request: string): boolean => request.startsWith("POST") && request.includes("?uploadId");

/** What passes by itself. */
const PASSING: readonly Fault[] = [
  { kind: "answer", status: 503, body: "<Error><Code>SlowDown</Code><Message>Reduce</Message></Error>" },
  { kind: "cut" },
  { kind: "answer", status: 500, body: "<html>" },
  { kind: "answer", status: 429, headers: { "retry-after": "1" } },
  { kind: "answer", status: 400, body: "<Error><Code>RequestTimeout</Code></Error>" },
];

test("everything is asked again until it goes well", async () => {
  faults.script = first(...PASSING);
  const body = RANDOM.subarray(0, 20 * MIB);
  expect(await hasty.put("retried", streamOf(body), ALWAYS)).toEqual({ bytes: body.length, sha256: sha256(body) });
  expect(await hasty.list("retried", ALWAYS)).toEqual(["retried"]);
  expect(sha256(await read(hasty, "retried"))).toBe(sha256(body));
  await hasty.put("retried", Readable.from(["rows"]), ALWAYS);
  await hasty.remove("retried", ALWAYS);
  expect(await store.list("retried", ALWAYS)).toEqual([]);
  // Create, three parts, complete; list; get; put; remove.
  expect(faults.requests).toHaveLength(9 * 6);
  expect(await pendingUploads(server)).toEqual([]);
});

test("a request that gets no answer is given up and asked again, and so is an answer that stops", async () => {
  const silences: Fault[] = [{ kind: "silence" }, { kind: "stall-answer", afterBytes: MIB }];
  faults.script = (request) => (isFirst(request) ? silences.shift() : undefined);
  const isFirst = (request: string): boolean => faults.requests.filter((other) => other === request).length === 1;
  const body = RANDOM.subarray(0, 2 * MIB);
  await hasty.put("silence", streamOf(body), ALWAYS);
  expect(faults.requests).toHaveLength(2);
  expect(sha256(await read(hasty, "silence"))).toBe(sha256(body));
  expect(faults.requests).toHaveLength(4);
});

test("what was done, and whose answer was lost, is not done twice nor taken for failed", async () => {
  // Some stores answer the second time as they did the first; others know nothing of an upload that was completed.
  const answers: Fault[] = [
    { kind: "lose-answer" },
    { kind: "answer", status: 404, body: "<Error><Code>NoSuchUpload</Code></Error>" },
  ];
  faults.script = (request) => (isComplete(request) ? answers.shift() : undefined);
  const body = RANDOM.subarray(0, 10 * MIB);
  expect((await hasty.put("lost", streamOf(body), ALWAYS)).sha256).toBe(sha256(body));
  expect(sha256(await read(store, "lost"))).toBe(sha256(body));
  expect(faults.requests.slice(-3).map((request) => request.split("?", 1)[0])).toEqual([
    "POST /backups/lost",
    "POST /backups/lost",
    "HEAD /backups/lost",
  ]);
});

test("an upload that is gone is not taken for done by an older object", async () => {
  await store.put("older", streamOf(RANDOM.subarray(0, 10 * MIB)), ALWAYS);
  const body = "<Error><Code>NoSuchUpload</Code></Error>";
  faults.script = (request) => (isComplete(request) ? { kind: "answer", status: 404, body } : undefined);
  const error = await errorOf(hasty.put("older", streamOf(RANDOM.subarray(MIB, 11 * MIB)), ALWAYS));
  expect(error.message).toContain("CompleteMultipartUpload: HTTP 404 NoSuchUpload");
  expect(sha256(await read(store, "older"))).toBe(sha256(RANDOM.subarray(0, 10 * MIB)));
  expect(await pendingUploads(server)).toEqual([]);
});

test("an error with status 200 is none of success", async () => {
  const body = "  \n<Error><Code>InternalError</Code><Message>We &amp; you</Message></Error>";
  faults.script = (request) => (isComplete(request) ? { kind: "answer", status: 200, body } : undefined);
  const error = await errorOf(hasty.put("late", streamOf(RANDOM.subarray(0, 10 * MIB)), ALWAYS));
  expect(error).toBeInstanceOf(IndeterminateError);
  expect(error.message).toBe("CompleteMultipartUpload: HTTP 200 InternalError (We & you): Object backups/late");
  expect(await store.list("late", ALWAYS)).toEqual([]);
  expect(await pendingUploads(server)).toEqual([]);
});

test("what is refused is not asked again", async () => {
  for (const status of [301, 400, 403, 409, 412, 501]) {
    faults.script = () => ({ kind: "answer", status, body: "<Error><Code>No</Code></Error>" });
    const error = await errorOf(hasty.list("", ALWAYS));
    expect(error).toBeInstanceOf(TerminalError);
    expect(error.message).toBe(`ListObjectsV2: HTTP ${status} No: Bucket backups`);
  }
  expect(faults.requests).toHaveLength(6);
});

test("a store that stays away is given up", async () => {
  faults.script = () => ({ kind: "answer", status: 503, headers: { "retry-after": "7" } });
  const error = await errorOf(hasty.get("away", ALWAYS));
  expect(error).toMatchObject({ retry: "backoff", reason: "ObjectStoreUnavailable", retryAfterMs: 7000 });
  expect(faults.requests).toHaveLength(10);
  await faults.close();
  expect((await errorOf(hasty.list("", ALWAYS))).message).toMatch(/^ListObjectsV2: no answer: connect ECONNREFUSED/);
});

test("a page that is none is not taken for a list without keys", async () => {
  faults.script = () => ({ kind: "answer", status: 200, body: "<html>Log in</html>" });
  expect((await errorOf(hasty.list("", ALWAYS))).message).toBe("ListObjectsV2: HTTP 200: Bucket backups");
});

test("an object whose connection is cut goes on where it ended", async () => {
  await store.put("long", streamOf(RANDOM), ALWAYS);
  const cuts = [3 * MIB, 0, 10 * MIB + 1, 1];
  faults.script = () => {
    const afterBytes = cuts.shift();
    return afterBytes === undefined ? undefined : { kind: "cut-answer", afterBytes };
  };
  expect(sha256(await read(hasty, "long"))).toBe(sha256(RANDOM));
  expect(faults.requests).toHaveLength(5);
});

test("an object that cannot be had to its end breaks, and never ends before", async () => {
  await store.put("long", streamOf(RANDOM), ALWAYS);
  let asked = 0;
  faults.script = () => ({ kind: "cut-answer", afterBytes: asked++ === 0 ? 3 * MIB : 0 });
  const error = await errorOf(read(hasty, "long"));
  expect(error).toMatchObject({ retry: "backoff", reason: "ObjectStoreUnavailable" });
  expect(error.message).toContain(`after ${3 * MIB} of ${40 * MIB} bytes`);
});

test("an object that is replaced while it is read breaks", async () => {
  await store.put("changed", streamOf(RANDOM), ALWAYS);
  faults.script = first({ kind: "cut-answer", afterBytes: 3 * MIB });
  const body = await hasty.get("changed", ALWAYS);
  await store.put("changed", streamOf(Buffer.from(RANDOM).reverse()), ALWAYS);
  expect((await errorOf(body.toArray())).message).toContain("GetObject: HTTP 412");
});

test("reading ends with the signal, and with the reader", async () => {
  await store.put("long", streamOf(RANDOM), ALWAYS);
  const control = new AbortController();
  const body = await hasty.get("long", control.signal);
  await body[Symbol.asyncIterator]().next();
  const ended = errorOf(body.toArray());
  control.abort();
  expect((await ended).reason).toBe("Aborted");
  for await (const chunk of await hasty.get("long", ALWAYS)) {
    expect((chunk as Buffer).length).toBeGreaterThan(0);
    break;
  }
  expect((await errorOf(hasty.get("long", control.signal))).reason).toBe("Aborted");
});
