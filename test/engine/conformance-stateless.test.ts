/** The examples' servers, of topology Stateless, keep every rule of the contract. */
import { readFileSync } from "node:fs";
import { load } from "js-yaml";
import { describe, expect, it } from "vitest";
import { Engine, type EngineSpec } from "../../src/api/engine.ts";
import { type CheckResult, tryEngine } from "../../src/conformance/conformance.ts";
import { userOf } from "../../src/conformance/host-place.ts";
import { claimPort } from "../../src/conformance/ports.ts";

const SERVER = "server.mjs";

/** An example's Engine at a port that is free, run by this Node.js where its image has another one. */
async function exampleSpec(name: string): Promise<EngineSpec> {
  const file = new URL(`../../examples/${name}/engine.yaml`, import.meta.url);
  const { spec } = Engine.parse(load(readFileSync(file, "utf8")));
  return { ...spec, port: await claimPort(), start: [process.execPath, `$(QUORATE_ENGINE_DIR)/${SERVER}`] };
}

async function resultsOf(spec: EngineSpec, ...only: string[]): Promise<CheckResult[]> {
  const results: CheckResult[] = [];
  const software = { spec, user: userOf("nobody"), passwords: {}, programs: {} };
  for await (const result of tryEngine(software, { only })) results.push(result);
  return results;
}

describe("every rule is kept by the example", { timeout: 180_000 }, () => {
  it.each(["web", "edge", "ci-runners", "session-servers", "analytics"])("%s", async (name) => {
    const results = await resultsOf(await exampleSpec(name));
    expect(results.map((result) => result.name)).toEqual(["start", "restart", "probes", "stop", "drain"]);
    expect(results.filter(({ problem }) => problem !== undefined)).toEqual([]);
  });
});

/** A small server, part by part, so that one part of it can be wrong. */
const PARTS = {
  listen: `server.listen(Number(process.env.QUORATE_PORT), "0.0.0.0");`,
  live: `if (url === "/live") return response.end("ok");`,
  ready: `if (url === "/ready") return response.end("ok");`,
  state: "",
  stop: `server.close(() => process.exit(0));
    for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy();
    server.closeIdleConnections();`,
} as const;

async function serverSpec(changes: Partial<typeof PARTS | Record<keyof typeof PARTS, string>>): Promise<EngineSpec> {
  const { listen, live, ready, state, stop } = { ...PARTS, ...changes };
  const program = `
    import { createServer } from "node:http";
    import { existsSync, writeFileSync } from "node:fs";
    ${state}
    const sockets = new Set();
    const server = createServer(({ url }, response) => {
      ${live}
      ${ready}
      response.writeHead(404).end();
    });
    server.on("connection", (socket) => sockets.add(socket.once("close", () => sockets.delete(socket))));
    ${listen}
    process.on("SIGTERM", () => { ${stop} });`;
  const spec = await exampleSpec("web");
  const probes = { ready: { path: "/ready" }, live: { path: "/live" }, startSeconds: 5 };
  return { ...spec, probes, stop: { signal: "SIGTERM", graceSeconds: 3 }, files: { [SERVER]: program } };
}

describe("a server that breaks a rule is told", { timeout: 60_000 }, () => {
  it("nothing while it breaks none", async () => {
    expect((await resultsOf(await serverSpec({}))).flatMap(({ problem }) => problem ?? [])).toEqual([]);
  });

  it.each<[string, string, string, Parameters<typeof serverSpec>[0]]>([
    [
      "that listens where only its own host reaches it",
      "start",
      "it answers at 127.0.0.1 alone, where no kubelet asks",
      { listen: PARTS.listen.replace("0.0.0.0", "127.0.0.1") },
    ],
    [
      "that is ready too late",
      "start",
      "has no good answer within startSeconds (5), but 503",
      {
        state: "const startMs = performance.now();",
        ready: `if (url === "/ready") return response.writeHead(performance.now() - startMs > 8000 ? 200 : 503).end();`,
      },
    ],
    ["that has no live", "start", "probes.live: /live has no good answer while ready has one, but: 404", { live: "" }],
    [
      "that does not start with what it left behind",
      "restart",
      "start: after it was killed",
      {
        state: `const lock = process.env.QUORATE_ENGINE_DIR + "/../orders-a/lock";
          if (existsSync(lock)) { console.error("another one runs"); process.exit(1); }
          writeFileSync(lock, String(process.pid));`,
      },
    ],
    [
      "whose ready is about how often it is asked",
      "probes",
      "probes.ready: /ready answered before, and now: 429",
      {
        state: "let asked = 0;",
        ready: `if (url === "/ready") return response.writeHead(++asked % 5 === 0 ? 429 : 200).end();`,
      },
    ],
    [
      "whose live waits for another server",
      "probes",
      "probes.live: /live has no good answer while ready has one, but: nothing within 5000 ms",
      { state: "let asked = 0;", live: `if (url === "/live") return ++asked > 2 ? undefined : response.end("ok");` },
    ],
    ["that takes no notice of SIGTERM", "stop", "does not end within graceSeconds (3) after SIGTERM", { stop: "" }],
    [
      "that waits for clients that want nothing",
      "stop",
      "does not end within graceSeconds (3) after SIGTERM",
      { stop: "server.close(() => process.exit(0));" },
    ],
    [
      "that leaves its clients without an answer",
      "drain",
      "a request that a client was sending when SIGTERM came gets no answer",
      { stop: "process.exit(0);" },
    ],
  ])("%s", async (_, check, problem, changes) => {
    const [found] = await resultsOf(await serverSpec(changes), check);
    expect(found?.problem).toContain(problem);
  });
});
