/** A member of topology Stateless as a process of this host: started as its container starts it, and asked as the kubelet asks. */
import { once } from "node:events";
import { request } from "node:http";
import { connect, type Socket } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { EngineSpec } from "../api/engine.ts";
import { PARAMETER_PREFIX } from "../api/names.ts";
import type { EngineProbes } from "../api/stateless.ts";
import { Finding } from "./check.ts";
import { HostCluster, type HostSoftware } from "./host-cluster.ts";
import type { HostMember } from "./host-member.ts";
import { LOCALHOST } from "./peer-folder.ts";
import { isFree } from "./ports.ts";

/** How long the kubelet waits for an answer of ready, and of live. */
export const READY_TIMEOUT_MS = 2000;
export const LIVE_TIMEOUT_MS = 5000;
const POLL_MS = 50;
const MEMORY_BYTES = 256 * 1024 * 1024;

/** One server at the Engine's own port, as in its pod. */
export class HostServer {
  readonly cluster: HostCluster;
  readonly member: HostMember;
  readonly probes: EngineProbes;
  /** Where the kubelet would ask: not the address at which only the own host answers, if there is another one. */
  readonly address: string;
  readonly #spec: EngineSpec;

  private constructor(software: HostSoftware, probes: EngineProbes) {
    this.#spec = software.spec;
    this.cluster = new HostCluster([software.spec.port], software);
    this.member = this.cluster.member(0);
    this.probes = probes;
    this.address = ownAddress();
  }

  /** @throws {Error} when the Engine's port is somebody else's here. */
  static async create(software: HostSoftware): Promise<HostServer> {
    const { port, probes } = software.spec;
    if (probes === undefined) throw new Error("declare probes: the checks ask by them");
    if (!(await isFree(port)))
      throw new Error(`port ${port} is in use on this machine: end what listens there, or try the Engine in its image`);
    return new HostServer(software, probes);
  }

  /** Starts the main process and returns at once. */
  start(): void {
    const env = this.#environment();
    // As Kubernetes does it: what is no variable stays as it is.
    const argv = this.#spec.start.map((word) =>
      word.replaceAll(/\$\(([^)]+)\)/g, (all, name: string) => env[name] ?? all),
    );
    this.member.launch(argv, env);
  }

  /** Starts it, and waits for the first good answer of ready. @throws {Finding} when that does not come within startSeconds. */
  async bringUp(when: string): Promise<void> {
    this.start();
    const { ready, startSeconds } = this.probes;
    const endMs = performance.now() + startSeconds * 1000;
    let said = "";
    while (performance.now() < endMs) {
      if (!this.member.running) throw new Finding(`start: ${when} the main process ends:\n${this.member.logEnd}`);
      const answer = await this.ask(ready.path, READY_TIMEOUT_MS);
      if (isGood(answer)) return;
      said = answer;
      await pause(POLL_MS);
    }
    const alone = await this.ask(ready.path, READY_TIMEOUT_MS, LOCALHOST);
    const where =
      isGood(alone) && this.address !== LOCALHOST ? `; it answers at ${LOCALHOST} alone, where no kubelet asks` : "";
    throw new Finding(
      `start: ${when} GET ${ready.path} at ${this.address}:${this.#spec.port} has no good answer within startSeconds (${startSeconds}), but ${said}${where}`,
    );
  }

  /** Asks for a path. @returns the status, or why there is none. */
  ask(path: string, timeoutMs: number, host = this.address): Promise<string> {
    return new Promise((resolve) => {
      const asked = request({ host, port: this.#spec.port, path, agent: false, timeout: timeoutMs }, (response) => {
        response.resume();
        response.once("end", () => resolve(String(response.statusCode)));
        response.once("error", (error) => resolve(error.message));
      });
      asked.once("timeout", () => asked.destroy(new Error(`nothing within ${timeoutMs} ms`)));
      asked.once("error", (error) => resolve(error.message));
      asked.end();
    });
  }

  /** Connects as a client does, and sends something. */
  async open(text: string): Promise<Socket> {
    const socket = connect({ host: this.address, port: this.#spec.port });
    socket.on("error", () => undefined); // what came until then tells
    await once(socket, "connect");
    socket.write(text);
    return socket;
  }

  /** Kills what runs and removes everything. */
  close(): Promise<void> {
    return this.cluster.close();
  }

  /** What the pod's container has, and nothing of what members with agents have. */
  #environment(): Readonly<Record<string, string>> {
    const { port, parameters, versions } = this.#spec;
    const set = Object.entries(parameters.defaults).map(([name, value]) => [`${PARAMETER_PREFIX}${name}`, value]);
    return {
      QUORATE_NAMESPACE: "default",
      QUORATE_CLUSTER: "host",
      QUORATE_POD: this.member.name,
      QUORATE_POD_IP: this.address,
      QUORATE_NODE: "host",
      QUORATE_PORT: String(port),
      QUORATE_ENGINE_DIR: join(this.cluster.root, "engine"),
      QUORATE_MEMORY_BYTES: String(MEMORY_BYTES),
      QUORATE_VERSION: versions[0]?.version ?? "",
      ...(Object.fromEntries(set) as Record<string, string>),
    };
  }
}

/** Whether the kubelet takes it for good. */
export function isGood(answer: string): boolean {
  return /^[23]\d\d$/.test(answer);
}

function ownAddress(): string {
  const all = Object.values(networkInterfaces()).flatMap((one) => one ?? []);
  return all.find(({ family, internal }) => family === "IPv4" && !internal)?.address ?? LOCALHOST;
}
