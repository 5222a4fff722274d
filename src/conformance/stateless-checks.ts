/** What the contract asks of an Engine whose members keep no data (topology Stateless): no agent asks, so all of it shows over HTTP. */
import { once } from "node:events";
import { setTimeout as pause } from "node:timers/promises";
import { type Check, demand } from "./check.ts";
import { type HostServer, isGood, LIVE_TIMEOUT_MS, READY_TIMEOUT_MS } from "./host-server.ts";

/** One server, which no check has started yet. */
export interface ServerWorld {
  readonly server: HostServer;
  readonly graceSeconds: number;
}

/** How long after its start the server is killed. */
const KILLED_AFTER_MS = [0, 30, 150, 500] as const;
/** How long an idle server is watched, and how often it is asked: more often than by the kubelet. */
const WATCH_MS = 4000;
const ASK_MS = 200;
/** What a server has to take notice of what a client has sent, or of SIGTERM. */
const NOTICE_MS = 300;

async function demandLive(server: HostServer): Promise<void> {
  const { live } = server.probes;
  if (live === undefined) return;
  const answer = await server.ask(live.path, LIVE_TIMEOUT_MS);
  demand(isGood(answer), `probes.live: ${live.path} has no good answer while ready has one, but: ${answer}`);
}

const starting: Check<ServerWorld> = {
  name: "start",
  rule: "ready has a good answer within startSeconds, at the pod's address and port; live has one no later",
  run: async ({ server }) => {
    await server.bringUp("");
    await demandLive(server);
  },
};

const restarts: Check<ServerWorld> = {
  name: "restart",
  rule: "killed at any point of its start, or later, the server comes up again with what it left behind",
  run: async ({ server }) => {
    for (const afterMs of KILLED_AFTER_MS) {
      server.start();
      await pause(afterMs);
      await server.member.kill();
    }
    await server.bringUp("after it was killed at its start");
    await server.member.kill();
    await server.bringUp("after it was killed");
  },
};

const probes: Check<ServerWorld> = {
  name: "probes",
  rule: "while nobody asks for anything else, ready and live go on having good answers in time; neither waits for another server",
  run: async ({ server }) => {
    await server.bringUp("");
    const { ready } = server.probes;
    const endMs = performance.now() + WATCH_MS;
    while (performance.now() < endMs) {
      const answer = await server.ask(ready.path, READY_TIMEOUT_MS);
      demand(isGood(answer), `probes.ready: ${ready.path} answered before, and now: ${answer}`);
      await demandLive(server);
      await pause(ASK_MS);
    }
  },
};

const stops: Check<ServerWorld> = {
  name: "stop",
  rule: "after SIGTERM the server ends within stop.graceSeconds, although clients keep connections open that they do not use",
  run: async ({ server, graceSeconds }) => {
    await server.bringUp("");
    const idle = await server.open(`GET ${server.probes.ready.path} HTTP/1.1\r\nHost: host\r\n\r\n`);
    await once(idle, "data");
    const unused = await server.open("");
    const isInTime = await server.member.stopWithin(graceSeconds * 1000);
    for (const socket of [idle, unused]) socket.destroy();
    demand(
      isInTime,
      `stop: the server does not end within graceSeconds (${graceSeconds}) after SIGTERM and has to be killed`,
    );
  },
};

const drains: Check<ServerWorld> = {
  name: "drain",
  rule: "a request that was on its way when SIGTERM came is answered",
  run: async ({ server, graceSeconds }) => {
    await server.bringUp("");
    const client = await server.open(`GET ${server.probes.ready.path} HTTP/1.1\r\nHost: host\r\n`);
    let answer = "";
    client.setEncoding("utf8").on("data", (chunk: string) => (answer += chunk));
    const closed = once(client, "close");
    await pause(NOTICE_MS);
    const ended = server.member.stopWithin(graceSeconds * 1000);
    await pause(NOTICE_MS);
    client.write("Connection: close\r\n\r\n");
    await Promise.race([closed, pause(graceSeconds * 1000)]);
    client.destroy();
    await ended;
    demand(/^HTTP\/1/.test(answer), "stop: a request that a client was sending when SIGTERM came gets no answer");
  },
};

/** In the order in which a beginner of an Engine meets them. */
export const STATELESS_CHECKS: readonly Check<ServerWorld>[] = [starting, restarts, probes, stops, drains];
