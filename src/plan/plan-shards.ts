// The planner of topology Sharded: a ClusterSpec for each shard, changed one after the other, and slots that move between them.
import { API_VERSION } from "../api/names.ts";
import type { AuthorityNote } from "../api/authority-note.ts";
import type { ShardPlace, SlotRequest } from "../api/sharding.ts";
import { shardedCertificateHosts } from "../build/certificate.ts";
import type { BuildContext } from "../build/context.ts";
import { canonicalJson, contentHash, isSameJson } from "../build/hash.ts";
import { buildShardedService } from "../build/services.ts";
import { buildShard, shardSpec, type ShardSpec } from "../build/shard.ts";
import { certificateDueMs, type CertifiedCluster, issueCertificates, lateBlocks } from "./certificates.ts";
import { planPasswords } from "./children.ts";
import type { Decision } from "./decision.ts";
import { applyRecipe, applyUnlessExact } from "./difference.ts";
import type { ClusterView, Observation } from "./observation.ts";
import { patchCommand } from "./override.ts";
import { refuseOperations } from "./operation-reports.ts";
import type { Block, Step } from "./plan.ts";
import { isShardStopped, shardingOf, shardsOf, type ShardView, slotsOf, tellsSlots, wantedShards } from "./shards.ts";
import {
  countSlots,
  emptiedShards,
  formatSlots,
  nextSlotStep,
  type SlotMove,
  type SlotSituation,
  type SlotStep,
  slotsToMove,
} from "./slots.ts";
import { timestamp } from "./timestamp.ts";

/** The whole of shards, as its planner sees it. */
interface Whole {
  readonly seen: Observation;
  readonly cluster: ClusterView;
  readonly context: BuildContext;
  readonly shards: readonly ShardView[];
  readonly wanted: readonly string[];
}

const RECHECK_MS = 10_000; // what shards report arrives as an event; this is the safety net

/** Decides what to do for a cluster of topology Sharded. */
export function planShards(seen: Observation, cluster: ClusterView, context: BuildContext): Decision {
  const whole: Whole = { seen, cluster, context, shards: shardsOf(seen, cluster), wanted: wantedShards(cluster) };
  const service = { of: "service", inputs: "", build: () => [buildShardedService(context)] };
  const slots = planSlots(whole);
  const turn = turnOf(whole);
  const certificates = planSharedCertificate(whole);
  const changes = [...turn.blocked, ...slots.blocked, ...certificates.blocked];
  const change = slots.change ?? turn.change;
  const dueMs = [...(change === undefined ? [] : [slots.requeueAfterMs ?? RECHECK_MS]), ...certificates.dueMs];
  return {
    busy: change !== undefined,
    ...(change === undefined ? {} : { change }),
    ...(dueMs.length === 0 ? {} : { requeueAfterMs: Math.min(...dueMs) }),
    blocked: [...pausedBlock(whole), ...changes],
    ...(slots.resharding === undefined ? {} : { resharding: slots.resharding }),
    steps: [
      ...refuseOperations(
        whole,
        `${cluster.name} is parted into shards: name one of them in spec.clusterName, such as ${whole.wanted[0] ?? ""}`,
      ),
      ...applyRecipe(context, service, seen.children),
      ...certificates.steps,
      ...planPasswords(whole, certificates.steps),
      ...applyShards(whole, turn.mayChange, slots.request),
      ...planLeaving(whole),
    ],
  };
}

/** Names of shards that are wanted or there. */
function allShards({ shards, wanted }: Whole): readonly string[] {
  return [...wanted, ...shards.flatMap(({ name }) => (wanted.includes(name) ? [] : name))];
}

function speaksTls({ cluster }: Whole): boolean {
  return shardingOf(cluster).tls === true;
}

function certified(whole: Whole): CertifiedCluster {
  const { context, cluster, seen, shards } = whole;
  const hosts = shardedCertificateHosts(context, allShards(whole));
  const late = ({ trusts, shows }: AuthorityNote) =>
    shards
      .filter((shard) => !isShardStopped(shard))
      .filter(({ status: { certificate } }) => certificate?.trusts !== trusts || certificate.shows !== shows)
      .map(({ name }) => name);
  return { context, cluster, seen, hosts, late };
}

/** The certificate that members of all shards have when they speak TLS with each other. Without, each shard has one of its own. */
function planSharedCertificate(whole: Whole) {
  if (!speaksTls(whole) || whole.cluster.intent.paused) return { steps: [], blocked: [], dueMs: [] };
  const shared = certified(whole);
  const dueMs = certificateDueMs(whole);
  return {
    steps: issueCertificates(shared),
    blocked: lateBlocks(shared),
    dueMs: dueMs === undefined ? [] : [dueMs],
  };
}

function pausedBlock({ cluster }: Whole): readonly Block[] {
  if (!cluster.intent.paused) return [];
  const message =
    "spec.paused is true: quorate changes nothing, shards do not fail over, and no slots move. Set it to false to go on.";
  return [{ guard: "NotPaused", object: cluster.name, message, override: patchCommand(cluster, { paused: false }) }];
}

/** A request to one shard's leader. */
interface Asked {
  readonly shard: string;
  readonly request: SlotRequest;
}

/** The ClusterSpecs of all shards that are wanted or there. A shard whose turn it is not stays as it was last told to be. */
function applyShards(whole: Whole, mayChange: (name: string) => boolean, asked: Asked | undefined): readonly Step[] {
  const { seen, cluster, context, shards, wanted } = whole;
  // Passwords come first: shards' members start with them. So they do with a certificate that has their names.
  if (seen.named.credentialsUid === undefined) return [];
  const names = allShards(whole);
  const sorted = names.toSorted();
  const tls = speaksTls(whole);
  const isCertified = !tls || seen.named.peerHosts === certified(whole).hosts.join(",");
  return names.flatMap((name) => {
    const live = shards.find((shard) => shard.name === name);
    if (live?.deleting === true || (live === undefined && (cluster.intent.paused || !isCertified))) return [];
    const now = live?.spec;
    const spec = now !== undefined && !mayChange(name) ? now : shardSpec(context, wanted.includes(name));
    const place: ShardPlace = {
      of: context.name,
      shards: sorted,
      ...(asked?.shard === name ? { request: asked.request } : {}),
      ...(tls ? { tls } : {}),
    };
    const inputs = `${specHash(spec)} ${canonicalJson(place)}`;
    const build = () => [buildShard(context, name, spec, place)];
    // What somebody adds to a shard would stay: a request to its leader, or a parameter because of which it is changed for ever.
    const isExact = live === undefined || (isSame(now, spec) && isSameJson(live.place, place));
    return applyRecipe(context, { of: `shard ${name}`, inputs, build }, seen.children, applyUnlessExact(isExact));
  });
}

const specHashes = new WeakMap<ShardSpec, string>(); // what a shard is or was told is the same object in every pass

function specHash(spec: ShardSpec): string {
  const hash = specHashes.get(spec) ?? contentHash(spec);
  specHashes.set(spec, hash);
  return hash;
}

interface Turn {
  readonly mayChange: (name: string) => boolean;
  readonly change: string | undefined;
  readonly blocked: readonly Block[];
}

/**
 * Which shards may change: one at a time, and only while all others are settled. What stops or pauses them concerns all at once. A
 * shard that is in trouble goes first: the change may be what mends it, and others in trouble that wait for the same do not hold it up.
 */
function turnOf(whole: Whole): Turn {
  const { context, shards, wanted, cluster } = whole;
  const missing = wanted.filter((name) => !shards.some((shard) => shard.name === name));
  const stale = shards.filter(({ name, spec }) => !isSame(spec, shardSpec(context, wanted.includes(name))));
  const [first] = stale.toSorted((a, b) => Number(b.isInTrouble) - Number(a.isInTrouble));
  const unsettled = shards.filter(({ isSettled, deleting }) => !isSettled && !deleting);
  const { paused, stopped } = cluster.intent;
  const isAtOnce = paused || stopped || shards.every(({ spec }) => spec?.paused === true || spec?.stopped === true);
  if (first === undefined || isAtOnce) {
    const waiting = [...missing, ...(stopped || paused ? [] : unsettled.map(({ name }) => name))];
    const change = waiting.length === 0 ? undefined : `Waiting for ${listed(waiting)}`;
    return { mayChange: () => true, change, blocked: [] };
  }
  const waitsToo = (shard: ShardView): boolean => first.isInTrouble && shard.isInTrouble && stale.includes(shard);
  const others = unsettled.filter((shard) => shard !== first && !waitsToo(shard));
  if (others.length === 0)
    return { mayChange: (name) => name === first.name, change: `Changing ${first.name}`, blocked: [] };
  const message = `${first.name} is changed when ${listed(others.map(({ name }) => name))} is Ready: one shard changes at a time, and one in trouble holds up the others. See kubectl get qcs ${others[0]?.name ?? ""}.`;
  const block: Block = { guard: "ShardsSettled", object: others[0]?.name ?? first.name, message };
  return { mayChange: () => false, change: `Changing ${first.name}`, blocked: [block] };
}

const foundSame = new WeakMap<ShardSpec, ShardSpec>(); // what a shard was told, and what it was last found to be the same as

function isSame(now: ShardSpec | undefined, wanted: ShardSpec): boolean {
  if (now === undefined || specHash(now) !== specHash(wanted)) return false;
  if (foundSame.get(now) === wanted) return true;
  const isFound = isSameJson(now, wanted);
  if (isFound) foundSame.set(now, wanted);
  return isFound;
}

function listed(names: readonly string[]): string {
  return names.length <= 3 ? names.join(", ") : `${names.slice(0, 3).join(", ")} and ${names.length - 3} more`;
}

interface SlotPlan extends Pick<Decision, "resharding"> {
  readonly request: Asked | undefined;
  readonly change: string | undefined;
  readonly blocked: readonly Block[];
  readonly requeueAfterMs?: number;
}

const NOTHING_ASKED: SlotPlan = { request: undefined, change: undefined, blocked: [] };

/** What is asked about slots now. Nothing new while a shard does not say what it owns: its slots would count as nobody's. */
function planSlots(whole: Whole): SlotPlan {
  const { cluster, shards, wanted, seen } = whole;
  const { paused, stopped } = cluster.intent;
  if (paused || stopped || seen.stateMayHaveGoneBack) return NOTHING_ASKED;
  const missing = wanted.filter((name) => !shards.some((shard) => shard.name === name));
  const mute = shards.filter((shard) => !tellsSlots(shard) && !shard.deleting).map(({ name }) => name);
  const silent = [...missing, ...mute];
  if (silent.length > 0) {
    const change = `Waiting for ${listed(silent)} to say which slots it owns`;
    return { ...NOTHING_ASKED, request: askedNow(shards), change };
  }
  const situation = situationOf(whole);
  return toSlotPlan(whole, situation, nextSlotStep(situation, shardingOf(cluster)));
}

/** What a shard's leader was asked last; it goes on with that. */
function askedNow(shards: readonly ShardView[]): Asked | undefined {
  return shards.flatMap(({ name, request }) => (request === undefined ? [] : [{ shard: name, request }]))[0];
}

function situationOf({ seen, cluster, context, shards, wanted }: Whole): SlotSituation {
  const last = cluster.status.resharding;
  return {
    slotCount: context.engine.slots ?? 0,
    ...slotsOf(shards),
    wanted,
    lastMove: last === undefined ? null : { slots: countSlots(last.batch), atMs: Date.parse(last.at) },
    nowMs: seen.nowMs,
  };
}

function toSlotPlan(whole: Whole, situation: SlotSituation, step: SlotStep): SlotPlan {
  const { cluster } = whole;
  const left = slotsToMove(situation);
  if (step.kind === "assign") return toAssign(whole, step.to, formatSlots(step.slots));
  if (step.kind === "move") return toMove(whole, step, left);
  if (step.kind === "blocked") {
    const message = `Slots cannot be moved: ${step.reason}.`;
    return { ...NOTHING_ASKED, blocked: [{ guard: "SlotsClear", object: cluster.name, message }] };
  }
  const last = cluster.status.resharding;
  const ended = last === undefined || last.left === left ? {} : { resharding: { ...last, left } };
  if (step.kind === "done") return { ...NOTHING_ASKED, ...ended };
  return { ...NOTHING_ASKED, change: `${left} slots have yet to move`, requeueAfterMs: step.forMs, ...ended };
}

function toAssign(whole: Whole, shard: string, slots: string): SlotPlan {
  const request = since(whole, shard, { action: "Assign", slots });
  const change = `${shard} takes ${countSlots(slots)} slots that nobody owns`;
  return { request: { shard, request }, change, blocked: heldUp(whole, shard) };
}

function toMove(whole: Whole, { from, to, slots }: SlotMove, left: number): SlotPlan {
  const request = since(whole, from, { action: "Move", slots: formatSlots(slots), to });
  const count = countSlots(request.slots);
  return {
    request: { shard: from, request },
    change: `${count} slots move from ${from} to ${to}; ${left} in all have yet to move`,
    blocked: heldUp(whole, from),
    resharding: { batch: request.slots, at: request.askedAt, left },
  };
}

/** A request that was made before keeps its time, or it would be another one in every pass. */
function since({ shards, seen }: Whole, shard: string, asked: Omit<SlotRequest, "askedAt">): SlotRequest {
  const before = shards.find(({ name }) => name === shard)?.request;
  const isKnown = before?.action === asked.action && before.slots === asked.slots && before.to === asked.to;
  return isKnown ? before : { ...asked, askedAt: timestamp(seen.nowMs) };
}

function heldUp({ shards }: Whole, name: string): readonly Block[] {
  const said = shards.find((shard) => shard.name === name)?.status.shard?.heldUp;
  if (said === undefined) return [];
  return [
    {
      guard: "SlotsMoved",
      object: name,
      message: `The leader of ${name} tries again what it was asked about slots: ${said}`,
    },
  ];
}

/** Shards that nobody wants, and that own nothing any more. */
function planLeaving(whole: Whole): readonly Step[] {
  const { seen, cluster, shards, context } = whole;
  if (cluster.intent.paused || cluster.intent.stopped || seen.stateMayHaveGoneBack) return [];
  if (shards.every(({ name }) => whole.wanted.includes(name))) return [];
  const emptied = emptiedShards(situationOf(whole));
  return shards.flatMap(({ name, uid, deleting, spec, ...shard }) => {
    const mayGo = emptied.includes(name) && tellsSlots({ name, uid, deleting, spec, ...shard });
    // Its volumes must have been told before what becomes of them.
    if (!mayGo || deleting || !shard.isSettled || !isSame(spec, shardSpec(context, false))) return [];
    const object = { apiVersion: API_VERSION, kind: "ClusterSpec", namespace: context.namespace, name, uid };
    return [
      { kind: "Delete", object, reason: "it owns no slots any more, and spec.sharding.shards wants fewer" } as const,
    ];
  });
}
