// A real etcd and a real kube-apiserver on free ports of 127.0.0.1, without kubelets or controllers.
// They run in a temporary folder, with RBAC on, and are ended by process id.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, openSync, readdirSync, readFileSync } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { Agent, request as httpsRequest } from "node:https";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { claimPorts } from "../../src/conformance/ports.ts";
import { KubeClient, type KubeClientOptions } from "../../src/kube/client.ts";
import { kubeconfigConnection } from "../../src/kube/connection.ts";
import { auditArgs, type AuditRule } from "./audit.ts";

const run = promisify(execFile);
/** The Kubernetes that tests run against. */
export const KUBERNETES_VERSION = "v1.34.4";
const ETCD_VERSION = "v3.6.8";
/** Programs that have versions of their own, as in hack/lab/env.sh; the others are Kubernetes'. */
const VERSIONS: Readonly<Record<string, string>> = {
  etcd: ETCD_VERSION,
  etcdctl: ETCD_VERSION,
  etcdutl: ETCD_VERSION,
  kwok: "v0.8.0",
  helm: "v3.22.0",
  kubeconform: "v0.8.0",
  "kube-score": "v1.20.0",
  actionlint: "v1.7.12",
  versitygw: "v1.8.0",
};
const START_DEADLINE_MS = 60_000;
/** Go's programs collect their garbage more seldom: they live for a minute, and the tests compete for processors, not for memory. */
const THRIFTY = { ...process.env, GOGC: "400" };

/** How to start a control plane. */
export interface ControlPlaneOptions {
  /** Further arguments of kube-apiserver, such as `--feature-gates=WatchList=false`. */
  readonly apiServerArgs?: readonly string[];
  /** Which requests the API server notes for `readAudit`; none by default. */
  readonly audit?: readonly AuditRule[];
}

/** The path of a cached program, `QUORATE_CACHE` or `~/.cache/quorate`. @throws when it was not built yet. */
export function binary(name: string): string {
  const version = VERSIONS[name] ?? KUBERNETES_VERSION;
  const path = join(cacheFolder(), "bin", `${name}-${version}`);
  if (!existsSync(path)) throw new Error(`${path} is missing: run hack/lab/lab build, build-checkers or build-kwok`);
  return path;
}

/** Folder with the CRDs of the Prometheus Operator. @throws when they were not fetched yet. */
export function monitoringKinds(): string {
  const path = join(cacheFolder(), "crds/prometheus-operator-v0.79.2");
  if (!existsSync(path)) throw new Error(`${path} is missing: run hack/lab/lab build-checkers`);
  return path;
}

function cacheFolder(): string {
  return process.env["QUORATE_CACHE"] ?? join(homedir(), ".cache/quorate");
}

/** A running etcd and kube-apiserver, and the faults that can be done to them. */
export class ControlPlane {
  /** `https://127.0.0.1:port`; the port survives restarts. */
  readonly server: string;
  /** A kubeconfig file for `kubectl --kubeconfig` with all rights (group system:masters, client certificate). */
  readonly kubeconfig: string;
  /** Temporary folder with `pki/`, logs and the etcd data; removed by `stop`. */
  readonly folder: string;
  readonly #ports: Ports;
  readonly #apiServerArgs: readonly string[];
  readonly #others: ChildProcess[] = [];
  #etcd: ChildProcess | undefined;
  #apiServer: ChildProcess | undefined;

  constructor(folder: string, ports: Ports, apiServerArgs: readonly string[]) {
    this.folder = folder;
    this.server = `https://127.0.0.1:${ports.apiServer}`;
    this.kubeconfig = join(folder, "kubeconfig");
    this.#ports = ports;
    this.#apiServerArgs = apiServerArgs;
  }

  /** The PEM text of a file under `pki/`: `ca.crt`, `admin.crt`, `admin.key`, … */
  pem(name: string): Promise<string> {
    return readFile(join(this.folder, "pki", name), "utf8");
  }

  /** Runs kubectl as admin and returns its standard output. */
  async kubectl(...args: string[]): Promise<string> {
    const { stdout } = await run(binary("kubectl"), ["--kubeconfig", this.kubeconfig, ...args], {
      maxBuffer: 64 << 20,
    });
    return stdout;
  }

  /** `kubectl apply --server-side -f -` of manifests given as YAML or JSON text. */
  async apply(manifests: string): Promise<string> {
    const file = join(this.folder, `apply-${randomBytes(4).toString("hex")}.yaml`);
    await writeFile(file, manifests);
    try {
      return await this.kubectl("apply", "--server-side", "-f", file);
    } finally {
      await rm(file);
    }
  }

  /**
   * Creates a service account and returns a kubeconfig file with a token of it: RBAC applies, nothing is allowed until a role is bound.
   */
  async serviceAccount(namespace: string, name: string): Promise<string> {
    await this.kubectl("create", "serviceaccount", name, "--namespace", namespace);
    return this.accountKubeconfig(namespace, name);
  }

  /** A token of a service account that exists. */
  async accountToken(namespace: string, name: string): Promise<string> {
    // Nobody renews it: after the hour that it has by default, members of a long run would hear nothing any more.
    return (await this.kubectl("create", "token", name, "--namespace", namespace, "--duration=24h")).trim();
  }

  /** A kubeconfig file with such a token. */
  async accountKubeconfig(namespace: string, name: string): Promise<string> {
    const token = await this.accountToken(namespace, name);
    const file = join(this.folder, `kubeconfig-${namespace}-${name}`);
    const text = kubeconfigText(this.server, name, { token }, join(this.folder, "pki/ca.crt"));
    await writeFile(file, text);
    return file;
  }

  /** A client with all rights, or with those of another kubeconfig of this control plane. Close it at the end. */
  async client(kubeconfig = this.kubeconfig, options: KubeClientOptions = {}): Promise<KubeClient> {
    return new KubeClient(await kubeconfigConnection(kubeconfig), options);
  }

  /** Starts etcd and then the API server, and waits until it is ready. */
  async start(): Promise<void> {
    await this.startEtcd();
    await this.startApiServer();
  }

  startEtcd(): Promise<void> {
    const { etcd, etcdPeer } = this.#ports;
    const url = `http://127.0.0.1:${etcd}`;
    const peer = `http://127.0.0.1:${etcdPeer}`;
    this.#etcd = this.#spawn("etcd", [
      "--data-dir",
      join(this.folder, "etcd"),
      "--listen-client-urls",
      url,
      "--advertise-client-urls",
      url,
      "--listen-peer-urls",
      peer,
      "--initial-advertise-peer-urls",
      peer,
      "--initial-cluster",
      `default=${peer}`,
      "--unsafe-no-fsync",
      "--log-level",
      "warn",
    ]);
    return Promise.resolve();
  }

  /** Starts the API server and waits until `/readyz` says ok. */
  async startApiServer(): Promise<void> {
    const pki = (name: string) => join(this.folder, "pki", name);
    this.#apiServer = this.#spawn("kube-apiserver", [
      `--etcd-servers=http://127.0.0.1:${this.#ports.etcd}`,
      `--secure-port=${this.#ports.apiServer}`,
      "--bind-address=127.0.0.1",
      "--advertise-address=127.0.0.1",
      "--service-cluster-ip-range=10.96.0.0/16",
      "--authorization-mode=RBAC",
      `--client-ca-file=${pki("ca.crt")}`,
      `--tls-cert-file=${pki("server.crt")}`,
      `--tls-private-key-file=${pki("server.key")}`,
      "--service-account-issuer=https://kubernetes.default.svc",
      `--service-account-key-file=${pki("sa.key")}`,
      `--service-account-signing-key-file=${pki("sa.key")}`,
      "--disable-admission-plugins=ServiceAccount", // no controller here makes the accounts that it demands
      "--endpoint-reconciler-type=none",
      "--shutdown-delay-duration=0s",
      "--allow-privileged=true",
      "--v=1",
      ...this.#apiServerArgs,
    ]);
    await this.waitReady();
  }

  /** Waits until the API server answers `/readyz` with 200. @throws with the end of its log when it does not in time. */
  async waitReady(): Promise<void> {
    const agent = new Agent({
      ca: await this.pem("ca.crt"),
      cert: await this.pem("admin.crt"),
      key: await this.pem("admin.key"),
    });
    const giveUpAt = Date.now() + START_DEADLINE_MS;
    try {
      while (!(await isReady(`${this.server}/readyz`, agent))) {
        if (this.#apiServer?.exitCode !== null || Date.now() > giveUpAt) {
          const log = await readFile(join(this.folder, "kube-apiserver.log"), "utf8");
          throw new Error(`kube-apiserver is not ready:\n${log.slice(-2000)}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    } finally {
      agent.destroy();
    }
  }

  /** SIGKILL to the API server: connections break, etcd keeps its state. */
  killApiServer(): Promise<void> {
    return end(this.#apiServer, "SIGKILL");
  }

  /** SIGKILL, start again, wait until ready. */
  async restartApiServer(): Promise<void> {
    await this.killApiServer();
    await this.startApiServer();
  }

  /**
   * SIGSTOP: connections stay open and silent. Returns when every thread has stopped: one of them takes the signal and stops the
   * others, and where the processors are busy those answer requests until it gets its turn.
   */
  pauseApiServer(): void {
    const pid = this.#apiServer?.pid;
    if (pid === undefined) return;
    process.kill(pid, "SIGSTOP");
    while (readdirSync(`/proc/${pid}/task`).some((thread) => runs(pid, thread)));
  }

  resumeApiServer(): void {
    this.#apiServer?.kill("SIGCONT");
  }

  killEtcd(): Promise<void> {
    return end(this.#etcd, "SIGKILL");
  }

  /** Where etcd listens, without TLS. */
  get etcdUrl(): string {
    return `http://127.0.0.1:${this.#ports.etcd}`;
  }

  /** Runs etcdctl against the etcd of this control plane. */
  async etcdctl(...args: string[]): Promise<string> {
    const { stdout } = await run(binary("etcdctl"), [`--endpoints=http://127.0.0.1:${this.#ports.etcd}`, ...args]);
    return stdout;
  }

  /** Forgets the history before now, so that watches from older versions get 410 once they are not in the server's cache. */
  async compact(): Promise<void> {
    const status: unknown = JSON.parse(await this.etcdctl("endpoint", "status", "-w", "json"));
    const revision = (status as { Status: { header: { revision: number } } }[])[0]?.Status.header.revision;
    await this.etcdctl("compact", String(revision));
  }

  /** Copies the whole state for `restore`. etcd is away for a moment meanwhile; the API server reconnects by itself. */
  async saveState(): Promise<string> {
    const copy = join(this.folder, `etcd-${randomBytes(4).toString("hex")}`);
    await end(this.#etcd, "SIGTERM");
    await cp(join(this.folder, "etcd"), copy, { recursive: true });
    await this.startEtcd();
    return copy;
  }

  /** Puts a saved state back in place, as an administrator does after a disaster: resourceVersions go back. */
  async restore(savedState: string): Promise<void> {
    await this.killApiServer();
    await this.killEtcd();
    const data = join(this.folder, "etcd");
    await rm(data, { recursive: true });
    await cp(savedState, data, { recursive: true });
    await this.start();
  }

  /**
   * Starts a further program of the control plane, such as kube-scheduler; it logs to the folder and ends with `stop`.
   * One that ends by itself ends the caller: nothing would work, and nothing would say why.
   */
  startProgram(name: string, args: readonly string[]): void {
    const child = this.#spawn(name, args);
    this.#others.push(child);
    child.once("exit", (code) => {
      if (code !== null) throw new Error(`${name} ended with ${code}; its log is ${this.folder}/${name}.log`);
    });
  }

  /** Ends all programs and removes the folder. Safe to call more than once. */
  async stop(): Promise<void> {
    await Promise.all(this.#others.map((child) => end(child, "SIGKILL")));
    await end(this.#apiServer, "SIGKILL");
    await end(this.#etcd, "SIGKILL");
    await rm(this.folder, { recursive: true, force: true });
  }

  #spawn(name: string, args: readonly string[]): ChildProcess {
    const log = openSync(join(this.folder, `${name}.log`), "a");
    const child = spawn(binary(name), args, { stdio: ["ignore", log, log], env: THRIFTY });
    live.add(child);
    child.once("exit", () => live.delete(child));
    return child;
  }
}

interface Ports {
  readonly etcd: number;
  readonly etcdPeer: number;
  readonly apiServer: number;
}

const live = new Set<ChildProcess>();
// A test run that is interrupted must not leave servers behind.
process.once("exit", () => {
  for (const child of live) child.kill("SIGKILL");
});

/** Starts a control plane and waits until it is ready (about 3 s). End it with `stop()`. */
export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const folder = await mkdtemp(join(tmpdir(), "quorate-api-"));
  const [etcd, etcdPeer, apiServer] = (await claimPorts(3)) as [number, number, number];
  const args = [...(options.apiServerArgs ?? []), ...(await auditArgs(folder, options.audit ?? []))];
  const plane = new ControlPlane(folder, { etcd, etcdPeer, apiServer }, args);
  await makePki(join(folder, "pki"));
  await writeFile(
    plane.kubeconfig,
    kubeconfigText(
      plane.server,
      "admin",
      {
        "client-certificate": join(folder, "pki/admin.crt"),
        "client-key": join(folder, "pki/admin.key"),
      },
      join(folder, "pki/ca.crt"),
    ),
  );
  try {
    await plane.start();
  } catch (error) {
    await plane.stop();
    throw error;
  }
  return plane;
}

/** A kubeconfig as JSON (which is YAML) with one context. `user` holds the fields of a kubeconfig user, such as `token`. */
export function kubeconfigText(server: string, name: string, user: object, caFile: string): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "test", cluster: { server, "certificate-authority": caFile } }],
    users: [{ name, user }],
    contexts: [{ name, context: { cluster: "test", user: name, namespace: "default" } }],
    "current-context": name,
  });
}

async function makePki(folder: string): Promise<void> {
  await mkdir(folder);
  const openssl = (...args: string[]) => run("openssl", args, { cwd: folder });
  const key = (name: string) => openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", `${name}.key`);
  await Promise.all(["ca", "server", "admin", "sa"].map(key));
  await openssl("req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=test-ca", "-days", "2", "-out", "ca.crt");
  await writeFile(
    join(folder, "server.ext"),
    "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n",
  );
  await writeFile(join(folder, "admin.ext"), "extendedKeyUsage=clientAuth\n");
  const sign = async (name: string, subject: string, serial: string) => {
    await openssl("req", "-new", "-key", `${name}.key`, "-subj", subject, "-out", `${name}.csr`);
    await openssl(
      "x509",
      "-req",
      "-in",
      `${name}.csr`,
      "-CA",
      "ca.crt",
      "-CAkey",
      "ca.key",
      "-set_serial",
      serial,
      "-days",
      "2",
      "-extfile",
      `${name}.ext`,
      "-out",
      `${name}.crt`,
    );
  };
  await Promise.all([sign("server", "/CN=kube-apiserver", "1"), sign("admin", "/O=system:masters/CN=admin", "2")]);
}

function isReady(url: string, agent: Agent): Promise<boolean> {
  return new Promise((resolve) => {
    const call = httpsRequest(url, { agent, timeout: 2000 }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    call.once("timeout", () => call.destroy(new Error("no answer")));
    call.once("error", () => resolve(false)); // not listening yet
    call.end();
  });
}

/** Sends `signal` and waits for the end of the process; a stopped process is woken, because only SIGKILL ends one. */
async function end(child: ChildProcess | undefined, signal: "SIGKILL" | "SIGTERM"): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise((resolve) => child.once("exit", resolve));
  child.kill(signal);
  await exited;
}

/** Whether a thread has neither stopped nor ended. */
function runs(pid: number, thread: string): boolean {
  try {
    return !/^State:\t[TtZX]/m.test(readFileSync(`/proc/${pid}/task/${thread}/status`, "utf8"));
  } catch {
    return false; // it ended meanwhile
  }
}
