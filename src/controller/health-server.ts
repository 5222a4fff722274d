// The operator's HTTP side: is it alive, is it ready, and its metrics.
import { createServer, type ServerResponse } from "node:http";
import type { Registry } from "prom-client";
import { listen, type Listener } from "../listener.ts";

export interface HealthServerOptions {
  /** 0: any free port. */
  readonly port: number;
  readonly registry: Registry;
  /** Caches are synced. A replica that does not lead is ready, too: it takes over within seconds. */
  readonly isReady: () => boolean;
}

/** Serves /livez, /readyz and /metrics. Answering at all is the proof of life: the event loop turns. */
export function startHealthServer(options: HealthServerOptions): Promise<Listener> {
  const server = createServer((request, response) => {
    answer(options, request.url ?? "/", response).catch((error: unknown) => response.destroy(error as Error));
  });
  return listen(server, options.port);
}

async function answer(
  { registry, isReady }: HealthServerOptions,
  url: string,
  response: ServerResponse,
): Promise<void> {
  const [path] = url.split("?");
  if (path === "/livez") return send(response, 200, "ok");
  if (path === "/readyz") return isReady() ? send(response, 200, "ok") : send(response, 503, "caches are not synced");
  if (path !== "/metrics") return send(response, 404, "not found: there are /livez, /readyz and /metrics");
  const text = await registry.metrics();
  response.setHeader("Content-Type", registry.contentType);
  response.end(text);
}

function send(response: ServerResponse, code: number, text: string): void {
  response.statusCode = code;
  response.end(`${text}\n`);
}
