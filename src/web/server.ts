// Serves the status page: read-only, for people whom the API server knows, over clusters that they may list.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { listen, type Listener } from "../listener.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Access, Viewer } from "./access.ts";
import { type ClusterPage, CONTENT_SECURITY_POLICY, moment, renderSignIn, renderStatus } from "./page.ts";

export interface StatusServerOptions {
  /** Address to listen on, such as 127.0.0.1. */
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly access: Pick<Access, "viewerOf">;
  /** All clusters, in the order in which they are shown. */
  readonly clusters: () => readonly ClusterName[];
  /** What is shown of one. */
  readonly pageOf: (cluster: ClusterName) => ClusterPage | undefined;
  readonly now: () => Date;
  readonly log: Logger;
}

/** Which cluster. */
export interface ClusterName {
  readonly namespace: string;
  readonly name: string;
}

const COOKIE = "quorate-token";
const MAX_FORM_BYTES = 16_384; // a token has one or two thousand
const MAX_CLUSTERS = 100;
const TOKEN_SECONDS = 3600;
/** What a bearer token is made of (RFC 6750); nothing of it needs to be escaped in a cookie. */
const TOKEN = /^[A-Za-z0-9._~+/-]+=*$/;

/** Starts the server. */
export function startStatusServer(options: StatusServerOptions): Promise<Listener> {
  const server = createServer((request, response) => {
    answer(options, request, response).catch((error: unknown) => {
      options.log.warn({ err: error }, "Status page could not be shown");
      if (response.headersSent) response.destroy();
      else send(response, 503, "text/plain; charset=utf-8", "The API server could not be asked; try again.\n");
    });
  });
  return listen(server, options.port, options.host);
}

async function answer(options: StatusServerOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? "/", "http://status");
  const route = `${request.method ?? ""} ${url.pathname}`;
  if (route === "POST /sign-in") return signIn(options, request, response);
  if (route === "POST /sign-out") return signOut(request, response);
  if (route !== "GET /") return send(response, 404, "text/plain; charset=utf-8", "There is only one page: /\n");
  const token = tokenOf(request);
  const viewer = token === undefined ? undefined : await options.access.viewerOf(token);
  if (viewer === undefined) {
    const problem = token === undefined ? undefined : "The API server does not know this token any more.";
    return sendPage(response, 401, renderSignIn(problem));
  }
  return sendPage(response, 200, await pageFor(options, viewer, url.searchParams.get("namespace")));
}

async function pageFor(options: StatusServerOptions, viewer: Viewer, namespace: string | null): Promise<string> {
  const named = options.clusters().filter((one) => namespace === null || one.namespace === namespace);
  const namespaces = [...new Set(named.map((one) => one.namespace))];
  const seen = new Map(await Promise.all(namespaces.map(async (one) => [one, await viewer.mayList(one)] as const)));
  const allowed = named.filter((one) => seen.get(one.namespace) === true);
  const clusters = allowed.slice(0, MAX_CLUSTERS).flatMap((one) => options.pageOf(one) ?? []);
  const at = moment(options.now().toISOString());
  return renderStatus({
    user: viewer.name,
    at,
    clusters,
    more: Math.max(0, allowed.length - MAX_CLUSTERS),
  });
}

async function signIn(options: StatusServerOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const token = new URLSearchParams(await bodyOf(request)).get("token")?.trim() ?? "";
  const viewer = TOKEN.test(token) ? await options.access.viewerOf(token) : undefined;
  if (viewer === undefined) return sendPage(response, 401, renderSignIn("The API server does not know this token."));
  redirect(request, response, token, TOKEN_SECONDS);
}

function signOut(request: IncomingMessage, response: ServerResponse): void {
  redirect(request, response, "", 0);
}

function redirect(request: IncomingMessage, response: ServerResponse, token: string, maxAgeSeconds: number): void {
  const attributes = ["HttpOnly", "SameSite=Strict", "Path=/", `Max-Age=${maxAgeSeconds}`];
  // A forwarded port has no TLS, and needs none: the way to it is the API server's.
  const isLocal = /^(localhost|127\.0\.0\.1|\[::1\])(:|$)/.test(request.headers.host ?? "");
  const cookie = [`${COOKIE}=${token}`, ...attributes, ...(isLocal ? [] : ["Secure"])].join("; ");
  response.writeHead(303, { location: "/", "set-cookie": cookie, "cache-control": "no-store" }).end();
}

function tokenOf({ headers }: IncomingMessage): string | undefined {
  const bearer = /^Bearer (\S+)$/.exec(headers.authorization ?? "")?.[1];
  const pair = (headers.cookie ?? "").split("; ").find((one) => one.startsWith(`${COOKIE}=`));
  const token = bearer ?? pair?.slice(COOKIE.length + 1) ?? "";
  return TOKEN.test(token) ? token : undefined;
}

/** The body as text; cut off connections that send more than a form can have. */
async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_FORM_BYTES) {
      request.destroy();
      throw new Error(`the form has more than ${MAX_FORM_BYTES} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function sendPage(response: ServerResponse, code: number, page: string): void {
  response.setHeader("content-security-policy", CONTENT_SECURITY_POLICY);
  send(response, code, "text/html; charset=utf-8", page);
}

function send(response: ServerResponse, code: number, type: string, text: string): void {
  response.writeHead(code, {
    "content-type": type,
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
  });
  response.end(text);
}
