/** Runs the counting writer in a pod of the client node and hands over what it prints. */
import type { ChildProcess } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Verdict } from "../writer/judge.ts";
import { apply, KUBECTL, kubectl } from "./lab.ts";
import { follow, until } from "./shell.ts";

/** One line of the writer while it runs. */
export interface Tick {
  readonly type: "tick";
  readonly atMs: number;
  /** Acknowledged since the last tick. */
  readonly newly: number;
  readonly acked: number;
  readonly unknown: number;
}

/** How to run it. */
export interface WriterOptions {
  readonly namespace: string;
  /** Name of the pod. */
  readonly name: string;
  readonly host: string;
  readonly seconds: number;
  readonly user: string;
  readonly database: string;
  /** Secret and key of the password. */
  readonly secret: { readonly name: string; readonly key: string };
  readonly onTick?: (tick: Tick) => void;
}

/** A writer that runs in the cluster. */
export class WriterRun {
  readonly #options: WriterOptions;
  #logs: ChildProcess | undefined;
  #verdict: (Verdict & { readonly startedMs: number }) | undefined;
  #lastTick: Tick | undefined;
  #stopped = false;

  constructor(options: WriterOptions) {
    this.#options = options;
  }

  /** Starts the pod; resolves once writes are acknowledged. */
  async start(): Promise<void> {
    const { namespace, name } = this.#options;
    const program = await readFile(join(import.meta.dirname, "../../dist/writer.mjs"), "utf8");
    await apply(
      JSON.stringify({
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name: "quorate-writer", namespace },
        data: { "writer.mjs": program },
      }),
    );
    await kubectl("-n", namespace, "delete", "pod", name, "--ignore-not-found", "--force", "--grace-period=0");
    await apply(JSON.stringify(this.#pod()));
    await until("the writer's pod", 60_000, async () => {
      const phase = await kubectl("-n", namespace, "get", "pod", name, "-o", "jsonpath={.status.phase}");
      return phase === "Running" ? true : undefined;
    });
    this.#follow();
    await until("the first acknowledged write", 60_000, async () =>
      (this.#lastTick?.acked ?? 0) > 5 ? true : undefined,
    );
  }

  /** The last line heard. */
  get lastTick(): Tick | undefined {
    return this.#lastTick;
  }

  /** Ends the writing now and waits for the verdict. */
  async finish(): Promise<Verdict & { readonly startedMs: number }> {
    const { namespace, name } = this.#options;
    // Deleting the pod sends SIGTERM; its grace period leaves time to read everything back while its log is followed.
    await kubectl("-n", namespace, "delete", "pod", name, "--wait=false");
    return this.verdict();
  }

  /** Waits for the writer to end and to have read everything back. */
  async verdict(): Promise<Verdict & { readonly startedMs: number }> {
    const verdict = await until(
      "the writer's verdict",
      (this.#options.seconds + 180) * 1000,
      async () => this.#verdict,
    );
    this.stop();
    return verdict;
  }

  /** Stops listening. */
  stop(): void {
    this.#stopped = true;
    this.#logs?.kill();
  }

  /** Logs come through the API server, which some scenarios stop: followed again until the verdict is there. */
  #follow(): void {
    const { namespace, name } = this.#options;
    this.#logs = follow([...KUBECTL, "-n", namespace, "logs", "-f", name], (line) => this.#take(line));
    this.#logs.on("close", () => {
      if (!this.#stopped && this.#verdict === undefined) setTimeout(() => this.#follow(), 500);
    });
  }

  #take(line: string): void {
    if (!line.startsWith("{")) return; // a warning of the runtime, on its standard error
    const parsed = JSON.parse(line) as Tick | (Verdict & { type: "verdict"; startedMs: number });
    if (parsed.type === "verdict") this.#verdict = parsed;
    else if (parsed.atMs > (this.#lastTick?.atMs ?? 0)) {
      this.#lastTick = parsed;
      this.#options.onTick?.(parsed);
    }
  }

  #pod(): object {
    const { namespace, name, host, seconds, user, database, secret } = this.#options;
    return {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace, labels: { app: "quorate-writer" } },
      spec: {
        restartPolicy: "Never",
        terminationGracePeriodSeconds: 120,
        nodeSelector: { "quorate.io/client": "true" },
        tolerations: [{ key: "quorate.io/client", operator: "Exists" }],
        automountServiceAccountToken: false,
        securityContext: { runAsNonRoot: true, runAsUser: 65532, seccompProfile: { type: "RuntimeDefault" } },
        containers: [
          {
            name: "writer",
            image: "localhost/client:1",
            imagePullPolicy: "IfNotPresent",
            args: [
              "/writer/writer.mjs",
              "--host",
              host,
              "--seconds",
              String(seconds),
              "--user",
              user,
              "--database",
              database,
            ],
            env: [
              ...(process.env["WRITER_DEBUG"] === undefined ? [] : [{ name: "WRITER_DEBUG", value: "1" }]),
              { name: "PGPASSWORD", valueFrom: { secretKeyRef: { name: secret.name, key: secret.key } } },
            ],
            securityContext: {
              allowPrivilegeEscalation: false,
              readOnlyRootFilesystem: true,
              capabilities: { drop: ["ALL"] },
            },
            resources: { requests: { cpu: "50m", memory: "64Mi" }, limits: { memory: "256Mi" } },
            volumeMounts: [{ name: "program", mountPath: "/writer" }],
          },
        ],
        volumes: [{ name: "program", configMap: { name: "quorate-writer" } }],
      },
    };
  }
}
