/** What every member has, whoever elects its leader: engine driver, volume, reports, parameters, one-shots, intent. */
import { join } from "node:path";
import type { Logger } from "pino";
import type { EngineSpec } from "../api/engine.ts";
import type { Intent } from "../api/agent-wire.ts";
import { nameOf } from "../api/names.ts";
import type { Clock } from "../clock.ts";
import type { KubeApi } from "../kube/api.ts";
import type { EventRecorder } from "../kube/events.ts";
import type { ObjectRef } from "../kube/object.ts";
import { programFolder } from "../program-files.ts";
import { VERSION } from "../version.ts";
import { CertificateKeeper } from "./certificate.ts";
import { ChangeTrace } from "./change-trace.ts";
import { ReportWriter } from "./cluster/member-report.ts";
import { type MemberRoutes, memberRoutes } from "./cluster/member-routes.ts";
import type { Endpoint } from "./cluster/routes.ts";
import type { ActionContext } from "./engine/context.ts";
import type { EngineHost } from "./engine/control.ts";
import { EngineDriver } from "./engine/driver.ts";
import { engineHost } from "./engine/host.ts";
import { Volume } from "./engine/volume.ts";
import { readGraceMs } from "./grace.ts";
import type { InitClient } from "./init-client.ts";
import { followIntent } from "./intent-source.ts";
import type { AgentMetrics } from "./metrics.ts";
import { dataByIntent, type MakeFirstData } from "./backup/first-data.ts";
import { type Acts, OneShots } from "./one-shots.ts";
import { ParameterKeeper } from "./parameters.ts";
import { PeerClient, PeerServer } from "./peers.ts";
import type { CommonReport } from "./report.ts";
import { Replacement } from "./replacement/replacement.ts";
import { hasNoRoom, spaceOf, VOLUME_FULL } from "./room.ts";
import { shardContext } from "./slots.ts";
import { actionContext, type AgentSettings, parametersFile } from "./settings.ts";
import { runTask } from "./tasks.ts";
import { type Teller, tellerOf } from "./teller.ts";
import { runHook } from "./update-hooks.ts";

/** What a member is made from. */
export interface MemberParts {
  readonly settings: AgentSettings;
  readonly engine: EngineSpec;
  readonly api: KubeApi;
  readonly init: InitClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: AgentMetrics;
  readonly events: EventRecorder;
  /** Ends the agent process with this code. */
  readonly exit: (code: number) => void;
}

/** What the equipment asks its member. */
export interface EquipmentPorts {
  /** Whether the engine can be told to reload now. */
  readonly isEngineUp: () => boolean;
  /** Whether this member may still write routes. */
  readonly mayRoute: () => boolean;
  /** Where a member's pod was when it was last heard from. */
  readonly podOf: (member: string) => Endpoint | undefined;
  /** How soon the next agent has to serve if this one ends now; null while the member needs it. */
  readonly restMs: () => number | null;
  /** What is to be reported changed. */
  readonly changed: () => void;
}

/** What of the requests that are carried out once depends on who elects the leader. */
export interface OneShotPorts extends Pick<Acts, "restart" | "rebuild" | "defragment"> {
  /** A leader with followers refuses what would end it: move it first. */
  readonly leads: boolean;
  /** The epoch under which this member serves writes; undefined while it does not. */
  readonly servingEpoch: () => number | undefined;
  /** What tasks are told of the other members when they begin. */
  readonly context: () => Partial<ActionContext>;
}

/** How long a member that ends waits for its route to be taken over; a forced deletion leaves 2 s. */
export const LEAVE_MS = 1500;

/** The equipment of one member. */
export class Equipment {
  readonly driver: EngineDriver;
  /** Its part of what changes of the ClusterSpec lead to. */
  readonly trace: ChangeTrace;
  readonly volume: Volume;
  readonly reports: ReportWriter;
  readonly routes: MemberRoutes;
  readonly parameters: ParameterKeeper;
  readonly #oneShots: OneShots;
  readonly makeFirstData: MakeFirstData;
  readonly replacement: Replacement;
  /** The engine's processes. */
  readonly host: EngineHost;
  readonly tell: Teller;
  /** This pod as others reach it. */
  readonly self: Endpoint & { readonly node: string };
  /** Asks the other members. */
  readonly peers: PeerClient;
  readonly #certificate: CertificateKeeper;
  #server: PeerServer | undefined;
  #isVolumeFull = false;
  #intent: Intent | undefined;
  readonly #parts: MemberParts;
  readonly #ports: EquipmentPorts;
  readonly #pod: ObjectRef & { readonly uid: string };
  readonly #stop = new AbortController();

  constructor(parts: MemberParts, ports: EquipmentPorts) {
    const { settings, engine, api, clock, log, metrics, events } = parts;
    this.#parts = parts;
    this.#ports = ports;
    const { QUORATE_NAMESPACE: namespace, QUORATE_CLUSTER: cluster, QUORATE_STATE_DIR: stateFolder } = settings;
    const onError = (error: unknown): void => log.debug({ err: error }, "API call failed");
    this.self = {
      pod: settings.QUORATE_POD,
      podUid: settings.QUORATE_POD_UID,
      address: settings.QUORATE_POD_IP,
      node: settings.QUORATE_NODE,
    };
    this.#certificate = new CertificateKeeper({
      folder: settings.QUORATE_PEER_DIR,
      readsAuthority: engine.readsAuthority,
      stateFile: join(stateFolder, "authority.json"),
      nowMs: () => clock.monotonicMs(),
      renewed: () => this.#takeCertificate(),
      refused: (error) => log.warn({ err: error }, "A renewed certificate cannot be used yet"),
    });
    // A name that the certificates of all members carry, whichever is asked.
    const peerName = `peer.${nameOf.membersService(cluster)}.${namespace}.svc`;
    this.peers = new PeerClient(this.#certificate.identity, peerName);
    this.host = engineHost(parts.init, () => this.#certificate.engineStarts());
    this.tell = tellerOf(settings, log, events);
    this.volume = new Volume(settings.QUORATE_DATA_DIR, stateFolder);
    const { QUORATE_MEMBER: member, QUORATE_NODE: node } = settings;
    const resource = { "service.name": "quorate-agent", "service.version": VERSION };
    this.trace = new ChangeTrace({ resource: { ...resource, cluster, namespace, member, node }, clock, log });
    this.driver = new EngineDriver(engine, actionContext(settings, engine), (action, seconds, ok) => {
      metrics.actionSeconds.observe({ action, result: ok ? "ok" : "error" }, seconds);
      this.trace.acted(action, seconds, ok);
    });
    const { QUORATE_POD: name, QUORATE_POD_UID: uid } = settings;
    this.#pod = { apiVersion: "v1", kind: "Pod", namespace, name, uid };
    this.reports = new ReportWriter(api, this.#pod, clock, onError);
    this.routes = memberRoutes({
      api,
      namespace,
      cluster,
      tlsPort: engine.tlsPort,
      clock,
      mayWrite: ports.mayRoute,
      onError,
      self: this.self,
      podOf: ports.podOf,
      metrics,
    });
    this.parameters = new ParameterKeeper({
      file: parametersFile(settings),
      stateFile: join(stateFolder, "parameters.json"),
      restartParameters: settings.restartParameters,
      reload: () => this.driver.run("reload"),
      isUp: ports.isEngineUp,
      changed: ports.changed,
    });
    this.#oneShots = new OneShots(settings.QUORATE_MEMBER, join(stateFolder, "answers.json"));
    parts.init.on("term", () => this.#oneShots.leave());
    this.makeFirstData = dataByIntent(() => this.#intent, settings.QUORATE_STORE_DIR, this.tell);
    this.replacement = new Replacement({
      api,
      namespace,
      name: nameOf.agentOffer(cluster),
      member,
      runDir: settings.QUORATE_RUN_DIR,
      ownFolder: programFolder(),
      serveWithinMs: () => this.#restMs(),
      end: () => this.#giveWay(),
      changed: ports.changed,
      onError,
    });
  }

  /** An action or a request that is under way would have to begin again. */
  #restMs(): number | undefined {
    const isBusy = this.driver.isActing || this.#oneShots.isBusy || this.stopped.aborted;
    return isBusy ? undefined : (this.#ports.restMs() ?? undefined);
  }

  #giveWay(): void {
    this.#parts.log.info("The agent ends to give way to the one that the operator offers");
    this.#parts.exit(0);
  }

  /** Aborts when the member ends. */
  get stopped(): AbortSignal {
    return this.#stop.signal;
  }

  /** A server for the other members' messages, under the certificate that is valid at the time. */
  answerPeers(answer: (body: unknown) => Promise<unknown>): PeerServer {
    this.#server = new PeerServer(this.#certificate.identity, answer);
    return this.#server;
  }

  /** Carries out what the intent asks of this member once: by name and id. */
  takeOneShots(intent: Intent, { leads, servingEpoch, context, ...acts }: OneShotPorts): void {
    const parts = this.#parts;
    this.#oneShots
      .take(intent, leads, {
        ...acts,
        answered: this.#ports.changed,
        hook: (request) => runHook(request, { ...parts, servingEpoch }),
        task: (request, signal) => runTask(request, { ...parts, intent, signal, context: context() }),
      })
      .catch((error: unknown) => this.fatal(error));
  }

  /** Puts in force what changed outside of the engine: certificate and parameters; and looks for room on the volume. Called again and again; fails only over a bug. */
  async keepUp(): Promise<void> {
    await this.#lookForRoom();
    this.#certificate.apply();
    const { identity } = this.#certificate;
    await this.parameters.apply();
    await this.replacement.apply();
    if (identity !== this.#certificate.identity || !this.parameters.isRead) return;
    if (await this.#certificate.engineRead(identity)) this.#ports.changed();
  }

  /** What of this member's report has nothing to do with who elects its leader. */
  get report(): CommonReport {
    const { inForce: certificate } = this.#certificate;
    const { report: agent } = this.replacement;
    const { refused } = this.parameters;
    return {
      agentVersion: VERSION,
      ...this.#oneShots.answers,
      ...(agent === undefined ? {} : { agent }),
      ...(certificate === undefined ? {} : { certificate }),
      ...(refused === undefined ? {} : { parametersRefused: refused }),
      ...(this.#isVolumeFull ? { volumeFull: true } : {}),
    };
  }

  async #lookForRoom(): Promise<void> {
    const space = await spaceOf(this.#parts.settings.QUORATE_DATA_DIR);
    const isFull = space !== undefined && hasNoRoom(space, this.#isVolumeFull);
    if (isFull === this.#isVolumeFull) return;
    this.#isVolumeFull = isFull;
    if (isFull) this.tell("warning", VOLUME_FULL.reason, VOLUME_FULL.message);
    this.#ports.changed();
  }

  #takeCertificate(): void {
    this.peers.renew(this.#certificate.identity);
    this.#server?.renew(this.#certificate.identity);
    this.parameters.readAgain();
    this.#parts.log.info("Speaking with a renewed certificate");
  }

  /**
   * Takes every intent from now on. Resolves with the first: the remembered one if there is, else the first that the API
   * server shows. One that cannot be read is left, and the last good one stays in force.
   * @param begun - See {@link IntentSourceOptions}.
   */
  async followIntent(onIntent: (intent: Intent) => void, begun = Promise.resolve()): Promise<Intent> {
    const { settings, api, log } = this.#parts;
    await Promise.all([this.#oneShots.load(), this.parameters.load()]);
    return new Promise((resolve) => {
      followIntent({
        api,
        namespace: settings.QUORATE_NAMESPACE,
        name: nameOf.intent(settings.QUORATE_CLUSTER),
        file: join(settings.QUORATE_STATE_DIR, "intent.json"),
        beforeIntent: (intent) => {
          this.#intent = intent;
          this.driver.amend(shardContext(intent));
          return this.parameters.want(intent);
        },
        signal: this.stopped,
        onAnnotations: (annotations) => this.trace.follow(annotations),
        onIntent: (intent) => {
          this.replacement.want(intent);
          onIntent(intent);
          resolve(intent);
        },
        onError: (error) => log.warn({ err: error }, "Intent not taken"),
        begun,
      }).catch((error: unknown) => this.fatal(error));
    });
  }

  /** How long this pod has from now, SIGTERM, until it is killed; null when nobody says so. */
  graceMs(): Promise<number | null> {
    return readGraceMs(this.#parts.api, this.#pod);
  }

  /** Ends the agent for a reason that it cannot go on with. */
  fatal(error: unknown): void {
    this.#parts.log.fatal({ err: error }, "The agent ends; init starts it anew and leaves the engine alone");
    this.#parts.exit(1);
  }

  /** Ends the agent once the route is somebody else's or nobody's: a pod that is gone answers nothing, not even a refusal. */
  async leave(): Promise<void> {
    await this.routes.beforePodEnds(LEAVE_MS);
    this.#stop.abort();
    this.#parts.exit(0);
  }
}
