import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { KubeObject } from "../../../src/kube/object.ts";
import { Access } from "../../../src/web/access.ts";
import type { ClusterPage } from "../../../src/web/page.ts";
import { startStatusServer } from "../../../src/web/server.ts";
import { FakeClock } from "../fake-clock.ts";

/** An API server that knows one token, whose owner may list one namespace. */
class FakeReviews {
  readonly asked: string[] = [];
  isAway = false;
  known = "good-token";
  namespaces = ["shop"];

  create(object: KubeObject & { readonly spec?: unknown }): Promise<never> {
    this.asked.push(object.kind);
    if (this.isAway) return Promise.reject(new Error("no answer"));
    return Promise.resolve({ ...object, status: this.#status(object) } as never);
  }

  #status({ kind, spec }: KubeObject & { readonly spec?: unknown }): object {
    if (kind === "TokenReview") {
      const authenticated = (spec as { readonly token: string }).token === this.known;
      return { authenticated, user: { username: "ann", groups: ["devs"] } };
    }
    const { user, resourceAttributes } = spec as {
      readonly user: string;
      readonly resourceAttributes: { readonly namespace?: string; readonly verb: string; readonly resource: string };
    };
    const { namespace, verb, resource } = resourceAttributes;
    const isAsked = user === "ann" && verb === "list" && resource === "clusterspecs";
    return { allowed: isAsked && namespace !== undefined && this.namespaces.includes(namespace) };
  }
}

const NAMES = ["bank/ledger", "shop/carts", "shop/orders"].map((key) => {
  const [namespace = "", name = ""] = key.split("/");
  return { namespace, name };
});

let reviews: FakeReviews;
let clock: FakeClock;
let address: string;
let close: () => Promise<void>;

beforeEach(async () => {
  reviews = new FakeReviews();
  clock = new FakeClock();
  const started = await startStatusServer({
    host: "127.0.0.1",
    port: 0,
    access: new Access(reviews, clock),
    clusters: () => NAMES,
    pageOf: ({ namespace, name }): ClusterPage => ({
      namespace,
      name,
      engine: "postgres",
      promise: "",
      ready: "3/3",
      isReady: true,
      trouble: undefined,
      epoch: 1,
      change: undefined,
      rollout: undefined,
      members: [],
      blocked: [],
      budgets: undefined,
      unjudged: undefined,
      timeline: [],
    }),
    now: () => new Date(0),
    log: pino({ level: "silent" }),
  });
  address = `http://127.0.0.1:${started.port}`;
  close = () => started.close();
});
afterEach(() => close());

const withToken = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });

function signIn(token: string): Promise<Response> {
  const body = new URLSearchParams({ token });
  return fetch(`${address}/sign-in`, { method: "POST", body, redirect: "manual" });
}

describe("without a token that the API server knows", () => {
  test("there is a form and no cluster", async () => {
    for (const options of [{}, withToken("wrong")]) {
      const answer = await fetch(`${address}/`, options);
      const text = await answer.text();
      expect(answer.status).toBe(401);
      expect(text).toContain('action="/sign-in"');
      expect(text).not.toContain("orders");
    }
  });

  test("nobody is signed in", async () => {
    const answer = await signIn("wrong");
    expect(answer.status).toBe(401);
    expect(answer.headers.get("set-cookie")).toBeNull();
  });
});

describe("with a token", () => {
  test("only clusters of namespaces that its owner may list are there", async () => {
    const text = await (await fetch(`${address}/`, withToken("good-token"))).text();
    expect([...text.matchAll(/<h2>.*?<\/span> (.*?)<\/h2>/g)].map(([, name]) => name)).toEqual([
      "shop/carts",
      "shop/orders",
    ]);
    expect(text).toContain("ann");
    expect(text).not.toContain("good-token");
  });

  test("a namespace can be named, and gives nothing that is not allowed", async () => {
    expect(await (await fetch(`${address}/?namespace=bank`, withToken("good-token"))).text()).not.toContain("ledger");
    expect(await (await fetch(`${address}/?namespace=shop`, withToken("good-token"))).text()).toContain("orders");
  });

  test("signing in leaves a cookie that no script reads and no other site sends, and signing out takes it", async () => {
    const answer = await signIn(" good-token ");
    expect(answer.status).toBe(303);
    const cookie = answer.headers.get("set-cookie") ?? "";
    for (const attribute of ["HttpOnly", "SameSite=Strict", "Path=/"]) expect(cookie).toContain(attribute);
    const [pair = ""] = cookie.split(";");
    expect((await fetch(`${address}/`, { headers: { cookie: pair } })).status).toBe(200);
    const out = await fetch(`${address}/sign-out`, { method: "POST", redirect: "manual" });
    expect(out.headers.get("set-cookie")).toContain("Max-Age=0");
  });

  test("the API server is asked once in half a minute, and a token that is taken back works no longer", async () => {
    for (let times = 0; times < 5; times += 1) await fetch(`${address}/`, withToken("good-token"));
    expect(reviews.asked.filter((kind) => kind === "TokenReview")).toHaveLength(1);
    reviews.known = "another";
    clock.advance(31_000);
    expect((await fetch(`${address}/`, withToken("good-token"))).status).toBe(401);
  });

  test("an API server that is away is said, and asked again at once", async () => {
    reviews.isAway = true;
    expect((await fetch(`${address}/`, withToken("good-token"))).status).toBe(503);
    reviews.isAway = false;
    expect((await fetch(`${address}/`, withToken("good-token"))).status).toBe(200);
  });
});

test("nothing is run, framed, kept or sent elsewhere by the browser", async () => {
  const { headers } = await fetch(`${address}/`);
  expect(headers.get("content-security-policy")).toMatch(
    /^default-src 'none'; style-src 'sha256-[^']+'; form-action 'self'/,
  );
  expect(headers.get("cache-control")).toBe("no-store");
  expect(headers.get("x-content-type-options")).toBe("nosniff");
});

test("there is one page, and it changes nothing", async () => {
  for (const [method, path] of [
    ["GET", "/metrics"],
    ["POST", "/"],
    ["DELETE", "/"],
  ] as const) {
    expect((await fetch(`${address}${path}`, { method, ...withToken("good-token") })).status).toBe(404);
  }
});

test("a form without end is cut off, and what is no token is not asked about", async () => {
  const outcome = await signIn("x".repeat(1_000_000)).then(
    ({ status }) => status,
    () => "cut off",
  );
  expect(outcome).toBe("cut off");
  const headers = { cookie: "quorate-token=%zz" };
  expect((await fetch(`${address}/`, { headers })).status).toBe(401);
  expect((await signIn("two words")).status).toBe(401);
  expect(reviews.asked).toEqual([]);
});
