// Who asks, and what they may see: both are the API server's to say, by TokenReview and SubjectAccessReview.
import { createHash } from "node:crypto";
import { GROUP } from "../api/names.ts";
import type { Clock } from "../clock.ts";
import type { KubeApi } from "../kube/api.ts";
import type { KubeObject } from "../kube/object.ts";

interface Account {
  readonly username?: string;
  readonly uid?: string;
  readonly groups?: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

interface TokenReview extends KubeObject {
  readonly spec: { readonly token: string };
  readonly status?: { readonly authenticated?: boolean; readonly user?: Account };
}

interface SubjectAccessReview extends KubeObject {
  readonly spec: object;
  readonly status?: { readonly allowed?: boolean };
}

/** Somebody whom the API server knows. */
export interface Viewer {
  readonly name: string;
  /** Whether this person may list the ClusterSpecs of a namespace. */
  mayList(namespace: string): Promise<boolean>;
}

/** Answers are kept so long: a token that is taken back works no longer than that. */
const KEPT_MS = 30_000;
/** Answers that are kept, those about wrong tokens among them. */
const MAX_KEPT = 256;
const CALL = { timeoutMs: 5_000, maxRetries: 0 } as const;

/** Asks the API server, and remembers what it said for a short time. */
export class Access {
  readonly #api: Pick<KubeApi, "create">;
  readonly #clock: Clock;
  readonly #kept = new Map<string, { readonly untilMs: number; readonly answer: Promise<unknown> }>();

  constructor(api: Pick<KubeApi, "create">, clock: Clock) {
    this.#api = api;
    this.#clock = clock;
  }

  /** Whose token it is; undefined when the API server does not know it. @throws what a call throws. */
  async viewerOf(token: string): Promise<Viewer | undefined> {
    // Kept under its hash: a token must not be found in memory longer than its request lives.
    const id = createHash("sha256").update(token).digest("hex");
    const account = await this.#remember(id, () => this.#review(token));
    if (account?.username === undefined) return undefined;
    return {
      name: account.username,
      mayList: async (namespace) =>
        (await this.#remember(`${id} *`, () => this.#isAllowed(account, undefined))) ||
        this.#remember(`${id} ${namespace}`, () => this.#isAllowed(account, namespace)),
    };
  }

  async #review(token: string): Promise<Account | undefined> {
    const review = { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", metadata: {}, spec: { token } };
    const { status } = await this.#api.create<TokenReview>(review, CALL);
    return status?.authenticated === true ? status.user : undefined;
  }

  async #isAllowed({ username, uid, groups, extra }: Account, namespace: string | undefined): Promise<boolean> {
    const attributes = { group: GROUP, resource: "clusterspecs", verb: "list" };
    const resourceAttributes = namespace === undefined ? attributes : { ...attributes, namespace };
    const { status } = await this.#api.create<SubjectAccessReview>(
      {
        apiVersion: "authorization.k8s.io/v1",
        kind: "SubjectAccessReview",
        metadata: {},
        spec: { user: username, uid, groups, extra, resourceAttributes },
      },
      CALL,
    );
    return status?.allowed === true;
  }

  async #remember<T>(key: string, ask: () => Promise<T>): Promise<T> {
    const nowMs = this.#clock.monotonicMs();
    const known = this.#kept.get(key);
    if (known !== undefined && known.untilMs > nowMs) return known.answer as Promise<T>;
    const answer = ask();
    this.#kept.delete(key);
    this.#kept.set(key, { untilMs: nowMs + KEPT_MS, answer });
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > MAX_KEPT && oldest !== undefined) this.#kept.delete(oldest);
    try {
      return await answer;
    } catch (error) {
      this.#kept.delete(key); // a call that failed says nothing
      throw error;
    }
  }
}
