/** The member's plain HTTP port: probes for the kubelet, metrics for Prometheus, a status page for people. */
import { createServer } from "node:http";
import { listen, type Listener } from "../listener.ts";

/** What the port serves; every function answers from memory. */
export interface HealthSource {
  /** Why the member should get no reads, or undefined when it should. Lag never counts: it would block drains. */
  readonly ready: () => string | undefined;
  readonly metrics: () => Promise<string>;
  readonly status: () => unknown;
}

/** Starts the server. */
export function startHealthServer(source: HealthSource, port: number, host?: string): Promise<Listener> {
  const server = createServer((request, response) => {
    const text = (status: number, body: string, type = "text/plain; charset=utf-8"): void => {
      response.writeHead(status, { "content-type": type });
      response.end(body);
    };
    const probe = (reason: string | undefined): void => text(reason === undefined ? 200 : 503, `${reason ?? "ok"}\n`);
    switch (request.url ?? "") {
      case "/livez":
        return text(200, "ok\n"); // an event loop that answers is all that is asked
      case "/readyz":
        return probe(source.ready());
      case "/metrics":
        source.metrics().then(
          (body) => text(200, body, "text/plain; version=0.0.4; charset=utf-8"),
          (error: Error) => text(500, `${error.message}\n`),
        );
        return;
      case "/status":
        return text(200, `${JSON.stringify(source.status(), null, 2)}\n`, "application/json");
      default:
        return text(404, "unknown path\n");
    }
  });
  return listen(server, port, host);
}
