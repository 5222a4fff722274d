// Keeps one PrometheusRule for every cluster that states objectives, where the API server serves that kind. Beside the reconcile
// path: a cluster must neither wait nor fail because somebody's monitoring is not there.
import { FIELD_MANAGER } from "../act/field-manager.ts";
import { ClusterIntent } from "../api/cluster-spec.ts";
import { LABEL_CLUSTER, MANAGED_BY, nameOf } from "../api/names.ts";
import { contentHash } from "../build/hash.ts";
import { ownerOf } from "../build/labels.ts";
import type { Manifest } from "../build/manifest.ts";
import { type Clock, sleep } from "../clock.ts";
import type { KubeApi } from "../kube/api.ts";
import { listAll } from "../kube/list.ts";
import type { KubeObject, Stored } from "../kube/object.ts";
import type { Stores } from "../observe/stores.ts";
import { contains } from "../plan/difference.ts";
import { ruleGroup } from "../slo/rules.ts";
import type { Logger } from "../telemetry/logger.ts";

/** How rules are written. */
export interface RuleSettings {
  /** Address of the folder that holds the runbooks; their path in quorate's repository when absent. */
  readonly runbooksUrl?: string;
  /** Labels by which a Prometheus selects its rules. */
  readonly labels?: Readonly<Record<string, string>>;
}

export interface RuleKeeperOptions {
  readonly api: Pick<KubeApi, "list" | "apply" | "delete">;
  readonly stores: Pick<Stores, "of">;
  readonly clock: Clock;
  readonly log: Logger;
  /** Only this namespace; absent: all. */
  readonly namespace?: string;
  readonly settings: RuleSettings;
}

const KIND = { apiVersion: "monitoring.coreos.com/v1", kind: "PrometheusRule" } as const;
const LOOK_EVERY_MS = 10_000;
const CHECK_EVERY_MS = 600_000; // for what others changed
const CHECK_REFUSED_EVERY_MS = 60_000;
const CALL_TIMEOUT_MS = 10_000;

/** A cluster's rules as they shall be; and what they were made from, so that they are made once. */
interface Wanted {
  readonly key: string;
  readonly about: AboutCluster;
  readonly manifest: Manifest;
  readonly hash: string;
}

interface AboutCluster {
  readonly namespace: string;
  readonly cluster: string;
}

/** The rules of a cluster could not be written; those of others may have been. */
class RulesRefused extends Error {
  readonly about: AboutCluster;

  constructor(about: AboutCluster, cause: unknown) {
    super(`The rules of ${about.namespace}/${about.cluster} could not be written`, { cause });
    this.about = about;
  }
}

function isNotServed(error: unknown): boolean {
  return error instanceof Error && "reason" in error && error.reason === "KindNotServed";
}

/** Keeps the rules while it runs. */
export class RuleKeeper {
  readonly #options: RuleKeeperOptions;
  readonly #wanted = new WeakMap<object, Wanted | "None">();
  #digest: string | undefined;
  #checkedMs = Number.NEGATIVE_INFINITY;
  #failed = false;

  constructor(options: RuleKeeperOptions) {
    this.#options = options;
  }

  /** Keeps rules until `signal` aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    do await this.#look(signal);
    while (await sleep(this.#options.clock, LOOK_EVERY_MS, signal));
  }

  /** Brings the rules in order when objectives changed since the last look, and every ten minutes in any case. */
  async #look(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    const wanted = this.#allWanted();
    const digest = wanted
      .map(({ key, hash }) => `${key} ${hash}`)
      .toSorted()
      .join();
    const nowMs = clock.monotonicMs();
    if (digest === this.#digest && nowMs - this.#checkedMs < CHECK_EVERY_MS) return;
    try {
      await this.#bringInOrder(wanted, signal);
      this.#failed = false;
    } catch (error) {
      if (signal.aborted) return;
      // Without the Prometheus Operator that is how it always is; told once, or the log is full of it.
      const { cause, about } = error instanceof RulesRefused ? error : { cause: error, about: {} };
      if (!isNotServed(cause) && !this.#failed)
        log.warn({ ...about, err: cause }, "Rules for Prometheus are not in order");
      this.#failed = !isNotServed(cause);
      if (this.#failed && !(error instanceof RulesRefused)) return; // tried again at the next look
    }
    this.#digest = digest;
    // What was refused waits for somebody to put it right, or for whoever refuses to be well again.
    this.#checkedMs = this.#failed ? nowMs - CHECK_EVERY_MS + CHECK_REFUSED_EVERY_MS : nowMs;
  }

  async #bringInOrder(wanted: readonly Wanted[], signal: AbortSignal): Promise<void> {
    const { api, namespace, stores } = this.#options;
    const call = { signal, timeoutMs: CALL_TIMEOUT_MS };
    const labelSelector = `app.kubernetes.io/managed-by=${MANAGED_BY},${LABEL_CLUSTER}`;
    const found = await listAll<KubeObject>(api, { ...KIND, labelSelector, namespace }, call);
    const live = new Map(found.items.map((object) => [keyOf(object), object]));
    let refused: RulesRefused | undefined;
    for (const { key, manifest, about } of wanted) {
      if (contains(live.get(key), manifest)) continue;
      // What one cluster's user wrote into a query may be refused, which is no reason to leave the others without rules.
      await api.apply(manifest, { ...call, fieldManager: FIELD_MANAGER, force: true }).catch((error: unknown) => {
        if (signal.aborted || isNotServed(error)) throw error;
        refused ??= new RulesRefused(about, error);
      });
    }
    const kept = new Set(wanted.map(({ key }) => key));
    for (const [key, object] of live) {
      const owner = object.metadata.ownerReferences?.find(({ controller }) => controller === true);
      // Those of a cluster that is gone are the garbage collector's.
      const isOurs = owner !== undefined && stores.of("ClusterSpec").getByUid(owner.uid) !== undefined;
      if (kept.has(key) || !isOurs) continue;
      const { name, uid, namespace: where }: Stored<KubeObject>["metadata"] & KubeObject["metadata"] = object.metadata;
      await api.delete({ ...KIND, namespace: where, name }, { ...call, uid });
    }
    if (refused !== undefined) throw refused;
  }

  #allWanted(): readonly Wanted[] {
    return this.#options.stores
      .of("ClusterSpec")
      .all()
      .flatMap((object) => {
        const known = this.#wanted.get(object) ?? this.#toWanted(object);
        this.#wanted.set(object, known);
        return known === "None" ? [] : known;
      });
  }

  #toWanted(object: Stored<KubeObject & { readonly spec?: unknown }>): Wanted | "None" {
    const { slo, topology } = ClusterIntent.safeParse(object.spec).data ?? {};
    const {
      namespace = "",
      name,
      uid,
      deletionTimestamp,
    }: KubeObject["metadata"] & typeof object.metadata = object.metadata;
    if (slo === undefined || topology === undefined || deletionTimestamp !== undefined) return "None";
    const { runbooksUrl, labels } = this.#options.settings;
    const manifest: Manifest = {
      ...KIND,
      metadata: {
        name: nameOf.rules(name),
        namespace,
        labels: { ...labels, "app.kubernetes.io/managed-by": MANAGED_BY, [LABEL_CLUSTER]: name },
        ownerReferences: [ownerOf({ name, uid })],
      },
      spec: { groups: [ruleGroup({ namespace, cluster: name, slo, topology }, runbooksUrl)] },
    };
    return { key: keyOf(manifest), about: { namespace, cluster: name }, manifest, hash: contentHash(manifest) };
  }
}

function keyOf({ metadata }: KubeObject): string {
  return `${metadata.namespace ?? ""}/${metadata.name ?? ""}`;
}
