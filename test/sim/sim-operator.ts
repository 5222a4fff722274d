// The operator's own program on the simulated machine: its real controller, leader election, reflectors, queue, planner and actor.
// Only clock, randomness, network and secrets are the simulator's.
import { pino } from "pino";
import type { SecretSource } from "../../src/act/secret-source.ts";
import { Controller } from "../../src/controller/controller.ts";
import { LeaderElection } from "../../src/kube/leader-election.ts";
import type { Actor, ClockFault, Scheduler } from "./scheduler.ts";
import { type ClientParts, OPERATOR_LEASE, SimClient } from "./sim-client.ts";
import { ClusterRegistry } from "../../src/telemetry/cluster-registry.ts";

const LEASE_NAMESPACE = "quorate-system";
const RESTART_MS = 3_000;
const CERTIFICATE_MS = 3 * 365 * 86_400_000;
const AUTHORITY_ENDS = new Date("2040-01-01T00:00:00Z");

/** What an operator is started with. */
export interface OperatorOptions {
  readonly name: string;
  readonly parts: ClientParts;
  readonly skew?: ClockFault;
  readonly agentImage?: string;
  /** It leads without asking: another may lead, too (P8). */
  readonly believes?: boolean;
  /** It has looked at a cluster. */
  readonly onPass: () => void;
}

/** One replica: its process is started anew, without memory, whenever it ends. */
export class SimOperator {
  readonly name: string;
  readonly #options: OperatorOptions;
  readonly #scheduler: Scheduler;
  #actor: Actor | undefined;
  #stop: AbortController | undefined;
  #incarnation = 0;

  constructor(options: OperatorOptions) {
    this.name = options.name;
    this.#options = options;
    this.#scheduler = options.parts.scheduler;
    this.#start();
  }

  /** Whether `actor` is its present process. */
  is(actor: Actor): boolean {
    return this.#actor === actor;
  }

  pause(): void {
    this.#actor?.pause();
  }

  resume(): void {
    this.#actor?.resume();
  }

  /** The process ends this very moment, whatever it was doing; another one is started some seconds later. */
  crash(): void {
    if (this.#actor?.isAlive !== true) return;
    this.kill();
    this.#scheduler.note(this.name, "crashed");
    this.#scheduler.after(RESTART_MS, () => this.#start());
  }

  /** Ends it for good, as SIGTERM does. */
  stop(): void {
    this.#scheduler.note(this.name, "was stopped");
    this.#stop?.abort();
  }

  /** The process ends this very moment, and none comes after it. */
  kill(): void {
    this.#actor?.kill();
    this.#actor = undefined;
  }

  #start(): void {
    const { parts, skew, agentImage = "quorate/agent:1", believes = false, onPass } = this.#options;
    const { random } = this.#scheduler;
    this.#incarnation += 1;
    const actor = this.#scheduler.actor(this.name, skew);
    const stop = new AbortController();
    this.#actor = actor;
    this.#stop = stop;
    const api = new SimClient(actor, parts);
    const { clock } = actor;
    const log = pino({ level: "silent" });
    const controller = new Controller({
      api,
      clock,
      random,
      log,
      settings: { agentImage },
      registry: new ClusterRegistry(),
      instance: this.name,
      secretSource: repeatableSecrets,
      onPass,
    });
    const watching = controller.watch(stop.signal);
    const leading = believes
      ? controller.lead(stop.signal)
      : new LeaderElection({
          api,
          clock,
          random,
          namespace: LEASE_NAMESPACE,
          name: OPERATOR_LEASE,
          identity: `${this.name}/${this.#incarnation}`,
        })
          .run(stop.signal, (term) => controller.lead(term))
          .then((endedBySignal) => (endedBySignal ? undefined : this.#lostLease(actor)));
    Promise.all([watching, leading]).catch((error: unknown) => parts.onBug(this.name, error));
  }

  /** As the program does: another may act already, so this process ends. */
  #lostLease(actor: Actor): void {
    if (this.#actor === actor) this.crash();
  }
}

/** Secrets that are the same in every run, and no secrets. */
const repeatableSecrets: SecretSource = {
  createAuthority: (cluster) => Promise.resolve({ certificate: `authority of ${cluster}`, key: "key" }),
  issueCertificate: (_authority, hosts, now) => {
    const notAfter = new Date(now.getTime() + CERTIFICATE_MS);
    return Promise.resolve({ certificate: hosts.join(), key: "key", notAfter, authorityNotAfter: AUTHORITY_ENDS });
  },
  issueClientCertificate: (_authority, account = "nobody", now) => {
    const notAfter = new Date(now.getTime() + CERTIFICATE_MS);
    return Promise.resolve({ certificate: account, key: "key", notAfter, authorityNotAfter: AUTHORITY_ENDS });
  },
  createPassword: () => "password",
};
