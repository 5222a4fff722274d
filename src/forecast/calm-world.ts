// The next moment of a world in which everything works: the API server takes every step, pods become ready, agents do what they
// are asked. Pure. It is what `plan` lets the real planner play against; what really happens may be worse, never more.
import { INTENT_KEY, Intent, type MemberReport } from "../api/agent-wire.ts";
import { ANNOTATION_CLUSTER_UID, ANNOTATION_TEMPLATE_HASH, nameOf } from "../api/names.ts";
import { stageTimes } from "../build/certificate.ts";
import { ANNOTATION_APPLIED_HASH, ANNOTATION_DELETE_WITH, ANNOTATION_INPUT_HASH } from "../build/labels.ts";
import { childKey, type Manifest } from "../build/manifest.ts";
import { parseQuantity } from "../build/quantity.ts";
import { isInitialized, keepsOwnList, leaderOf } from "../plan/facts.ts";
import { trackOf, type TrackView } from "../plan/fleet.ts";
import type {
  ChildView,
  InstanceView,
  MemberView,
  Observation,
  PodView,
  StatefulSetView,
  VolumeView,
} from "../plan/observation.ts";
import type { Plan, Step } from "../plan/plan.ts";

const YEAR_MS = 365 * 86_400_000;

/** What agents say that have just started. */
const NEW_REPORT: MemberReport = {
  role: "follower",
  epoch: 0,
  state: "Running",
  reason: null,
  history: null,
  lagBucket: "0",
  syncNames: [],
  ackCount: 0,
  agentVersion: "",
  engineVersion: null,
  leaderSince: null,
  switchover: null,
  restart: null,
  rebuild: null,
  hook: null,
};

/** The observation after the plan's steps were taken. */
export function afterSteps(seen: Observation, { steps }: Plan): Observation {
  return steps.reduce(afterStep, seen);
}

/** Members take up what is issued at once: their reports keep fitting what is noted of it. */
function afterIssue(
  { nowMs, named }: Observation,
  { hosts, to, overlapMs, request, hasClients }: Extract<Step, { kind: "IssueCertificates" }>,
): Partial<Observation["named"]> {
  const { authority } = named;
  const { trusts, shows } = authority ?? { trusts: "", shows: "" };
  const notAfter = new Date(nowMs + 10 * YEAR_MS).toISOString();
  const times = stageTimes(authority, { stage: to, overlapMs }, nowMs);
  const note = { ...times, notAfter, request, trusts, shows, hasClients };
  return { peerNotAfterMs: nowMs + 3 * YEAR_MS, peerHosts: hosts.join(","), peerVersion: "new", authority: note };
}

function afterStep(seen: Observation, step: Step): Observation {
  if ("manifest" in step) {
    const isLease = step.manifest.kind === "Lease"; // which is never watched
    return isLease ? { ...seen, named: { ...seen.named, hasLease: true } } : afterApply(seen, step.manifest);
  }
  if (step.kind === "Delete") return afterDelete(seen, step.object.kind, step.object.name);
  if (step.kind === "IssueCertificates") {
    return { ...seen, named: { ...seen.named, ...afterIssue(seen, step) } };
  }
  if (step.kind === "GenerateCredentials") {
    return { ...seen, named: { ...seen.named, credentialsUid: "new", credentialKeys: step.keys } };
  }
  if (step.kind === "WriteConnection") {
    const { metadata, connection } = step;
    const certificate = connection.certifies === undefined ? {} : { notAfterMs: seen.nowMs + YEAR_MS };
    const live = { hash: connection.hash, ...certificate };
    const connections = new Map(seen.named.connections).set(metadata.name, live);
    return { ...seen, named: { ...seen.named, connections } };
  }
  const { name, status } = step;
  const operations = seen.operations.map((operation) =>
    operation.name === name ? { ...operation, status: { ...operation.status, ...status } } : operation,
  );
  return { ...seen, operations };
}

function afterApply(seen: Observation, manifest: Manifest): Observation {
  const { kind, metadata } = manifest;
  const key = childKey(kind, metadata.name);
  const old = seen.children.get(key);
  const child: ChildView = {
    uid: old?.uid ?? `new ${key}`,
    resourceVersion: next(old?.resourceVersion),
    appliedHash: metadata.annotations?.[ANNOTATION_APPLIED_HASH],
    deleting: false,
    live: manifest,
  };
  const children = new Map(seen.children).set(key, child);
  const changed = { ...seen, children };
  if (kind === "ConfigMap" && metadata.name === nameOf.intent(seen.name)) {
    return { ...changed, intent: { ...identityOf(child), intent: intentIn(manifest) } };
  }
  if (kind === "StatefulSet") {
    return withMember(changed, metadata.name, (member) => ({ ...member, statefulSet: toSet(child, manifest) }));
  }
  if (kind === "PersistentVolumeClaim") {
    const name = metadata.name.slice(0, -nameOf.volume("").length);
    return withMember(changed, name, (member) => ({
      ...member,
      volume: toVolume(child, manifest, member.volume, seen),
    }));
  }
  return changed;
}

function afterDelete(seen: Observation, kind: string, name: string): Observation {
  const children = new Map(seen.children);
  children.delete(childKey(kind, name));
  const changed = { ...seen, children };
  const without = (field: "pod" | "statefulSet" | "volume", isIt: (member: MemberView) => boolean): Observation => ({
    ...changed,
    members: seen.members.map((member) => (isIt(member) ? { ...member, [field]: undefined } : member)),
  });
  if (kind === "Pod") return without("pod", ({ pod }) => pod?.name === name);
  if (kind === "StatefulSet") return without("statefulSet", (member) => member.name === name);
  if (kind === "PersistentVolumeClaim") return without("volume", ({ volume }) => volume?.name === name);
  return changed;
}

function withMember(seen: Observation, name: string, change: (member: MemberView) => MemberView): Observation {
  const ordinal = Number(name.slice(seen.name.length + 1));
  const empty: MemberView = {
    name,
    ordinal,
    statefulSet: undefined,
    pod: undefined,
    volume: undefined,
    isOfEarlierCluster: false,
  };
  const isThere = seen.members.some((member) => member.name === name);
  const members = isThere ? seen.members : [...seen.members, empty];
  return { ...seen, members: members.map((member) => (member.name === name ? change(member) : member)) };
}

/** The observation after controllers, kubelets, storage and agents did what they do; the same when they have nothing to do. */
export function afterMoves(seen: Observation): Observation {
  return [withPods, withFleet, withVolumes, withLeader, withAnswers, withSyncSet, withGroup].reduce(
    (now, move) => move(now),
    seen,
  );
}

/** StatefulSets have their pods; a new one is ready at once. */
function withPods(seen: Observation): Observation {
  return withMembers(seen, (member) => {
    const { statefulSet, pod, volume } = member;
    if (statefulSet === undefined || statefulSet.replicas === 0)
      return pod === undefined ? member : { ...member, pod: undefined };
    if (pod === undefined) return volume === undefined ? member : { ...member, pod: newPod(seen, member, statefulSet) };
    const isUp = pod.ready && pod.report?.state === "Running" && pod.report.role !== "none";
    if (isUp || !isListed(seen, member) || !canServe(seen, member)) return member;
    const report: MemberReport = { ...NEW_REPORT, ...pod.report, role: "follower", state: "Running", lagBucket: "0" };
    return { ...member, pod: { ...pod, ready: true, readySinceMs: seen.nowMs, trouble: undefined, report } };
  });
}

/** Deployments have as many pods as they ask for, all of the present template and ready at once. */
function withFleet(seen: Observation): Observation {
  const moving = (["stable", "canary"] as const).flatMap((track) => trackOf(seen, track) ?? []);
  const isOrphan = (pod: InstanceView) => moving.every(({ track }) => track !== pod.track);
  const unsettled = moving.filter(({ isSettled }) => !isSettled);
  if (unsettled.length === 0 && !seen.instances.some(isOrphan)) return seen;
  const children = new Map(seen.children);
  for (const { name, replicas } of unsettled) {
    const key = childKey("Deployment", name);
    const child = children.get(key);
    if (child !== undefined)
      children.set(key, { ...child, live: { ...child.live, status: settledStatus(child, replicas) } });
  }
  const isKept = (pod: InstanceView) => !isOrphan(pod) && unsettled.every(({ track }) => track !== pod.track);
  const instances = [...seen.instances.filter(isKept), ...unsettled.flatMap((track) => newInstances(seen, track))];
  return { ...seen, children, instances };
}

function settledStatus({ live }: ChildView, replicas: number): object {
  const { generation = 0 } = (live as { readonly metadata: { readonly generation?: number } }).metadata;
  const counts = { replicas, updatedReplicas: replicas, readyReplicas: replicas, availableReplicas: replicas };
  return { ...counts, observedGeneration: generation };
}

function newInstances(seen: Observation, { track, name, replicas, revision }: TrackView): InstanceView[] {
  return Array.from({ length: replicas }, (_, at) => ({
    ...blankPod(`${name}-${at}`, revision?.templateHash, seen.nowMs),
    track,
    ready: true,
    readySinceMs: seen.nowMs,
  }));
}

function newPod(seen: Observation, { name, pod }: MemberView, { revision }: StatefulSetView): PodView {
  return { ...blankPod(nameOf.pod(name), revision?.templateHash, seen.nowMs), node: pod?.node };
}

function blankPod(name: string, templateHash: string | undefined, nowMs: number): PodView {
  return {
    uid: `new pod ${name} ${nowMs}`,
    resourceVersion: "1",
    name,
    ready: false,
    readySinceMs: undefined,
    deletingSinceMs: undefined,
    node: undefined,
    templateHash,
    createdMs: nowMs,
    report: undefined,
    trouble: undefined,
  };
}

function isListed({ intent }: Observation, { name }: MemberView): boolean {
  return intent?.intent?.members.some((member) => member.name === name) === true;
}

/** Whether it has data, may make some, or can clone some. */
function canServe(seen: Observation, { name, volume }: MemberView): boolean {
  const hasData = volume !== undefined && seen.cluster !== undefined && isInitialized(seen, seen.cluster);
  return hasData || seen.intent?.intent?.bootstrapMember === name || leaderOf(seen.members) !== undefined;
}

/** Claims are bound, and as large as they ask to be. */
function withVolumes(seen: Observation): Observation {
  return withMembers(seen, (member) => {
    const { volume } = member;
    if (volume === undefined || volume.deleting || volume.resize.state === "Refused") return member;
    if (volume.phase === "Bound" && volume.capacityBytes >= volume.requestedBytes) return member;
    if (volume.phase === "Lost") return member;
    return { ...member, volume: { ...volume, phase: "Bound", capacityBytes: volume.requestedBytes } };
  });
}

/** Without a leader the one that led last leads, or the lowest that may: a moment after it is ready, when others have had their say. */
function withLeader(seen: Observation): Observation {
  if (leaderOf(seen.members) !== undefined || seen.intent?.intent?.paused === true) return seen;
  const wasReady = ({ pod }: MemberView): boolean => pod?.ready === true && (pod.readySinceMs ?? 0) < seen.nowMs;
  const able = seen.members.filter((member) => wasReady(member) && isListed(seen, member) && canServe(seen, member));
  const byOrdinal = able.toSorted((a, b) => a.ordinal - b.ordinal);
  const chosen = able.find(({ name }) => name === seen.named.lastLeader) ?? byOrdinal[0];
  return chosen === undefined ? seen : led(seen, chosen.name);
}

function led(seen: Observation, leader: string): Observation {
  const epoch = 1 + Math.max(0, ...seen.members.map(({ pod }) => pod?.report?.epoch ?? 0));
  const promoted = withMembers(seen, (member) => {
    if (member.pod?.report === undefined) return member;
    const isLeader = member.name === leader;
    const report: MemberReport = { ...member.pod.report, role: isLeader ? "leader" : "follower", epoch, syncNames: [] };
    return { ...member, pod: { ...member.pod, report } };
  });
  return { ...promoted, named: { ...promoted.named, lastLeader: leader } };
}

/** Requests of the intent are carried out at once. */
function withAnswers(seen: Observation): Observation {
  const intent = seen.intent?.intent;
  if (intent === undefined) return seen;
  const { switchover, restart, rebuild, hook } = intent;
  const leader = leaderOf(seen.members)?.name;
  const to = switchover?.to ?? undefined;
  let now = seen;
  if (switchover !== null && to !== undefined && switchover.from === leader && leader !== undefined) {
    now = led(answered(now, leader, "switchover", switchover.id), to);
  }
  if (restart !== null) now = answered(now, restart.member, "restart", restart.id);
  if (rebuild !== null) now = answered(now, rebuild.member, "rebuild", rebuild.id);
  if (hook !== null) now = answered(now, hook.member, "hook", hook.id);
  return now;
}

function answered(
  seen: Observation,
  member: string,
  kind: "switchover" | "restart" | "rebuild" | "hook",
  id: string,
): Observation {
  return withMembers(seen, (view) => {
    const { pod } = view;
    if (view.name !== member || pod?.report === undefined || pod.report[kind]?.id === id) return view;
    return { ...view, pod: { ...pod, report: { ...pod.report, [kind]: { id, result: "Done", message: "done" } } } };
  });
}

/** The leader waits for every listed follower that is no learner. */
function withSyncSet(seen: Observation): Observation {
  const leader = leaderOf(seen.members);
  const intent = seen.intent?.intent;
  if (leader?.pod?.report === undefined || intent === undefined) return seen;
  const syncNames = intent.members
    .map(({ name }) => name)
    .filter((name) => name !== leader.name && !intent.learners.includes(name))
    .filter((name) => seen.members.some((member) => member.name === name && member.pod?.report?.state === "Running"))
    .toSorted();
  const { pod } = leader;
  if (pod.report === undefined || pod.report.syncNames.join(",") === syncNames.join(",")) return seen;
  const report = { ...pod.report, syncNames };
  return withMembers(seen, (member) => (member.name === leader.name ? { ...member, pod: { ...pod, report } } : member));
}

/** An engine that keeps its own list of members has on it whoever is listed. */
function withGroup(seen: Observation): Observation {
  const leader = leaderOf(seen.members);
  const intent = seen.intent?.intent;
  if (leader?.pod?.report === undefined || intent === undefined || !seen.cluster || !keepsOwnList(seen.cluster))
    return seen;
  const members = intent.members.map(({ name }) => name).toSorted();
  const { pod } = leader;
  if (pod.report === undefined || pod.report.group?.members?.join(",") === members.join(",")) return seen;
  const group = { incarnation: pod.report.group?.incarnation ?? 0, members };
  const report = { ...pod.report, group };
  return withMembers(seen, (member) => (member.name === leader.name ? { ...member, pod: { ...pod, report } } : member));
}

/** The same observation when no member changed, so that rest can be told from motion. */
function withMembers(seen: Observation, change: (member: MemberView) => MemberView): Observation {
  const members = seen.members.map(change);
  return members.every((member, index) => member === seen.members[index]) ? seen : { ...seen, members };
}

/** The intent that a ConfigMap carries; undefined when it carries none. */
export function intentIn(manifest: Manifest): Intent | undefined {
  const data = manifest["data"] as Readonly<Record<string, string>> | undefined;
  const text = data?.[INTENT_KEY];
  return text === undefined ? undefined : Intent.parse(JSON.parse(text));
}

function toSet(child: ChildView, manifest: Manifest): StatefulSetView {
  const { annotations = {} } = manifest.metadata;
  const spec = manifest["spec"] as { readonly template?: unknown; readonly replicas?: number };
  return {
    ...identityOf(child),
    revision: {
      templateHash: annotations[ANNOTATION_TEMPLATE_HASH] ?? "",
      inputHash: annotations[ANNOTATION_INPUT_HASH] ?? "",
    },
    template: spec.template,
    replicas: spec.replicas ?? 1,
    deleting: false,
  };
}

interface ClaimSpec {
  readonly storageClassName?: string;
  readonly resources: { readonly requests: { readonly storage: string } };
}

function toVolume(child: ChildView, manifest: Manifest, old: VolumeView | undefined, seen: Observation): VolumeView {
  const { annotations = {}, name } = manifest.metadata;
  const spec = manifest["spec"] as ClaimSpec;
  return {
    phase: "Pending",
    capacityBytes: 0,
    resize: { state: "None", message: "" },
    volumeName: undefined,
    homes: [],
    createdMs: seen.nowMs,
    deleting: false,
    className: spec.storageClassName,
    ...old,
    ...identityOf(child),
    name,
    deleteWith: annotations[ANNOTATION_DELETE_WITH],
    clusterUid: annotations[ANNOTATION_CLUSTER_UID] ?? old?.clusterUid,
    requestedBytes: parseQuantity(spec.resources.requests.storage),
  };
}

function identityOf({ uid, resourceVersion }: ChildView): Pick<ChildView, "uid" | "resourceVersion"> {
  return { uid, resourceVersion };
}

function next(version: string | undefined): string {
  return String(Number(version ?? "0") + 1);
}
