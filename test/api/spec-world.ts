// A cluster whose spec is changed again and again: kubelets and agents that go along, and what its children look like at rest.
import { createHash } from "node:crypto";
import { INTENT_KEY, Intent, type MemberReport } from "../../src/api/agent-wire.ts";
import { API_VERSION, LABEL_CLUSTER, LABEL_MEMBER, LABEL_SHARD_OF, nameOf } from "../../src/api/names.ts";
import type { ClusterStatus } from "../../src/api/cluster-status.ts";
import { ANNOTATION_APPLIED_HASH } from "../../src/build/labels.ts";
import { systemClock, sleep } from "../../src/clock.ts";
import { OperatorError } from "../../src/errors.ts";
import { apiStatusOf, isConflict } from "../../src/kube/api-error.ts";
import { listAll } from "../../src/kube/list.ts";
import type { KubeObject, Stored } from "../../src/kube/object.ts";
import { RUNNING, runMember } from "./fake-members.ts";
import { admin, type Any, clusterRef, NAMESPACE, passes, ref } from "./operator-world.ts";
import { PlayedController } from "./played-controller.ts";

/** What a leader says beside what every leader does, by what it is told and the epoch in which it leads. */
export type LeaderSays = (
  intent: Intent,
  leads: { readonly member: string; readonly epoch: number },
) => Partial<MemberReport>;

/** Runs members of topology ActivePassive: pods for StatefulSets, one leader, answers to what the operator asks. */
export class FakeNodes extends PlayedController {
  readonly #leaderSays: LeaderSays;
  readonly #said = new Map<string, string>();
  #leader: string | undefined;
  #epoch = 0;
  #answered: MemberReport["switchover"] = null;

  constructor(cluster: string, leaderSays: LeaderSays = () => ({})) {
    super(cluster);
    this.#leaderSays = leaderSays;
  }

  override async tick(): Promise<void> {
    const [sets, pods, claims] = await Promise.all([
      this.list<Any>("apps/v1", "StatefulSet"),
      this.list("v1", "Pod"),
      this.list<Any>("v1", "PersistentVolumeClaim"),
    ]);
    for (const claim of claims) await keepClaim(claim);
    const wanted = sets.filter(({ spec }) => spec?.["replicas"] !== 0).map(({ metadata }) => metadata.name);
    for (const pod of pods) {
      const member = pod.metadata.labels?.[LABEL_MEMBER] ?? "";
      const isWanted = wanted.includes(member) && pod.metadata.deletionTimestamp === undefined;
      if (!isWanted) await admin.delete(ref("v1", "Pod", pod.metadata.name), { gracePeriodSeconds: 0 });
    }
    const intent = await this.#intent();
    if (intent === undefined) return;
    this.#elect(intent, wanted);
    for (const member of wanted) await this.#report(member, intent, wanted, pods);
  }

  #elect({ members, switchover, bootstrapMember, initializedFor }: Intent, wanted: readonly string[]): void {
    const listed = members.map(({ name }) => name).filter((name) => wanted.includes(name));
    if (switchover !== null && this.#answered?.id !== switchover.id && switchover.from === this.#leader) {
      const to = switchover.to ?? listed.find((name) => name !== this.#leader);
      this.#answered = { id: switchover.id, result: "Done", message: `${to ?? "nobody"} leads` };
      this.#lead(to);
    }
    // Nobody leads from a volume of an earlier cluster.
    const first = bootstrapMember ?? (initializedFor === undefined ? undefined : listed[0]);
    if (this.#leader === undefined || !listed.includes(this.#leader)) this.#lead(first);
  }

  #lead(member: string | undefined): void {
    if (member !== undefined && member !== this.#leader) this.#epoch += 1;
    this.#leader = member;
  }

  async #report(
    member: string,
    intent: Intent,
    wanted: readonly string[],
    pods: readonly Stored<KubeObject>[],
  ): Promise<void> {
    const isLeader = member === this.#leader;
    const others = wanted.filter((name) => name !== member && confirms(intent, name));
    const report: MemberReport = {
      ...RUNNING,
      role: isLeader ? "leader" : "follower",
      epoch: this.#epoch,
      intentGeneration: intent.generation,
      syncNames: isLeader ? [...others] : [],
      ackCount: isLeader && others.length > 0 ? Math.ceil(others.length / 2) : 0,
      switchover: this.#answered,
      restart: intent.restart?.member === member ? { id: intent.restart.id, result: "Done", message: "done" } : null,
      hook: intent.hook?.member === member ? { id: intent.hook.id, result: "Done", message: "done" } : null,
      ...(isLeader ? this.#leaderSays(intent, { member, epoch: this.#epoch }) : {}),
    };
    const pod = pods.find(({ metadata }) => metadata.name === nameOf.pod(member));
    const text = JSON.stringify(report);
    if (pod !== undefined && this.#said.get(pod.metadata.uid) === text) return;
    await runMember(admin, { namespace: NAMESPACE, member }, report);
    if (pod !== undefined) {
      this.#said.set(pod.metadata.uid, text);
      return;
    }
    const conditions = [{ type: "Ready", status: "True", lastTransitionTime: now() }];
    await admin.mergePatch<Any>(
      ref("v1", "Pod", nameOf.pod(member)),
      { status: { phase: "Running", conditions } },
      { subresource: "status" },
    );
  }

  async #intent(): Promise<Intent | undefined> {
    const map = await admin.get<Any>(ref("v1", "ConfigMap", nameOf.intent(this.cluster)));
    return map === undefined ? undefined : Intent.parse(JSON.parse(map.data?.[INTENT_KEY] ?? ""));
  }
}

/** Grows a claim as it asks for, and lets one go that is to be deleted. */
export async function keepClaim({ metadata, spec, status }: Stored<Any>): Promise<void> {
  if (metadata.deletionTimestamp !== undefined) {
    await admin.mergePatch(ref("v1", "PersistentVolumeClaim", metadata.name), { metadata: { finalizers: null } });
    return;
  }
  const { requests } = (spec?.["resources"] ?? {}) as { readonly requests?: { readonly storage: string } };
  const { storage } = (status?.["capacity"] ?? {}) as { readonly storage?: string };
  if (requests === undefined || storage === requests.storage) return;
  const bound = { phase: "Bound", capacity: { storage: requests.storage } };
  await admin.mergePatch<Any>(
    ref("v1", "PersistentVolumeClaim", metadata.name),
    { status: bound },
    { subresource: "status" },
  );
}

function now(): string {
  return `${new Date().toISOString().slice(0, 19)}Z`;
}

/** What a cluster came to: everything goes as wanted, or somebody has to do something, and the status says what. */
export interface Rest {
  readonly isWell: boolean;
  readonly status: ClusterStatus;
  /** What is said for people, by it and by its shards. */
  readonly said: string;
}

const ROLLS = ["Progressing", "Baking", "RollingBack"];
const QUIET_MS = 150;
/** In a roll a guard holds the next step back for moments; one that lasts is what a person has to look at. */
const BLOCKED_MS = 2_000;
/** For one cluster, and again for each of its shards, which change one after the other. */
const REST_DEADLINE_MS = 40_000;

type Found = Stored<KubeObject & { readonly spec?: { readonly topology: string }; readonly status?: ClusterStatus }>;

/** Waits until the operator has taken in the spec and does nothing more. @throws with the status when it never comes to rest. */
export async function restOf(cluster: string): Promise<Rest> {
  const beganMs = Date.now();
  let [lastPasses, lastPassMs] = [passes.length, Date.now()];
  for (;;) {
    await sleep(systemClock, QUIET_MS);
    const found = await admin.get<Found>(clusterRef(cluster));
    const shards = await shardsOf(found);
    const status = found?.status ?? {};
    const { generation } = found?.metadata ?? {};
    if (passes.length !== lastPasses) [lastPasses, lastPassMs] = [passes.length, Date.now()];
    const quietMs = Date.now() - lastPassMs;
    const isTaken = status.observedGeneration === generation;
    const isBlocked = holds(status, "Blocked");
    const isStuck = [status, ...shards].some(
      (one) => holds(one, "Stalled") || (holds(one, "Blocked") && !isInTurn(one) && quietMs >= BLOCKED_MS),
    );
    const isBusy = (status.change ?? "") !== "" || ROLLS.includes(status.rollout?.phase ?? "");
    const isStopped = status.conditions?.find(({ type }) => type === "Ready")?.reason === "Stopped";
    const isWell = (holds(status, "Ready") || isStopped) && !isBlocked;
    const said = JSON.stringify([status, ...shards].map(({ conditions, blocked }) => [conditions, blocked]));
    if (quietMs >= QUIET_MS && isTaken && ((isWell && !isBusy) || isStuck))
      return { isWell: isWell && !isStuck, status, said };
    if (Date.now() - beganMs > REST_DEADLINE_MS * (1 + shards.length))
      throw new Error(`${cluster} does not come to rest: ${JSON.stringify([status, ...shards])}`);
  }
}

function holds({ conditions = [] }: ClusterStatus, type: string): boolean {
  return conditions.some((one) => one.type === type && one.status === "True");
}

/** A shard waits until another has changed. If that one is stuck, it says so itself. */
function isInTurn({ blocked = [] }: ClusterStatus): boolean {
  return blocked.length > 0 && blocked.every(({ guard }) => guard === "ShardsSettled");
}

async function shardsOf(found: Found | undefined): Promise<readonly ClusterStatus[]> {
  if (found?.spec?.topology !== "Sharded") return [];
  const labelSelector = `${LABEL_SHARD_OF}=${found.metadata.name}`;
  const kind = { apiVersion: API_VERSION, kind: "ClusterSpec", namespace: NAMESPACE, labelSelector };
  return (await listAll<Found>(admin, kind)).items.map(({ status = {} }) => status);
}

/** Kinds of what a cluster is made of. */
export const CHILDREN: readonly (readonly [apiVersion: string, kind: string])[] = [
  [API_VERSION, "ClusterSpec"],
  ["v1", "Pod"],
  ["v1", "Service"],
  ["v1", "ConfigMap"],
  ["v1", "Secret"],
  ["v1", "ServiceAccount"],
  ["v1", "PersistentVolumeClaim"],
  ["apps/v1", "StatefulSet"],
  ["apps/v1", "Deployment"],
  ["autoscaling/v2", "HorizontalPodAutoscaler"],
  ["policy/v1", "PodDisruptionBudget"],
  ["rbac.authorization.k8s.io/v1", "Role"],
  ["rbac.authorization.k8s.io/v1", "RoleBinding"],
  ["networking.k8s.io/v1", "NetworkPolicy"],
  ["discovery.k8s.io/v1", "EndpointSlice"],
];

/** Whether commits may wait for a member: it is listed, and neither new nor about to leave. */
function confirms({ members, learners }: Intent, name: string): boolean {
  return members.some((one) => one.name === name) && !learners.includes(name);
}

/** Fields that time, chance or others decide. What is left is what the spec decides. */
const MASKED = new Set([
  "uid",
  "resourceVersion",
  "generation",
  "creationTimestamp",
  "managedFields",
  "status",
  "clusterIP",
  "clusterIPs",
  "nodePort",
  "healthCheckNodePort",
  "volumeName",
  "quorate.io/member-status",
  "quorate.io/not-after",
  "quorate.io/authority",
  "quorate.io/connection-hash",
  "quorate.io/role",
]);

/**
 * All children of a cluster by kind and name, those of its shards among them, with the cluster's own name and uid replaced, so that those of
 * two clusters compare.
 */
export async function childrenOf(cluster: string): Promise<ReadonlyMap<string, string>> {
  const found = await admin.get<Found>(clusterRef(cluster));
  const labels = found?.spec?.topology === "Sharded" ? [LABEL_CLUSTER, LABEL_SHARD_OF] : [LABEL_CLUSTER];
  const lists = await Promise.all(
    CHILDREN.flatMap(([apiVersion, kind]) =>
      labels.map((label) =>
        listAll<Any>(admin, { apiVersion, kind, namespace: NAMESPACE, labelSelector: `${label}=${cluster}` }),
      ),
    ),
  );
  const items = lists.flatMap((list) => list.items);
  const uids = items.flatMap(({ kind, metadata }) => (kind === "ClusterSpec" ? [[metadata.uid, metadata.name]] : []));
  const neutral = (text: string) =>
    [[found?.metadata.uid ?? "none", "UID"], ...uids]
      .reduce((said, [uid = "", name = ""]) => said.replaceAll(uid, name), text)
      .replaceAll(new RegExp(`\\b${cluster}\\b`, "g"), "NAME");
  return new Map(
    items.map((item) => [
      neutral(`${item.kind} ${item.metadata.name}`),
      neutral(JSON.stringify(masked(plain(item)), null, 1)),
    ]),
  );
}

/** A Secret shows its keys alone; the intent, which is JSON in a string, is opened. */
function plain(item: Stored<Any>): object {
  if (item.kind === "Secret") return { ...item, data: Object.keys(item.data ?? {}).toSorted() };
  const intent = item.data?.[INTENT_KEY];
  if (intent !== undefined) {
    // Its hash is of its generation, too, which only grows.
    const { [ANNOTATION_APPLIED_HASH]: _, ...annotations } = item.metadata.annotations ?? {};
    return { ...item, metadata: { ...item.metadata, annotations }, data: JSON.parse(intent) as object };
  }
  if (item.kind !== "ConfigMap") return item;
  const digest = createHash("sha256")
    .update(JSON.stringify([item.data, item.binaryData]))
    .digest("hex");
  return { ...item, data: digest, binaryData: undefined };
}

function masked(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(masked);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([name]) => !MASKED.has(name));
  return Object.fromEntries(
    entries.toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([name, inner]) => [name, masked(inner)]),
  );
}

/** What differs between two times or two clusters, line by line: `-` was only in the first, `+` is only in the second. */
export function differences(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): string[] {
  const names = [...new Set([...a.keys(), ...b.keys()])].toSorted();
  return names.flatMap((name) => {
    const [left, right] = [a.get(name), b.get(name)];
    if (left === right) return [];
    if (left === undefined)
      return [`+ ${name}`, ...(right ?? "").split("\n").map((line) => `+ ${name}: ${line.trim()}`)];
    if (right === undefined) return [`- ${name}`];
    // Whether a line is the last of its list is nobody's decision.
    const [was, is] = [left, right].map((text) => text.split("\n").map((line) => line.replace(/,$/, ""))) as [
      string[],
      string[],
    ];
    return [
      ...without(was, is).map((line) => `- ${name}: ${line}`),
      ...without(is, was).map((line) => `+ ${name}: ${line}`),
    ];
  });
}

/** The lines that are oftener in `lines` than in `others`. */
function without(lines: readonly string[], others: readonly string[]): string[] {
  const left = new Map<string, number>();
  for (const line of others) left.set(line, (left.get(line) ?? 0) + 1);
  return lines.flatMap((line) => {
    const count = left.get(line) ?? 0;
    if (count === 0) return [line.trim()];
    left.set(line, count - 1);
    return [];
  });
}

/** Changes the spec: `null` takes a field away. */
export async function patchSpec(cluster: string, spec: object): Promise<void> {
  await admin.mergePatch(clusterRef(cluster), { spec });
}

/** Replaces the spec as a whole, as `kubectl replace` does: what is not named has its default again. */
export async function replaceSpec(cluster: string, spec: object): Promise<void> {
  for (;;) {
    const found = await admin.get<KubeObject>(clusterRef(cluster));
    if (found === undefined) throw new Error(`there is no ${cluster}`);
    const object = { ...found, apiVersion: API_VERSION, kind: "ClusterSpec", spec };
    const isWritten = await admin.update<KubeObject>(object).then(
      () => true,
      (error: unknown) => {
        // Its status was written meanwhile, or nobody knows whether this was.
        const isUnanswered = error instanceof OperatorError && apiStatusOf(error) === undefined;
        if (!isConflict(error) && !isUnanswered) throw error;
        return false;
      },
    );
    if (isWritten) return;
  }
}
