/**
 * Plays the agents of all members of all clusters in one process, as far as the API server sees them: the report on the pod,
 * the Lease, the route of writes, the answer to a switchover. Also the volumes, which nobody provides for fake nodes.
 *
 * KUBECONFIG names the API server; LEASE_RENEWALS_PER_SECOND (0) is the rate of Lease updates over all clusters together.
 */
import { INTENT_KEY, Intent, type MemberReport } from "../../src/api/agent-wire.ts";
import {
  ANNOTATION_MEMBER_STATUS,
  LABEL_CLUSTER,
  LABEL_MEMBER,
  LABEL_ROLE,
  MANAGED_BY,
  nameOf,
} from "../../src/api/names.ts";
import { LeaseRegister } from "../../src/agent/cluster/lease.ts";
import { RouteWriter } from "../../src/agent/cluster/routes.ts";
import { OperatorError } from "../../src/errors.ts";
import { KubeClient } from "../../src/kube/client.ts";
import { kubeconfigConnection } from "../../src/kube/connection.ts";
import type { KubeObject, ObjectRef, Stored } from "../../src/kube/object.ts";
import { Reflector } from "../../src/kube/reflector.ts";
import { WorkQueue } from "../../src/queue/queue.ts";
import { RUNNING } from "../../test/api/fake-members.ts";

const RENEWALS_PER_SECOND = Number(process.env["LEASE_RENEWALS_PER_SECOND"] ?? 0);
const LEASE_SECONDS = 15;
const WORKERS = 16;
const LABEL_SELECTOR = `app.kubernetes.io/managed-by=${MANAGED_BY}`;

interface Pod extends KubeObject {
  readonly spec?: { readonly nodeName?: string };
  readonly status?: { readonly podIP?: string; readonly phase?: string };
}

interface Claim extends KubeObject {
  readonly spec?: { readonly volumeName?: string; readonly resources?: { readonly requests?: object } };
}

interface ConfigMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

/** A pod that runs, as its agent knows it. */
interface Running {
  readonly ref: ObjectRef;
  readonly uid: string;
  readonly address: string;
  readonly node: string;
  readonly member: string;
  readonly report: string | undefined;
}

/** What the members of one cluster agreed on. */
interface Office {
  readonly leader: string;
  readonly epoch: number;
  readonly switchover: MemberReport["switchover"];
  /** Epoch that Lease and route were written for. */
  readonly writtenEpoch: number;
}

const api = new KubeClient(await kubeconfigConnection(), { connections: WORKERS });
const stop = new AbortController();
const queue = new WorkQueue();
const running = new Map<string, Map<string, Running>>(); // by namespace/cluster, then by pod
const intents = new Map<string, Intent>(); // by namespace/cluster
const offices = new Map<string, Office>();
const registers = new Map<string, LeaseRegister>();

function toRunning({ metadata, spec, status, apiVersion, kind }: Stored<Pod>): Running | undefined {
  const { labels, annotations, name, namespace, uid }: KubeObject["metadata"] & Stored<Pod>["metadata"] = metadata;
  const member = labels?.[LABEL_MEMBER];
  if (status?.phase !== "Running" || member === undefined) return undefined;
  return {
    ref: { apiVersion, kind, namespace, name },
    uid,
    address: status.podIP ?? "",
    node: spec?.nodeName ?? "",
    member,
    report: annotations?.[ANNOTATION_MEMBER_STATUS],
  };
}

function follow<T extends KubeObject>(kind: string, seen: (object: Stored<T>, gone: boolean) => void): void {
  const reflector = new Reflector<T>({
    api,
    selection: { apiVersion: "v1", kind, labelSelector: LABEL_SELECTOR },
    sink: (event) => {
      if (event.type === "Replaced") for (const object of event.objects) seen(object, false);
      else if (event.type !== "Progressed") seen(event.object, event.type === "Deleted");
    },
  });
  void reflector.run(stop.signal);
}

function sawPod(pod: Stored<Pod>, gone: boolean): void {
  const { namespace, name, labels }: Stored<Pod>["metadata"] & KubeObject["metadata"] = pod.metadata;
  const key = `${namespace ?? ""}/${labels?.[LABEL_CLUSTER] ?? ""}`;
  const now = gone ? undefined : toRunning(pod);
  if (now === undefined) running.get(key)?.delete(name);
  else remember(key, now);
  if (now !== undefined) queue.add(key);
}

function remember(key: string, pod: Running): void {
  const pods = running.get(key) ?? new Map<string, Running>();
  running.set(key, pods.set(pod.ref.name, pod));
}

function sawIntent({ metadata, data }: Stored<ConfigMap>): void {
  const { namespace, labels }: KubeObject["metadata"] = metadata;
  const text = data?.[INTENT_KEY];
  if (text === undefined) return;
  const key = `${namespace ?? ""}/${labels?.[LABEL_CLUSTER] ?? ""}`;
  intents.set(key, Intent.parse(JSON.parse(text)));
  queue.add(key);
}

/** A volume for a claim that has none; the controller manager binds the two. */
async function provide(claim: Stored<Claim>): Promise<void> {
  const { namespace, name, uid }: Stored<Claim>["metadata"] & KubeObject["metadata"] = claim.metadata;
  const volume: KubeObject & { readonly spec: object } = {
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: { name: `pv-${uid}` },
    spec: {
      capacity: claim.spec?.resources?.requests ?? {},
      accessModes: ["ReadWriteOnce"],
      storageClassName: "fake",
      claimRef: { apiVersion: "v1", kind: "PersistentVolumeClaim", namespace, name, uid },
      hostPath: { path: `/nowhere/${uid}` },
    },
  };
  await api.create(volume).catch(tolerate);
}

/** The first member leads until a switchover is asked for. */
function officeOf(key: string, intent: Intent | undefined): Office {
  const known = offices.get(key) ?? {
    leader: nameOf.member(key.split("/")[1] ?? "", 0),
    epoch: 1,
    switchover: null,
    writtenEpoch: 0,
  };
  const asked = intent?.switchover ?? null;
  if (asked === null || asked.id === known.switchover?.id) return known;
  const others = (intent?.members ?? []).map(({ name }) => name).filter((name) => name !== known.leader);
  const leader = asked.to ?? others[0] ?? known.leader;
  const switchover = { id: asked.id, result: "Done", message: `${leader} leads` } as const;
  return { ...known, leader, epoch: known.epoch + 1, switchover };
}

/** Brings what the members of one cluster show to what they should. */
async function act(key: string): Promise<void> {
  const pods = [...(running.get(key)?.values() ?? [])];
  const office = officeOf(key, intents.get(key));
  offices.set(key, office);
  const leader = pods.find(({ member }) => member === office.leader);
  if (leader !== undefined && office.writtenEpoch !== office.epoch) {
    await takeOffice(key, office, leader);
    offices.set(key, { ...office, writtenEpoch: office.epoch });
  }
  for (const pod of pods) await say(key, pod, office);
}

async function takeOffice(key: string, { epoch }: Office, leader: Running): Promise<void> {
  const [namespace = "", cluster = ""] = key.split("/");
  const ref = { apiVersion: "coordination.k8s.io/v1", kind: "Lease", namespace, name: nameOf.lease(cluster) };
  const register = registers.get(key) ?? new LeaseRegister(api, ref, () => LEASE_SECONDS);
  await register.read();
  registers.set(key, register);
  await renew(register, { holder: `${leader.ref.name}/${leader.uid}/fake`, leader: leader.member, epoch });
  const { ref: pod, uid, address, node } = leader;
  const endpoint = { pod: pod.name, podUid: uid, address, node };
  await new RouteWriter(api, namespace, nameOf.readWrite(cluster)).write([endpoint], epoch, () => true);
}

async function renew(
  register: LeaseRegister,
  given?: { readonly holder: string; readonly leader: string; readonly epoch: number },
): Promise<void> {
  const view = await register.read();
  if (view === undefined) return;
  await register.write(view.resourceVersion, { ...view.content, ...given }, new Date());
}

async function say(key: string, pod: Running, { leader, epoch, switchover }: Office): Promise<void> {
  const role = pod.member === leader ? "leader" : "follower";
  const report = JSON.stringify({ ...RUNNING, role, epoch, switchover: pod.member === leader ? null : switchover });
  if (report === pod.report) return;
  const metadata = {
    uid: pod.uid,
    labels: { [LABEL_ROLE]: role },
    annotations: { [ANNOTATION_MEMBER_STATUS]: report },
  };
  await api.mergePatch(pod.ref, { metadata });
  remember(key, { ...pod, report });
}

async function work(): Promise<void> {
  for (;;) {
    const item = await queue.take(stop.signal);
    if (item === undefined) return;
    try {
      await act(item.key);
      queue.forget(item.key);
    } catch (error) {
      tolerate(error);
      queue.retry(item.key);
    } finally {
      queue.done(item.key);
    }
  }
}

/** Renewals in turn over all clusters, evenly over time. Those that the API server is too slow for are left out. */
async function renewAll(): Promise<void> {
  const periodMs = 1000 / RENEWALS_PER_SECOND;
  let dueMs = performance.now();
  for (let at = 0; !stop.signal.aborted; at += 1) {
    const all = [...registers.values()];
    const register = all[at % Math.max(1, all.length)];
    if (register !== undefined) void renew(register).catch(tolerate);
    dueMs = Math.max(dueMs + periodMs, performance.now() - 1000);
    const waitMs = dueMs - performance.now();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
  }
}

/** What the API server refuses is tried again with the next event; a bug of this program ends it. */
function tolerate(error: unknown): void {
  if (!(error instanceof OperatorError)) throw error;
}

process.once("SIGTERM", () => process.exit(0));
follow<Pod>("Pod", sawPod);
follow<ConfigMap>("ConfigMap", (map, gone) => (gone ? undefined : sawIntent(map)));
follow<Claim>("PersistentVolumeClaim", (claim, gone) => {
  if (!gone && claim.spec?.volumeName === undefined) void provide(claim);
});
if (RENEWALS_PER_SECOND > 0) void renewAll();
await Promise.all(Array.from({ length: WORKERS }, work));
