/**
 * An API server that has many copies of one cluster, as far as an operator asks: lists, pages, watches, gets and writes over plain
 * HTTP. A process of its own, so that nothing of it is in the operator's memory. Prints the address of its kubeconfig's server.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { pathOf } from "../../src/kube/request-path.ts";
import { WATCHED } from "../../src/observe/kinds.ts";
import { copyOf, isCommon } from "./copies.ts";
import { recording, type Wire } from "./recording.ts";

const CLUSTERS = Number(process.env["CLUSTERS"] ?? 250);
const STREAMS_LISTS = process.env["PAGES"] !== "1";
const PLURALS = new Map([
  ...WATCHED.map(({ name, selection }) => [selection.kind, name] as const),
  ["Lease", "leases"] as const,
  ["Secret", "secrets"] as const,
]);

/** Objects as text, by path; texts, because a server has no use for their parts and clients get them anew each time. */
const objects = new Map<string, string>();
const byPlural = new Map<string, Set<string>>();
const followers = new Map<string, Set<ServerResponse>>();
const writes: Record<string, number> = {};
let version = 0;

const recorded = await recording();
for (const object of recorded) if (isCommon(object)) keep(object);
for (let at = 0; at < CLUSTERS; at += 1) for (const object of copyOf(recorded, at)) keep(object);

function pluralOf({ kind }: Wire): string {
  return PLURALS.get(kind) ?? kind;
}

function pathTo(object: Wire): string {
  const { namespace, name }: Wire["metadata"] & { readonly namespace?: string } = object.metadata;
  const plural = pluralOf(object);
  return `${pathOf({ ...object, namespace }, { plural, namespaced: namespace !== undefined })}/${name}`;
}

function keep(object: Wire): void {
  version = Math.max(version, Number(object.metadata.resourceVersion));
  const plural = pluralOf(object);
  const path = pathTo(object);
  objects.set(path, JSON.stringify(object));
  byPlural.set(plural, (byPlural.get(plural) ?? new Set()).add(path));
}

/** Stores a change and tells those that watch. */
function change(path: string, by: (object: Record<string, unknown>) => object): string {
  const before = JSON.parse(objects.get(path) ?? "") as Wire;
  version += 1;
  const after = by(before) as Wire;
  const stored: Wire = { ...after, metadata: { ...after.metadata, resourceVersion: String(version) } };
  keep(stored);
  const text = JSON.stringify(stored);
  for (const follower of followers.get(pluralOf(stored)) ?? [])
    follower.write(`{"type":"MODIFIED","object":${text}}\n`);
  return text;
}

/** Server-side apply, as far as a manifest that was applied before needs it: defaults stay where they are. */
function merged(live: unknown, desired: unknown): unknown {
  if (Array.isArray(desired)) {
    const found: readonly unknown[] = Array.isArray(live) && live.length === desired.length ? live : [];
    return desired.map((item, at) => merged(found[at], item));
  }
  if (typeof desired !== "object" || desired === null) return desired;
  const base = typeof live === "object" && live !== null ? live : {};
  const fields = Object.entries(desired).map(([name, value]) => [name, merged(Reflect.get(base, name), value)]);
  return { ...base, ...Object.fromEntries(fields) };
}

async function bodyOf(request: IncomingMessage): Promise<Record<string, unknown>> {
  let text = "";
  for await (const part of request.setEncoding("utf8")) text += part;
  return JSON.parse(text) as Record<string, unknown>;
}

function answer(response: ServerResponse, code: number, text: string): void {
  response.writeHead(code, { "content-type": "application/json" }).end(text);
}

function refuse(response: ServerResponse, code: number, name: string | undefined): void {
  const details = name === undefined ? {} : { details: { name } };
  answer(
    response,
    code,
    JSON.stringify({ kind: "Status", code, reason: code === 404 ? "NotFound" : "Invalid", ...details }),
  );
}

async function watch(plural: string, query: URLSearchParams, response: ServerResponse): Promise<void> {
  response.writeHead(200, { "content-type": "application/json" });
  const all = followers.get(plural) ?? new Set();
  followers.set(plural, all);
  if (query.get("sendInitialEvents") === "true") {
    for (const path of byPlural.get(plural) ?? []) {
      if (response.write(`{"type":"ADDED","object":${objects.get(path) ?? ""}}\n`)) continue;
      await new Promise((resolve) => response.once("drain", resolve));
    }
    const metadata = { resourceVersion: String(version), annotations: { "k8s.io/initial-events-end": "true" } };
    response.write(`${JSON.stringify({ type: "BOOKMARK", object: { metadata } })}\n`);
  }
  all.add(response);
  const bookmark = setInterval(() => {
    const metadata = { resourceVersion: String(version) };
    response.write(`${JSON.stringify({ type: "BOOKMARK", object: { metadata } })}\n`);
  }, 50_000);
  response.once("close", () => {
    clearInterval(bookmark);
    all.delete(response);
  });
}

function list(plural: string, query: URLSearchParams, response: ServerResponse): void {
  const paths = [...(byPlural.get(plural) ?? [])];
  const from = Number(query.get("continue") ?? 0);
  const to = from + Number(query.get("limit") ?? paths.length);
  const items = paths.slice(from, to).map((path) => objects.get(path));
  const next = to < paths.length ? `,"continue":"${to}"` : "";
  answer(response, 200, `{"metadata":{"resourceVersion":"${version}"${next}},"items":[${items.join()}]}`);
}

async function write(request: IncomingMessage, path: string, response: ServerResponse): Promise<void> {
  const body = await bodyOf(request);
  const isStatus = path.endsWith("/status");
  const target = isStatus ? path.slice(0, -"/status".length) : path;
  if (path.includes("/events") || path.includes("/selfsubject")) return answer(response, 201, JSON.stringify(body));
  const what = `${request.method ?? ""} ${target.split("/").at(-2) ?? ""}${isStatus ? "/status" : ""}`;
  writes[what] = (writes[what] ?? 0) + 1;
  if (request.method !== "PATCH" || !objects.has(target)) return refuse(response, 422, target.split("/").at(-1));
  answer(
    response,
    200,
    change(target, (live) => (isStatus ? { ...live, status: body["status"] } : merged(live, body)) as object),
  );
}

/** Lets a label change on pods that nobody reads, so that their clusters are looked at again. */
async function stir(count: number, pauseMs: number): Promise<void> {
  const pods = [...(byPlural.get("pods") ?? [])];
  for (let at = 0; at < count; at += 1) {
    change(pods[(at * 3 + (at % 3)) % pods.length] ?? "", (pod) => {
      const metadata = pod["metadata"] as { readonly labels: object };
      return { ...pod, metadata: { ...metadata, labels: { ...metadata.labels, stirred: String(version) } } };
    });
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

const KINDS_OF_EVENTS = { resources: [{ kind: "Event", name: "events", namespaced: true }] };

async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname: path, searchParams: query } = new URL(request.url ?? "", "http://server");
  const last = path.split("/").at(-1) ?? "";
  if (path === "/writes") return answer(response, 200, JSON.stringify(writes));
  if (path === "/stir")
    return stir(Number(query.get("count")), Number(query.get("pauseMs"))).then(() => answer(response, 200, "{}"));
  if (request.method !== "GET") return write(request, path, response);
  if (query.get("watch") === "true") {
    if (!STREAMS_LISTS && query.get("sendInitialEvents") === "true") return refuse(response, 422, undefined);
    return watch(last, query, response);
  }
  if (byPlural.has(last) || WATCHED.some(({ name }) => name === last)) return list(last, query, response);
  const found = objects.get(path);
  if (found !== undefined) return answer(response, 200, found);
  if (/^[/]apis[/][^/]+[/][^/]+$/.test(path) && !path.includes("monitoring")) {
    const groups = WATCHED.map(({ name, selection }) => ({
      name,
      kind: selection.kind,
      namespaced: selection.kind !== "PriorityClass",
    }));
    return answer(response, 200, JSON.stringify({ resources: [...groups, ...KINDS_OF_EVENTS.resources] }));
  }
  refuse(response, 404, last);
}

const server = createServer((request, response) => {
  respond(request, response).catch((error: unknown) => {
    console.error(request.method, request.url, error);
    refuse(response, 500, undefined);
  });
}).listen(0, "127.0.0.1", () => {
  process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`);
});
