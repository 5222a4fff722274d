// The operator's HTTP side: is it alive, is it ready, and its metrics.
import { createServer, type ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import { setImmediate as othersTurn } from "node:timers/promises";
import { listen, type Listener } from "../listener.ts";
import type { ClusterRegistry } from "../telemetry/cluster-registry.ts";

export interface HealthServerOptions {
  /** 0: any free port. */
  readonly port: number;
  readonly registry: ClusterRegistry;
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
  response.setHeader("Content-Type", registry.contentType);
  await pipeline(inTurns(registry.chunks()), response);
}

/** Lets everything else that waits go first between two parts: a scrape of a thousand clusters must hold up no failover. */
async function* inTurns(chunks: AsyncIterable<string>): AsyncGenerator<string> {
  for await (const chunk of chunks) {
    yield chunk;
    await othersTurn();
  }
}

function send(response: ServerResponse, code: number, text: string): void {
  response.statusCode = code;
  response.end(`${text}\n`);
}
