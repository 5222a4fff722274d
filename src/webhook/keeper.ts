/**
 * The certificate that the webhook shows, and what the API server believes of it: made by the replica that leads, taken up by all.
 * The authority changes as that of a cluster's members does, in steps; here each step lasts as long as the slowest API server and
 * replica may need to see the one before.
 */
import { issuePeerCertificates } from "../act/peer-certificates.ts";
import { decode, type Secret, SECRET } from "../act/secret-object.ts";
import type { SecretSource } from "../act/secret-source.ts";
import type { AuthorityStage } from "../api/authority-note.ts";
import { nameOf } from "../api/names.ts";
import { readAuthorityNote } from "../build/certificate.ts";
import { ANNOTATION_HOSTS, ANNOTATION_NOT_AFTER, ANNOTATION_ROTATE_AUTHORITY } from "../build/labels.ts";
import { type Clock, sleep } from "../clock.ts";
import type { KubeApi } from "../kube/api.ts";
import type { KubeObject, Stored } from "../kube/object.ts";
import type { ServerIdentity } from "./server.ts";

/** Prefix of the names of its two Secrets. */
const NAME = "quorate-webhook";
const DAY_MS = 86_400_000;
const RENEW_BEFORE_MS = 2 * 365 * DAY_MS; // of three years
const REPLACE_BEFORE_MS = 4 * 365 * DAY_MS; // of ten: an authority always signs for three
/** Replicas look every minute, and API servers hear of a changed configuration within seconds. */
const STAGE_MS = 600_000;
const LOOK_EVERY_MS = 60_000;
const RETRY_MS = 5000;

/** The part of a ValidatingWebhookConfiguration that is looked at. */
interface WebhookConfiguration extends KubeObject {
  readonly webhooks?: readonly { readonly name: string; readonly clientConfig: { readonly caBundle?: string } }[];
}

export interface WebhookKeeperOptions {
  readonly api: Pick<KubeApi, "get" | "create" | "apply" | "mergePatch">;
  readonly source: SecretSource;
  readonly clock: Clock;
  /** The operator's own. */
  readonly namespace: string;
  /** Name of the ValidatingWebhookConfiguration that the installation made. */
  readonly configuration: string;
  /** Names that the API server asks under. */
  readonly hosts: readonly string[];
  /** Another certificate is there. */
  readonly renewed: (identity: ServerIdentity) => void;
  readonly onError: (error: unknown) => void;
  /** For tests, which have no ten minutes. */
  readonly stageMs?: number;
  readonly lookEveryMs?: number;
}

/** Keeps certificate and configuration. */
export class WebhookKeeper {
  readonly #options: WebhookKeeperOptions;
  #shown = "";
  /** When the API server was last told whom to believe; as far as is known here, for another replica may have told it before. */
  #toldMs: number | undefined;

  constructor(options: WebhookKeeperOptions) {
    this.#options = options;
  }

  /** The certificate as it is stored, made when there is none; undefined when `signal` aborts before there is one. */
  async identity(signal: AbortSignal): Promise<ServerIdentity | undefined> {
    for (;;) {
      try {
        const secret = (await this.#read()) ?? (await this.#issue({ from: "Settled", to: "Settled", request: "" }));
        this.#shown = secret.data?.["tls.crt"] ?? "";
        return identityOf(secret);
      } catch (error) {
        this.#options.onError(error);
      }
      if (!(await sleep(this.#options.clock, RETRY_MS, signal))) return undefined;
    }
  }

  /** Takes up what is stored, again and again, until `signal` aborts. For every replica. */
  async follow(signal: AbortSignal): Promise<void> {
    await this.#repeat(signal, async () => {
      const secret = await this.#read();
      const shown = secret?.data?.["tls.crt"] ?? "";
      if (secret === undefined || shown === this.#shown) return;
      this.#options.renewed(identityOf(secret));
      this.#shown = shown;
    });
  }

  /** Renews what is stored in time, and tells the API server whom to believe, until `signal` aborts. For the one that leads. */
  async lead(signal: AbortSignal): Promise<void> {
    await this.#repeat(signal, () => this.#keep());
  }

  async #keep(): Promise<void> {
    const configuration = await this.#configuration();
    if (configuration === undefined) return; // it is not installed, or was taken away: nobody asks
    const asked = configuration.metadata.annotations?.[ANNOTATION_ROTATE_AUTHORITY] ?? "";
    const secret = await this.#read();
    // It must believe a certificate before that is shown, and a stage that it was told of late begins late.
    if (secret !== undefined && !isBelieved(configuration, secret)) return this.#believe(configuration, secret);
    const toldMs = (this.#toldMs ??= this.#nowMs());
    const { hosts } = this.#options;
    const next = nextStage(secret, { asked, hosts, nowMs: this.#nowMs(), toldMs, stageMs: this.#stageMs });
    if (next === undefined) return;
    const issued = await this.#issue(next);
    if (!isBelieved(configuration, issued)) await this.#believe(configuration, issued);
  }

  async #believe(configuration: Stored<WebhookConfiguration>, secret: Stored<Secret>): Promise<void> {
    const caBundle = secret.data?.["ca.crt"];
    const { webhooks = [] } = configuration;
    const { name, resourceVersion } = configuration.metadata;
    const patched = webhooks.map((one) => ({ ...one, clientConfig: { ...one.clientConfig, caBundle } }));
    await this.#options.api.mergePatch(
      { ...CONFIGURATION, name: name ?? "" },
      { metadata: { resourceVersion }, webhooks: patched },
    );
    this.#toldMs = this.#nowMs();
  }

  #configuration(): Promise<Stored<WebhookConfiguration> | undefined> {
    return this.#options.api.get<WebhookConfiguration>({ ...CONFIGURATION, name: this.#options.configuration });
  }

  #read(): Promise<Stored<Secret> | undefined> {
    return this.#options.api.get<Secret>({
      ...SECRET,
      namespace: this.#options.namespace,
      name: nameOf.peerSecret(NAME),
    });
  }

  #issue(stage: NextStage): Promise<Stored<Secret>> {
    const { api, source, namespace, hosts } = this.#options;
    const metadata = { name: NAME, namespace, labels: { "app.kubernetes.io/name": "quorate" } };
    const step = { metadata, hosts, overlapMs: 0, ...stage, hasClients: false };
    return issuePeerCertificates({ api, source }, step, new Date(this.#nowMs()), {});
  }

  #nowMs(): number {
    return this.#options.clock.now().getTime();
  }

  get #stageMs(): number {
    return this.#options.stageMs ?? STAGE_MS;
  }

  async #repeat(signal: AbortSignal, once: () => Promise<void>): Promise<void> {
    const { clock, onError, lookEveryMs = LOOK_EVERY_MS } = this.#options;
    do {
      await once().catch(onError);
    } while (await sleep(clock, lookEveryMs, signal));
  }
}

const CONFIGURATION = {
  apiVersion: "admissionregistration.k8s.io/v1",
  kind: "ValidatingWebhookConfiguration",
} as const;

/** Whether the API server is told to believe what is stored. */
function isBelieved({ webhooks = [] }: WebhookConfiguration, { data }: Secret): boolean {
  return webhooks.every(({ clientConfig }) => clientConfig.caBundle === data?.["ca.crt"]);
}

interface StageQuestion {
  readonly asked: string;
  readonly hosts: readonly string[];
  readonly nowMs: number;
  readonly toldMs: number;
  readonly stageMs: number;
}

interface NextStage {
  readonly from: AuthorityStage;
  readonly to: AuthorityStage;
  readonly request: string;
}

/** What is to be issued now; undefined when what is stored will do. */
function nextStage(
  secret: Stored<Secret> | undefined,
  { asked, hosts, nowMs, toldMs, stageMs }: StageQuestion,
): NextStage | undefined {
  const { annotations = {} } = secret?.metadata ?? {};
  const note = readAuthorityNote(annotations);
  if (note === undefined) return { from: "Settled", to: "Settled", request: asked };
  const { stage, request } = note;
  const leafEndsMs = Date.parse(annotations[ANNOTATION_NOT_AFTER] ?? "");
  const isLeafOld = !(leafEndsMs - nowMs >= RENEW_BEFORE_MS) || annotations[ANNOTATION_HOSTS] !== hosts.join(",");
  if (isLeafOld) return { from: stage, to: stage, request };
  if (stage === "Settled") {
    const isDue = (asked !== "" && asked !== request) || Date.parse(note.notAfter) - nowMs < REPLACE_BEFORE_MS;
    return isDue ? { from: stage, to: "Trust", request: asked } : undefined;
  }
  if (nowMs - Math.max(Date.parse(note.since), toldMs) < stageMs) return undefined;
  return { from: stage, to: stage === "Trust" ? "Sign" : "Settled", request };
}

function identityOf(secret: Stored<Secret>): ServerIdentity {
  return { cert: decode(secret.data?.["tls.crt"] ?? ""), key: decode(secret.data?.["tls.key"] ?? "") };
}
