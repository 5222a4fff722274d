/**
 * Ports for programs that are started later. A port that the kernel hands out and that is closed again is not free until
 * then: any connection of this machine may get it as its own end, and the program finds its address in use.
 */
import { createServer } from "node:net";
import type { EngineSpec } from "../api/engine.ts";

/** Below what Linux gives to connections (`ip_local_port_range`, from 32768) and below Kubernetes' node ports (from 30000). */
const FIRST_PORT = 20_000;
const PORTS = 5_000;

/**
 * Claims ports of loopback that nothing listens on. They stay this process's until it ends, whether it listens on them or
 * not: processes that ask at the same time get different ones.
 *
 * @throws {Error} when none is left.
 */
export async function claimPorts(count: number): Promise<number[]> {
  const claimed: number[] = [];
  const start = Math.floor(Math.random() * PORTS);
  for (let step = 0; step < PORTS && claimed.length < count; step++) {
    const port = FIRST_PORT + ((start + step) % PORTS);
    if (await claim(port)) claimed.push(port);
  }
  if (claimed.length < count) throw new Error(`fewer than ${count} ports of 127.0.0.1 are free from ${FIRST_PORT} on`);
  return claimed;
}

/** The second port of who has claimed `port`: nobody claims any of those, and all are equally far from the first. */
export function secondPort(port: number): number {
  return port + PORTS;
}

/** Claims one port. @returns the port. @throws {Error} when none is left. */
export async function claimPort(): Promise<number> {
  const [port = Number.NaN] = await claimPorts(1);
  return port;
}

/** Claims what members reach each other on, a row each of so many as the Engine says. @returns the first of each row; nothing for an Engine without. */
export async function claimMemberPorts(
  { memberPort, memberPorts = 1 }: Pick<EngineSpec, "memberPort" | "memberPorts">,
  count: number,
): Promise<number[]> {
  const firsts: number[] = [];
  if (memberPort === undefined) return firsts;
  while (firsts.length < count) firsts.push(await claimPortRow(memberPorts));
  return firsts;
}

/** Claims ports that follow each other. @returns the first. @throws {Error} when none are left. */
export async function claimPortRow(count: number): Promise<number> {
  for (;;) {
    const ports = await claimPorts(count);
    const [first = Number.NaN] = ports;
    if (ports.every((port, index) => port === first + index)) return first;
  }
}

/** Whether nothing listens on a port of this machine, at any address. */
export async function isFree(port: number): Promise<boolean> {
  const probe = await listening({ host: "0.0.0.0", port });
  await new Promise((resolve) => (probe === undefined ? resolve(undefined) : probe.close(resolve)));
  return probe !== undefined;
}

/** An abstract socket says whose the port is: atomic between processes, and the kernel removes it with its process. */
async function claim(port: number): Promise<boolean> {
  const owner = await listening({ path: `\0quorate-port-${port}` });
  if (owner === undefined) return false;
  owner.unref();
  const probe = await listening({ host: "127.0.0.1", port });
  if (probe === undefined) {
    owner.close();
    return false;
  }
  await new Promise((resolve) => probe.close(resolve));
  return true;
}

/** @returns a server, or undefined when the address is somebody else's. */
function listening(address: { readonly path: string } | { readonly host: string; readonly port: number }) {
  const server = createServer();
  return new Promise<typeof server | undefined>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) =>
      error.code === "EADDRINUSE" ? resolve(undefined) : reject(error),
    );
    server.listen(address, () => resolve(server));
  });
}
