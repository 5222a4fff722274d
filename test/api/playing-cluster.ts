// Kubelets, controllers and agents of a cluster that has none: whatever the operator wants is there a moment later, and well.
import { INTENT_KEY, Intent, type MemberReport } from "../../src/api/agent-wire.ts";
import { LABEL_CLUSTER, LABEL_MEMBER, MANAGED_BY, nameOf } from "../../src/api/names.ts";
import type { KubeClient } from "../../src/kube/client.ts";
import { listAll } from "../../src/kube/list.ts";
import type { KubeObject, Stored } from "../../src/kube/object.ts";
import { runMember } from "./fake-members.ts";

const ROUND_MS = 200;

interface Played extends KubeObject {
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly status?: Readonly<Record<string, unknown>>;
  readonly data?: Readonly<Record<string, string>>;
}

interface Reign {
  readonly leader: string;
  readonly epoch: number;
  /** The last change of leader that was asked for, and what became of it. */
  readonly asked: MemberReport["switchover"];
}

/** Plays until it is stopped. */
export class PlayingCluster {
  readonly #api: KubeClient;
  readonly #node: string;
  readonly #reigns = new Map<string, Reign>();
  readonly #said = new Map<string, string>();
  readonly #stopping = new AbortController();
  #playing: Promise<void> = Promise.resolve();

  /** @param node - On which all pods are; its kubelet tells their logs. */
  constructor(api: KubeClient, node: string) {
    this.#api = api;
    this.#node = node;
  }

  start(): void {
    this.#playing = this.#play();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#playing;
  }

  async #play(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      // What somebody deletes meanwhile is looked at again in the next round.
      await this.#round().catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, ROUND_MS));
    }
  }

  async #round(): Promise<void> {
    for (const pod of await this.#list("v1", "Pod")) if (isLeaving(pod)) await this.#remove(pod);
    for (const volume of await this.#list("v1", "PersistentVolumeClaim")) await this.#bind(volume);
    for (const set of await this.#list("apps/v1", "StatefulSet")) await this.#member(set);
  }

  async #list(apiVersion: string, kind: string): Promise<readonly Stored<Played>[]> {
    const labelSelector = `app.kubernetes.io/managed-by=${MANAGED_BY}`;
    return (await listAll<Played>(this.#api, { apiVersion, kind, labelSelector })).items;
  }

  async #remove({ metadata }: Stored<Played>): Promise<void> {
    const { namespace = "", name, uid } = metadata;
    await this.#api.delete({ apiVersion: "v1", kind: "Pod", namespace, name }, { uid, gracePeriodSeconds: 0 });
    this.#said.delete(`${namespace}/${name}`);
  }

  /** As the driver of a StorageClass that grows volumes. */
  async #bind({ metadata, spec, status }: Stored<Played>): Promise<void> {
    const wanted = (spec?.["resources"] as { readonly requests?: object } | undefined)?.requests;
    if (JSON.stringify(status?.["capacity"]) === JSON.stringify(wanted)) return;
    const { namespace = "", name } = metadata;
    const volume = { apiVersion: "v1", kind: "PersistentVolumeClaim", namespace, name };
    await this.#api.mergePatch<Played>(
      volume,
      { status: { phase: "Bound", capacity: wanted } },
      { subresource: "status" },
    );
  }

  async #member({ metadata, spec }: Stored<Played>): Promise<void> {
    const { namespace = "", labels = {} } = metadata;
    const member = labels[LABEL_MEMBER] ?? metadata.name;
    const pod = { apiVersion: "v1", kind: "Pod", namespace, name: nameOf.pod(member) };
    const key = `${namespace}/${pod.name}`;
    const isThere = (await this.#api.get(pod)) !== undefined;
    if (spec?.["replicas"] === 0) {
      if (isThere) await this.#api.delete(pod, { gracePeriodSeconds: 0 });
      this.#said.delete(key);
      return;
    }
    const intent = await this.#intent(namespace, labels[LABEL_CLUSTER] ?? "");
    if (intent === undefined) return;
    const report = this.#reportOf(member, intent, this.#reignOf(`${namespace}/${labels[LABEL_CLUSTER]}`, intent));
    const text = JSON.stringify(report);
    if (isThere && this.#said.get(key) === text) return;
    await runMember(this.#api, { namespace, member, node: this.#node }, report);
    this.#said.set(key, text);
  }

  async #intent(namespace: string, cluster: string): Promise<Intent | undefined> {
    const name = nameOf.intent(cluster);
    const map = await this.#api.get<Played>({ apiVersion: "v1", kind: "ConfigMap", namespace, name });
    return Intent.safeParse(JSON.parse(map?.data?.[INTENT_KEY] ?? "{}")).data;
  }

  /** The first member leads until another is asked for. */
  #reignOf(key: string, { members, switchover }: Intent): Reign {
    const names = members.map(({ name }) => name);
    const reign = this.#reigns.get(key) ?? { leader: names[0] ?? "", epoch: 1, asked: null };
    const next =
      switchover === null || switchover.id === reign.asked?.id
        ? reign
        : succession(reign, switchover, switchover.to ?? names.find((name) => name !== reign.leader) ?? reign.leader);
    this.#reigns.set(key, next);
    return next;
  }

  #reportOf(member: string, intent: Intent, { leader, epoch, asked }: Reign): Partial<MemberReport> {
    const names = intent.members.map(({ name }) => name);
    const leads = member === leader;
    const { restart, group } = intent;
    return {
      role: leads ? "leader" : "follower",
      epoch,
      switchover: asked,
      restart: restart?.member === member ? { id: restart.id, result: "Done", message: "it runs again" } : null,
      ...(leads
        ? { syncNames: names.filter((name) => name !== member), ackCount: 1, intentGeneration: intent.generation }
        : {}),
      ...(group === undefined
        ? {}
        : { group: { incarnation: group.incarnation, ...(leads ? { members: names } : {}) } }),
    };
  }
}

function isLeaving({ metadata }: Stored<Played>): boolean {
  return metadata.deletionTimestamp !== undefined;
}

function succession({ epoch }: Reign, { id }: { readonly id: string }, leader: string): Reign {
  return { leader, epoch: epoch + 1, asked: { id, result: "Done", message: `${leader} leads` } };
}
