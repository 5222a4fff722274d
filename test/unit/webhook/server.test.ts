// The webhook's server as the API server meets it: over TLS, on connections that it keeps.
import { Agent, request } from "node:https";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createAuthority, issueCertificate } from "../../../src/act/certificates.ts";
import type { EngineSpec } from "../../../src/api/engine.ts";
import { WEBHOOK_PATH, WebhookServer, type ServerIdentity } from "../../../src/webhook/server.ts";
import { engine } from "../plan/fixture.ts";

interface Answer {
  readonly code: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: string;
}

interface Authority {
  readonly certificate: string;
  readonly identity: ServerIdentity;
}

const ORDERS = {
  apiVersion: "quorate.io/v1alpha1",
  kind: "ClusterSpec",
  metadata: { name: "orders", namespace: "shop" },
  spec: { engine: { name: "example" } },
};

let authorities: readonly Authority[];
let server: WebhookServer;
let agent: Agent;
let engineOf: () => Promise<EngineSpec | undefined>;
let warned: string[];

beforeAll(async () => {
  authorities = [await newAuthority(), await newAuthority()];
});

beforeEach(async () => {
  warned = [];
  engineOf = () => Promise.resolve(engine);
  const log = { warn: (...said: unknown[]) => void warned.push(String(said[1])) };
  server = await WebhookServer.start({ port: 0, identity: identityOf(0), engineOf: () => engineOf(), log });
  agent = keepingAgent();
});
afterEach(async () => {
  agent.destroy();
  await server.close();
});

async function newAuthority(): Promise<Authority> {
  const now = new Date();
  const authority = await createAuthority("quorate-webhook", now);
  const { certificate, key } = await issueCertificate(authority, ["localhost"], now);
  return { certificate: authority.certificate, identity: { cert: certificate, key } };
}

function identityOf(at: number): ServerIdentity {
  const { identity } = authorities[at] ?? {};
  if (identity === undefined) throw new Error(`there is no authority ${at}`);
  return identity;
}

/** Keeps its connections, and resumes no session: so the API server does. */
function keepingAgent(): Agent {
  const ca = authorities.map(({ certificate }) => certificate);
  return new Agent({ keepAlive: true, maxCachedSessions: 0, ca });
}

function review(object: unknown, rest: object = {}): string {
  const question = { uid: "u1", operation: "CREATE", object, oldObject: null, ...rest };
  return JSON.stringify({ apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", request: question });
}

function ask(
  body = review(ORDERS),
  { path = `${WEBHOOK_PATH}?timeout=3s`, method = "POST", by = agent } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const call = request({ host: "localhost", port: server.port, path, method, agent: by }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (part: string) => (text += part));
      response.once("end", () => resolve({ code: response.statusCode ?? 0, headers: response.headers, body: text }));
      response.once("error", reject);
    });
    call.once("error", reject);
    call.end(body);
  });
}

describe("answers", () => {
  const deleted = { ...ORDERS, metadata: { ...ORDERS.metadata, deletionTimestamp: "2030-01-01T00:00:00Z" } };
  const broken = { ...ORDERS, spec: { engine: { name: "example", version: "9" } } };
  test.each([
    { why: "what is good", object: ORDERS, allowed: true },
    { why: "what is bad", object: broken, allowed: false },
    { why: "what is of another version", object: { spec: "new" }, allowed: true },
    { why: "what is on its way out", object: { ...deleted, spec: broken.spec }, allowed: true },
  ])("$why", async ({ object, allowed }) => {
    const { code, body } = await ask(review(object));
    expect([code, JSON.parse(body)]).toMatchObject([200, { response: { uid: "u1", allowed } }]);
  });

  test("an update beside what it replaces", async () => {
    const { body } = await ask(
      review({ ...broken, metadata: { ...ORDERS.metadata, generation: 2 } }, { oldObject: broken }),
    );
    expect(JSON.parse(body)).toMatchObject({ response: { allowed: true } });
  });

  test.each([
    { why: "another path", code: 404, body: review(ORDERS), how: { path: "/" } },
    { why: "another method", code: 404, body: "", how: { method: "GET" } },
    { why: "another question", code: 400, body: "{}", how: {} },
    { why: "what is no JSON", code: 500, body: "{", how: {} },
    { why: "a flood", code: 500, body: " ".repeat(5 * 2 ** 20), how: {} },
  ])("$why with $code", async ({ code, body, how }) => {
    expect((await ask(body, how)).code).toBe(code);
  });

  test("with 500 while Engines cannot be read, and says so to its log", async () => {
    engineOf = () => Promise.reject(new Error("the API server is away"));
    expect((await ask()).code).toBe(500);
    expect(warned).toEqual([expect.stringContaining("could not be judged")]);
  });
});

test("leaves it to the API server to end a connection: who asks at that moment would get no answer", async () => {
  // Go's client drops what was idle for 90 s.
  const { headers } = await ask();
  expect(Number(/timeout=(\d+)/.exec(String(headers["keep-alive"]))?.[1])).toBeGreaterThan(90);
});

test("answers what was asked before it ends, and takes no more questions after", async () => {
  const asked = Promise.withResolvers<undefined>();
  const found = Promise.withResolvers<EngineSpec>();
  engineOf = () => {
    asked.resolve(undefined);
    return found.promise;
  };
  const answer = ask();
  await asked.promise;
  const closed = server.close();
  found.resolve(engine);
  expect(await answer).toMatchObject({ code: 200, headers: { connection: "close" } });
  await closed;
  await expect(ask()).rejects.toMatchObject({ code: "ECONNREFUSED" });
});

test("every question is answered while its certificate changes, on kept and on new connections", async () => {
  const stop = new AbortController();
  const codes: number[] = [];
  const asking = [true, true, false, false].map(async (keeps) => {
    let by = keepingAgent();
    while (!stop.signal.aborted) {
      codes.push((await ask(review(ORDERS), { by })).code);
      if (keeps) continue;
      by.destroy();
      by = keepingAgent(); // it gets to see the present certificate
    }
    by.destroy();
  });
  for (let turn = 1; turn <= 50; turn += 1) {
    server.renew(identityOf(turn % 2));
    await ask();
  }
  stop.abort();
  await Promise.all(asking);
  expect(codes.length).toBeGreaterThan(50);
  expect(new Set(codes)).toEqual(new Set([200]));
});
