/** The operator that is measured: a process of its own that believes it runs in a pod. */
import { type ChildProcess, spawn } from "node:child_process";
import { openSync } from "node:fs";
import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { load } from "js-yaml";
import type { ControlPlane } from "../../test/api/harness.ts";
import { claimPort } from "../../src/conformance/ports.ts";
import { parseQuantity } from "../../src/build/quantity.ts";
import { type MemoryGroup, memoryGroup } from "./memory-group.ts";
import { OPERATOR } from "./world.ts";

const ROOT = join(import.meta.dirname, "../..");
const TICKS_PER_SECOND = 100; // USER_HZ of every Linux
const KIB_PER_MIB = 1024;

/** How one kind of operator is started and read. */
export interface Kind {
  readonly name: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Metrics whose sum is the number of passes that ended, and of keys that wait. */
  readonly passes: string;
  readonly waiting: string;
  /** Metric whose sum is the number of passes that ended with an error and were tried again. */
  readonly failures: string;
  /** Bytes of heap in use. */
  readonly heap: string;
  /** What its container may use at most; undefined: no limit, for one that nobody has sized. */
  readonly limitBytes: number | undefined;
}

const DEPLOYED = await deployed();

export const QUORATE: Kind = {
  name: "quorate",
  command: [process.execPath, join(ROOT, "dist/operator.mjs")],
  env: DEPLOYED.env,
  passes: "quorate_reconcile_total",
  waiting: "quorate_queue_depth",
  failures: "quorate_queue_retries_total",
  heap: "nodejs_heap_size_used_bytes",
  limitBytes: DEPLOYED.limitBytes,
};

/** The peer, bench/baseline: a plain controller-runtime operator that makes the same objects. */
export const GO: Kind = {
  name: "go",
  command: [join(ROOT, "dist/baseline")],
  env: {},
  passes: "controller_runtime_reconcile_total",
  waiting: "workqueue_depth",
  failures: "controller_runtime_reconcile_errors_total",
  heap: "go_memstats_heap_inuse_bytes",
  limitBytes: undefined,
};

/** What the process used so far. */
export interface Usage {
  readonly cpuSeconds: number;
  readonly rssMib: number;
  readonly peakRssMib: number;
}

/** How far it is, by its own metrics. */
export interface Progress {
  readonly passes: number;
  readonly failures: number;
  readonly waiting: number;
  readonly heapMib: number;
}

// A memory group and a mount namespace of its own, so that the limit is a pod's, and the account's files are where a pod has
// them. exec keeps the process id.
const IN_POD = `echo $$ > "$1" && shift && mount -t tmpfs tmpfs /run && mkdir -p /run/secrets/kubernetes.io/serviceaccount && \
cp "$0"/* /run/secrets/kubernetes.io/serviceaccount && exec "$@"`;

/** A running operator. */
export class Subject {
  readonly #child: ChildProcess;
  readonly #port: number;
  readonly #kind: Kind;
  readonly #memory: MemoryGroup;

  constructor(child: ChildProcess, port: number, kind: Kind, memory: MemoryGroup) {
    this.#child = child;
    this.#port = port;
    this.#kind = kind;
    this.#memory = memory;
  }

  /** SIGTERM, and SIGKILL when it does not end. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill("SIGTERM");
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), 10_000);
    await exited;
    clearTimeout(timer);
    await this.#memory.remove();
  }

  /** @throws when it has ended by itself. */
  async usage(): Promise<Usage> {
    const proc = `/proc/${this.#child.pid ?? 0}`;
    const [stat, status] = await Promise.all([readFile(`${proc}/stat`, "utf8"), readFile(`${proc}/status`, "utf8")]);
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" "); // the name before may hold anything
    const ticks = Number(fields[11]) + Number(fields[12]);
    const mib = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)?.[1]) / KIB_PER_MIB;
    return { cpuSeconds: ticks / TICKS_PER_SECOND, rssMib: mib("VmRSS"), peakRssMib: mib("VmHWM") };
  }

  /** Waits until its caches are synced. @returns after how many seconds. */
  async untilReady(): Promise<number> {
    const startMs = performance.now();
    for (;;) {
      const answer = await this.#read("/readyz").catch(() => undefined);
      if (answer?.ok === true) return (performance.now() - startMs) / 1000;
      await sleep(20);
    }
  }

  /** The metrics that say how far it is. */
  async progress(): Promise<Progress> {
    const text = await this.metrics();
    const { passes, failures, waiting, heap } = this.#kind;
    return {
      passes: sumOf(text, passes),
      failures: sumOf(text, failures),
      waiting: sumOf(text, waiting),
      heapMib: sumOf(text, heap) / 2 ** 20,
    };
  }

  async metrics(): Promise<string> {
    return (await this.#read("/metrics")).text();
  }

  #read(path: string): Promise<Response> {
    return fetch(`http://127.0.0.1:${this.#port}${path}`);
  }
}

function valuesOf(metrics: string, name: string): readonly number[] {
  return metrics
    .split("\n")
    .filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
    .map((line) => Number(line.slice(line.lastIndexOf(" ") + 1)));
}

/** The sum of a metric over all its labels. */
export function sumOf(metrics: string, name: string): number {
  return valuesOf(metrics, name).reduce((sum, value) => sum + value, 0);
}

/** The greatest value of a metric; undefined when the operator does not have it. */
export function maximumOf(metrics: string, name: string): number | undefined {
  const values = valuesOf(metrics, name);
  return values.length === 0 ? undefined : Math.max(...values);
}

/** Starts an operator; it may still be at its start. Its log is in the folder of the control plane. */
export async function startSubject(plane: ControlPlane, kind: Kind): Promise<Subject> {
  const account = join(plane.folder, "account");
  await mkdir(account, { recursive: true });
  const token = await plane.kubectl("create", "token", OPERATOR.name, "-n", OPERATOR.namespace, "--duration=24h");
  await writeFile(join(account, "token"), token.trim());
  await writeFile(join(account, "namespace"), OPERATOR.namespace);
  await cp(join(plane.folder, "pki/ca.crt"), join(account, "ca.crt"));
  const port = await claimPort();
  const log = openSync(join(plane.folder, `${kind.name}.log`), "a");
  const { hostname, port: apiPort } = new URL(plane.server);
  const memory = await memoryGroup(kind.limitBytes);
  const child = spawn("unshare", ["--mount", "sh", "-c", IN_POD, account, memory.procsFile, ...kind.command], {
    stdio: ["ignore", log, log],
    env: {
      PATH: process.env["PATH"],
      ...kind.env,
      KUBERNETES_SERVICE_HOST: hostname,
      KUBERNETES_SERVICE_PORT: apiPort,
      QUORATE_OPERATOR_NAMESPACE: OPERATOR.namespace,
      QUORATE_HEALTH_PORT: String(port),
      QUORATE_LOG_LEVEL: "warn",
    },
  });
  process.once("exit", () => child.kill("SIGKILL"));
  child.once("exit", (code) => {
    if (code !== null && code !== 0)
      throw new Error(`${kind.name} ended with ${code}; see ${plane.folder}/${kind.name}.log`);
  });
  return new Subject(child, port, kind, memory);
}

/** The operator's container as deploy/ has it. */
async function deployed(): Promise<{ readonly env: Record<string, string>; readonly limitBytes: number }> {
  const text = await readFile(join(ROOT, "deploy/operator/deployment.yaml"), "utf8");
  const { spec } = load(text) as Deployment;
  const [container] = spec.template.spec.containers;
  if (container === undefined) throw new Error("the Deployment has no container");
  return {
    env: Object.fromEntries(container.env.map(({ name, value }) => [name, value])),
    limitBytes: parseQuantity(container.resources.limits.memory),
  };
}

interface Deployment {
  readonly spec: { readonly template: { readonly spec: { readonly containers: readonly Container[] } } };
}

interface Container {
  readonly env: readonly { readonly name: string; readonly value: string }[];
  readonly resources: { readonly limits: { readonly memory: string } };
}
