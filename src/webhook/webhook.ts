/** The webhook of one replica, put together: server, certificate, and the Engines that ClusterSpecs are judged beside. */
import { randomSecrets } from "../act/secret-source.ts";
import { EngineSpec } from "../api/engine.ts";
import { API_VERSION } from "../api/names.ts";
import type { Clock } from "../clock.ts";
import type { KubeApi } from "../kube/api.ts";
import type { KubeObject } from "../kube/object.ts";
import type { Logger } from "../telemetry/logger.ts";
import { WebhookKeeper, type WebhookKeeperOptions } from "./keeper.ts";
import { type ServerIdentity, WebhookServer } from "./server.ts";

export interface WebhookOptions
  extends Pick<WebhookKeeperOptions, "namespace" | "configuration" | "hosts" | "stageMs" | "lookEveryMs"> {
  readonly api: Pick<KubeApi, "get" | "create" | "apply" | "mergePatch">;
  readonly clock: Clock;
  readonly log: Pick<Logger, "info" | "warn">;
  readonly port: number;
}

/** One replica's webhook. */
export class Webhook {
  readonly #options: WebhookOptions;
  readonly #keeper: WebhookKeeper;
  #server: WebhookServer | undefined;

  constructor(options: WebhookOptions) {
    this.#options = options;
    this.#keeper = new WebhookKeeper({
      ...options,
      source: randomSecrets,
      renewed: (identity) => this.#renew(identity),
      onError: (error) => options.log.warn({ err: error }, "The webhook's certificate could not be looked after"),
    });
  }

  /** Answers, from when there is a certificate until `signal` aborts. On every replica. @throws when the port is taken. */
  async serve(signal: AbortSignal): Promise<void> {
    const { api, log, port } = this.#options;
    const identity = await this.#keeper.identity(signal);
    if (identity === undefined) return;
    const engineOf = (name: string) => readEngine(api, name);
    this.#server = await WebhookServer.start({ port, identity, engineOf, log });
    log.info({ port }, "The webhook answers");
    await this.#keeper.follow(signal);
    await this.#server.close();
  }

  /** Keeps the certificate, and the API server's belief in it, until `signal` aborts. For the replica that leads. */
  lead(signal: AbortSignal): Promise<void> {
    return this.#keeper.lead(signal);
  }

  #renew(identity: ServerIdentity): void {
    this.#server?.renew(identity);
    this.#options.log.info("The webhook shows a renewed certificate");
  }
}

/** Read live: an Engine that was applied in the same breath as its first ClusterSpec is in no cache yet. */
async function readEngine(api: WebhookOptions["api"], name: string): Promise<EngineSpec | undefined> {
  const ref = { apiVersion: API_VERSION, kind: "Engine", name };
  const found = await api.get<KubeObject & { readonly spec?: unknown }>(ref, { timeoutMs: 2000 });
  return found === undefined ? undefined : EngineSpec.parse(found.spec);
}
