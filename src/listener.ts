/** Servers that listen: how one begins, and how it ends without waiting for connections that are kept alive. */
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";

/** A server that listens. */
export interface Listener {
  /** The port that it was given. */
  readonly port: number;
  /** Ends it with all its connections. @param graceMs - How long those that still wait for an answer are let live. */
  close(graceMs?: number): Promise<void>;
}

/** Begins to listen. @param port - 0: any free one. @param host - Absent: all addresses. @throws when the port is taken. */
export async function listen(server: Server, port: number, host?: string): Promise<Listener> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ port, ...(host === undefined ? {} : { host }) }, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: async (graceMs = 0) => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      const timer = setTimeout(() => server.closeAllConnections(), graceMs);
      await closed;
      clearTimeout(timer);
    },
  };
}
