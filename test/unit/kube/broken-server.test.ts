// What a real API server cannot be made to do: send garbage, cut a line, answer 429, keep a socket half open.
import { createServer, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { IndeterminateError, OperatorError, RetryableError } from "../../../src/errors.ts";
import type { Selection, WatchEvent } from "../../../src/kube/api.ts";
import { isGone } from "../../../src/kube/api-error.ts";
import { type ApiCall, KubeClient, type KubeClientOptions } from "../../../src/kube/client.ts";
import type { KubeObject } from "../../../src/kube/object.ts";
import { Reflector } from "../../../src/kube/reflector.ts";

const PODS: Selection = { apiVersion: "v1", kind: "Pod", namespace: "n" };
const closers: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

/** A TCP server that calls `answer` with the text of each request; the client that talks to it records its calls in `calls`. */
async function serverThat(
  answer: (request: string, socket: Socket, nth: number) => void,
  options: Pick<KubeClientOptions, "connections"> = {},
) {
  let requests = 0;
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("data", (data) => answer(data.toString(), socket, (requests += 1)));
    socket.on("error", () => undefined); // the client may cut it
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const calls: ApiCall[] = [];
  const client = new KubeClient(
    { server: `http://127.0.0.1:${address.port}`, namespace: "n", credentials: () => Promise.resolve({}) },
    { observe: (call) => calls.push(call), random: () => 0, ...options },
  );
  closers.push(async () => {
    client.close();
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return { client, calls, sockets };
}

function response(code: number, body: object, headers = ""): string {
  const text = JSON.stringify(body);
  return `HTTP/1.1 ${code} X\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(text)}\r\n${headers}\r\n${text}`;
}

function status(code: number, reason: string): object {
  return { kind: "Status", apiVersion: "v1", status: "Failure", code, reason, message: reason };
}

const STREAM_HEAD = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
function chunk(text: string): string {
  return `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
}

function pod(name: string, version: number): object {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { namespace: "n", name, uid: name, resourceVersion: String(version) },
  };
}

/** Reads a watch to its end. */
async function readAll(client: KubeClient): Promise<{ events: WatchEvent<KubeObject>[]; error: unknown }> {
  const events: WatchEvent<KubeObject>[] = [];
  try {
    for await (const event of client.watch(PODS, { resourceVersion: "1" })) events.push(event);
    return { events, error: undefined };
  } catch (error) {
    return { events, error };
  }
}

describe("a watch", () => {
  test("puts lines together that come in pieces, across the bytes of a character", async () => {
    const line = Buffer.from(`${JSON.stringify({ type: "ADDED", object: { ...pod("a", 2), note: "é" } })}\n`);
    const { client } = await serverThat((_request, socket) => {
      socket.write(STREAM_HEAD);
      for (let at = 0; at < line.length; at += 1) {
        socket.write(Buffer.concat([Buffer.from("1\r\n"), line.subarray(at, at + 1), Buffer.from("\r\n")]));
      }
      socket.end("0\r\n\r\n");
    });
    const { events, error } = await readAll(client);
    expect(error).toBeUndefined();
    expect(events).toEqual([{ type: "ADDED", object: { ...pod("a", 2), note: "é" } }]);
  });

  test.each([
    ["a line that is no JSON", "garbage\n"],
    ["a line that is no event", '{"type":"ADDED"}\n'],
    ["an unknown type", JSON.stringify({ type: "RENAMED", object: pod("a", 3) }) + "\n"],
    ["a line that is cut off", JSON.stringify({ type: "ADDED", object: pod("a", 3) }).slice(0, 40)],
  ])("breaks at %s, after delivering what came before", async (_what, bad) => {
    const good = JSON.stringify({ type: "ADDED", object: pod("a", 2) });
    const { client } = await serverThat((_request, socket) => {
      socket.end(STREAM_HEAD + chunk(`${good}\n`) + chunk(bad) + "0\r\n\r\n");
    });
    const { events, error } = await readAll(client);
    expect(events).toHaveLength(1);
    expect(error).toBeInstanceOf(RetryableError);
    expect(error).toMatchObject({ reason: "WatchBroken" });
  });

  test("throws the Status of an ERROR line", async () => {
    const { client } = await serverThat((_request, socket) => {
      socket.end(
        `${STREAM_HEAD}${chunk(`${JSON.stringify({ type: "ERROR", object: status(410, "Expired") })}\n`)}0\r\n\r\n`,
      );
    });
    expect(isGone((await readAll(client)).error)).toBe(true);
  });
});

test("a reflector leaves a half-open connection and goes on where it was", async () => {
  const questions: string[] = [];
  const watch = (object: object) => chunk(`${JSON.stringify(object)}\n`);
  const { client } = await serverThat((request, socket) => {
    const question = request.split("\r\n")[0] ?? "";
    questions.push(question);
    if (question.includes("sendInitialEvents")) {
      const end = {
        ...pod("", 5),
        metadata: { resourceVersion: "5", annotations: { "k8s.io/initial-events-end": "true" } },
      };
      // … and then silence, with the socket open
      socket.write(
        STREAM_HEAD + watch({ type: "ADDED", object: pod("a", 3) }) + watch({ type: "BOOKMARK", object: end }),
      );
    } else if (question.includes("limit=1"))
      socket.write(response(200, { metadata: { resourceVersion: "7" }, items: [] }));
    else socket.write(STREAM_HEAD + watch({ type: "MODIFIED", object: pod("a", 6) }));
  });
  const seen: string[] = [];
  const reasons: string[] = [];
  const abort = new AbortController();
  const reflector = new Reflector<KubeObject>({
    api: client,
    selection: PODS,
    silenceMs: 500, // longer than a busy machine lets the first answers wait
    baseBackoffMs: 1,
    sink: (event) => {
      seen.push(`${event.type} ${event.resourceVersion}`);
      if (seen.length === 2) abort.abort();
    },
    observer: { reconnecting: (reason) => reasons.push(reason) },
  });
  await reflector.run(abort.signal);
  expect(seen).toEqual(["Replaced 5", "Upserted 6"]);
  // A machine that is busy for longer than the silence makes it leave once more; it goes on at the same place.
  expect(new Set(reasons)).toEqual(new Set(["Silent"]));
  const [first, ...later] = questions.filter((question) => question.includes("watch="));
  expect(first).toContain("sendInitialEvents");
  expect(later.length).toBeGreaterThan(0);
  for (const question of later) {
    expect(question).toContain("resourceVersion=5");
    expect(question).not.toContain("sendInitialEvents");
  }
});

describe("a call", () => {
  test("that is idempotent waits as long as 429 asks and is sent again", async () => {
    const { client, calls } = await serverThat((_request, socket, nth) => {
      socket.write(
        nth === 1 ? response(429, status(429, "TooManyRequests"), "retry-after: 1\r\n") : response(200, pod("a", 2)),
      );
    });
    expect(await client.get({ ...PODS, name: "a" })).toMatchObject({ metadata: { name: "a" } });
    expect(calls.map((call) => call.code)).toEqual([429, 200]);
  });

  test("gives up when the wait does not fit into its deadline, and passes the wait on", async () => {
    const { client, calls } = await serverThat((_request, socket) => {
      socket.write(response(429, status(429, "TooManyRequests"), "retry-after: 60\r\n"));
    });
    const error: unknown = await client.get({ ...PODS, name: "a" }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ reason: "TooManyRequests", retryAfterMs: 60_000 });
    expect(calls).toHaveLength(1);
  });

  test("that creates is never sent twice", async () => {
    const { client, calls } = await serverThat((_request, socket) =>
      socket.write(response(503, status(503, "ServiceUnavailable"))),
    );
    const created: unknown = await client
      .create({ apiVersion: "v1", kind: "Pod", metadata: { namespace: "n", name: "a" } })
      .catch((thrown: unknown) => thrown);
    expect(created).toBeInstanceOf(IndeterminateError); // a proxy may have passed it on
    expect(calls).toHaveLength(1);
  });

  test("that had to wait for a connection is as indeterminate as any other once it was sent, and not sent again", async () => {
    const { client, calls } = await serverThat(
      (request, socket) => {
        if (request.startsWith("GET")) socket.write(response(200, pod("a", 2)));
        else socket.resetAndDestroy();
      },
      { connections: 1 },
    );
    const reading = client.get({ ...PODS, name: "a" });
    const object = { apiVersion: "v1", kind: "Pod", metadata: { namespace: "n", name: "a", resourceVersion: "1" } };
    const error: unknown = await client.update(object).catch((thrown: unknown) => thrown);
    expect(await reading).toBeDefined();
    expect(error).toBeInstanceOf(IndeterminateError);
    expect(calls.map((call) => [call.verb, call.code])).toEqual([
      ["get", 200],
      ["update", 0],
    ]);
  });

  test("whose connection is reset after it was sent is indeterminate when it writes, and repeated when it reads", async () => {
    const { client, calls } = await serverThat((_request, socket, nth) => {
      if (nth <= 2) socket.resetAndDestroy();
      else socket.write(response(200, pod("a", 2)));
    });
    const object = { apiVersion: "v1", kind: "Pod", metadata: { namespace: "n", name: "a", resourceVersion: "1" } };
    const error: unknown = await client.update(object).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(IndeterminateError);
    expect(await client.get({ ...PODS, name: "a" })).toBeDefined();
    expect(calls.map((call) => [call.verb, call.code])).toEqual([
      ["update", 0],
      ["get", 0],
      ["get", 200],
    ]);
  });

  test("with an answer that is no JSON is retryable, and its text is not in the error", async () => {
    const { client } = await serverThat((_request, socket) => {
      socket.write("HTTP/1.1 502 X\r\ncontent-length: 12\r\nset-cookie: token=hidden\r\n\r\n<html>secret");
    });
    const error: unknown = await client.get({ ...PODS, name: "a" }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(OperatorError);
    expect(JSON.stringify([String(error), error, error instanceof Error && error.cause])).not.toMatch(/secret|hidden/);
    expect(error).toMatchObject({ reason: "Http502", retry: "backoff" });
  });
});
