// A cluster whose spec is changed again and again: kubelets and agents that go along, and what its children look like at rest.
import { createHash } from "node:crypto";
import { INTENT_KEY, Intent, type MemberReport } from "../../src/api/agent-wire.ts";
import { API_VERSION, LABEL_CLUSTER, LABEL_MEMBER, nameOf } from "../../src/api/names.ts";
import type { ClusterStatus } from "../../src/api/cluster-status.ts";
import { ANNOTATION_APPLIED_HASH } from "../../src/build/labels.ts";
import { systemClock, sleep } from "../../src/clock.ts";
import { isConflict } from "../../src/kube/api-error.ts";
import { listAll } from "../../src/kube/list.ts";
import type { KubeObject, Stored } from "../../src/kube/object.ts";
import { RUNNING, runMember } from "./fake-members.ts";
import { admin, type Any, clusterRef, NAMESPACE, passes, ref } from "./operator-world.ts";
import { PlayedController } from "./played-controller.ts";

/** Runs members of topology ActivePassive: pods for StatefulSets, one leader, answers to what the operator asks. */
export class FakeNodes extends PlayedController {
  readonly #said = new Map<string, string>();
  #leader: string | undefined;
  #epoch = 0;
  #answered: MemberReport["switchover"] = null;

  protected async tick(): Promise<void> {
    const [sets, pods, claims] = await Promise.all([
      this.list<Any>("apps/v1", "StatefulSet"),
      this.list("v1", "Pod"),
      this.list<Any>("v1", "PersistentVolumeClaim"),
    ]);
    for (const claim of claims) await growClaim(claim);
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

  #elect({ members, switchover, bootstrapMember }: Intent, wanted: readonly string[]): void {
    const listed = members.map(({ name }) => name).filter((name) => wanted.includes(name));
    if (switchover !== null && this.#answered?.id !== switchover.id && switchover.from === this.#leader) {
      const to = switchover.to ?? listed.find((name) => name !== this.#leader);
      this.#answered = { id: switchover.id, result: "Done", message: `${to ?? "nobody"} leads` };
      this.#lead(to);
    }
    if (this.#leader === undefined || !listed.includes(this.#leader)) this.#lead(bootstrapMember ?? listed[0]);
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

async function growClaim({ metadata, spec, status }: Stored<Any>): Promise<void> {
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
}

const ROLLS = ["Progressing", "Baking", "RollingBack"];
const QUIET_MS = 150;
/** In a roll a guard holds the next step back for moments; one that lasts is what a person has to look at. */
const BLOCKED_MS = 2_000;
const REST_DEADLINE_MS = 40_000;

/** Waits until the operator has taken in the spec and does nothing more. @throws with the status when it never comes to rest. */
export async function restOf(cluster: string): Promise<Rest> {
  const giveUpMs = Date.now() + REST_DEADLINE_MS;
  let [lastPasses, lastPassMs] = [passes.length, Date.now()];
  for (;;) {
    await sleep(systemClock, QUIET_MS);
    const found = await admin.get<KubeObject & { readonly status?: ClusterStatus }>(clusterRef(cluster));
    const status = found?.status ?? {};
    const { generation } = found?.metadata ?? {};
    const condition = (type: string) => status.conditions?.find((one) => one.type === type)?.status === "True";
    if (passes.length !== lastPasses) [lastPasses, lastPassMs] = [passes.length, Date.now()];
    const quietMs = Date.now() - lastPassMs;
    const isTaken = status.observedGeneration === generation;
    const isBlocked = condition("Blocked");
    const isStuck = condition("Stalled") || (isBlocked && quietMs >= BLOCKED_MS);
    const isBusy = (status.change ?? "") !== "" || ROLLS.includes(status.rollout?.phase ?? "");
    const isStopped = status.conditions?.find(({ type }) => type === "Ready")?.reason === "Stopped";
    const isWell = (condition("Ready") || isStopped) && !isBlocked;
    if (quietMs >= QUIET_MS && isTaken && ((isWell && !isBusy) || isStuck))
      return { isWell: isWell && !isStuck, status };
    if (Date.now() > giveUpMs) throw new Error(`${cluster} does not come to rest: ${JSON.stringify(status)}`);
  }
}

const CHILDREN: readonly (readonly [apiVersion: string, kind: string])[] = [
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

/** All children of a cluster by kind and name, with the cluster's own name and uid replaced, so that those of two clusters compare. */
export async function childrenOf(cluster: string): Promise<ReadonlyMap<string, string>> {
  const uid = (await admin.get<KubeObject>(clusterRef(cluster)))?.metadata.uid ?? "none";
  const labelSelector = `${LABEL_CLUSTER}=${cluster}`;
  const lists = await Promise.all(
    CHILDREN.map(([apiVersion, kind]) =>
      listAll<Any>(admin, { apiVersion, kind, namespace: NAMESPACE, labelSelector }),
    ),
  );
  const neutral = (text: string) => text.replaceAll(uid, "UID").replaceAll(new RegExp(`\\b${cluster}\\b`, "g"), "NAME");
  return new Map(
    lists.flatMap(({ items }) =>
      items.map(
        (item) =>
          [
            neutral(`${item.kind} ${item.metadata.name}`),
            neutral(JSON.stringify(masked(plain(item)), null, 1)),
          ] as const,
      ),
    ),
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
    const [was, is] = [left.split("\n"), right.split("\n")];
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
        if (!isConflict(error)) throw error; // its status was written meanwhile
        return false;
      },
    );
    if (isWritten) return;
  }
}
