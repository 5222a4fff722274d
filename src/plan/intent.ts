// The intent that agents shall see next: what the spec says, who belongs to the cluster, and the open requests.
import type { Intent } from "../api/agent-wire.ts";
import { buildIntent, buildIntentConfigMap, type IntentState } from "../build/config.ts";
import { contentHash, isSameJson } from "../build/hash.ts";
import type { Decision } from "./decision.ts";
import { applyIfDifferent, applyRecipe } from "./difference.ts";
import {
  isEnded,
  isInSync,
  listedMembers,
  requestedMs,
  switchoverDeadlineMs,
  type Request,
  type World,
} from "./facts.ts";
import { hookRequest } from "./hook-request.ts";
import type { Step } from "./plan.ts";

/** The step that brings the intent up to date, or none. Written on the condition that it is the one that was seen. */
export function planIntent(world: World, decision: Decision, listed: readonly string[]): readonly Step[] {
  const { context, seen } = world;
  if (isTooEarly(world)) return [];
  const now = seen.intent?.intent;
  const forcedPromotion = decision.forcedPromotion ?? keptOrder(world);
  const state = {
    members: listed,
    learners: learners(world, listed, [...(forcedPromotion?.lost ?? []), decision.leaving]),
    bootstrapMember: bootstrapMember(world),
    initialized: world.initialized,
    switchover: decision.switchover ?? keptSwitchover(world),
    restart: decision.restart ?? kept(now?.restart, world.restart),
    rebuild: decision.rebuild ?? kept(now?.rebuild, world.rebuild),
    hook: decision.hook ?? kept(now?.hook, hookRequest(world)),
    ...present({ defragment: decision.defragment ?? kept(now?.defragment, world.defragment) ?? undefined }),
    ...present({ task: decision.task ?? kept(now?.task, world.task) ?? undefined }),
    ...present({ office: officeOf(world), agent: decision.agent }),
    ...present({ group: decision.group ?? groupOf(world), forcedPromotion }),
  };
  const same = now === undefined ? undefined : buildIntent(context, { ...state, generation: now.generation });
  const resourceVersion = seen.intent?.resourceVersion;
  if (now === undefined || same === undefined || !isSameJson(same, now)) {
    const next = buildIntent(context, { ...state, generation: nextGeneration(now, seen.nowMs) });
    return applyIfDifferent(buildIntentConfigMap(context, next, resourceVersion), seen.children);
  }
  const recipe = {
    of: "intent",
    inputs: `${resourceVersion} ${intentHash(now)}`,
    build: () => [buildIntentConfigMap(context, same, resourceVersion)],
  };
  return applyRecipe(context, recipe, seen.children);
}

const intentHashes = new WeakMap<Intent, string>(); // by the intent that was read, which never changes

function intentHash(intent: Intent): string {
  const hash = intentHashes.get(intent) ?? contentHash(intent);
  intentHashes.set(intent, hash);
  return hash;
}

/** The leader and its epoch, for requests to a shard's leader. */
function officeOf({ leader }: World): IntentState["office"] {
  const epoch = leader?.pod?.report?.epoch;
  return leader === undefined || epoch === undefined ? undefined : { member: leader.name, epoch };
}

/** Before the volumes of a new cluster are there nobody can be told to initialise one, and no member needs to be told anything. */
function isTooEarly(world: World): boolean {
  if (world.seen.intent !== undefined || world.initialized) return false;
  return listedMembers(world).some(({ volume }) => volume === undefined);
}

/** The fields that have a value. */
function present<T extends object>(fields: { [K in keyof T]: T[K] | undefined }): Partial<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Partial<T>;
}

/**
 * The incarnation that the intent names goes on. If the intent was lost, members still know theirs: copies of an older one must
 * not come back to life.
 */
function groupOf({ seen, members }: World): Intent["group"] {
  const named = seen.intent?.intent?.group;
  if (named !== undefined) return named;
  const incarnation = Math.max(0, ...members.map(({ pod }) => pod?.report?.group?.incarnation ?? 0));
  return incarnation === 0 ? undefined : { incarnation, founder: null, request: null };
}

/** An order to promote by force stays until its operation has ended: nobody may forget half of it. */
function keptOrder({ seen }: World): Intent["forcedPromotion"] {
  const order = seen.intent?.intent?.forcedPromotion;
  const isOpen = seen.operations.some(({ uid, status }) => uid === order?.id && !isEnded(status));
  return isOpen ? order : undefined;
}

/**
 * Members that were added to a cluster that serves and have not been in sync since, and those that are given up: about to leave, or
 * lost. Writes must not wait for them: a clone takes as long as there is data.
 */
function learners(
  world: World,
  listed: readonly string[],
  givenUp: readonly (string | undefined)[],
): readonly string[] {
  const now = world.seen.intent?.intent;
  if (now === undefined || !world.initialized) return [];
  const known = new Set(now.members.map((member) => member.name));
  return listed.filter((name) => {
    if (!known.has(name) || givenUp.includes(name)) return true;
    const member = world.members.find((one) => one.name === name);
    return now.learners.includes(name) && (member === undefined || !isInSync(world, member));
  });
}

/** Starts at the time in seconds, so that it still grows when the ConfigMap was deleted and made anew. */
function nextGeneration(now: Intent | undefined, nowMs: number): number {
  return now === undefined ? Math.floor(nowMs / 1000) : now.generation + 1;
}

/**
 * Who may initialise its empty volume: the first member, and only while every volume is known to be fresh, made for this
 * very ClusterSpec, and nobody ever led it. Otherwise an empty volume beside one with data could become a second history.
 */
function bootstrapMember(world: World): string | null {
  if (world.initialized || world.seen.stateMayHaveGoneBack) return null;
  const isFresh = listedMembers(world).every(
    ({ volume }) => volume !== undefined && !volume.deleting && volume.clusterUid === world.cluster.uid,
  );
  return isFresh ? (world.listed[0] ?? null) : null;
}

function kept<T>(request: T | null | undefined, settled: Request): T | null {
  return settled.state === "Open" ? (request ?? null) : null;
}

/**
 * A switchover of the planner that was refused or failed stays until its pause is over: it is the only memory of that. One that was
 * done stays where nobody is elected: who speaks for the others goes by it, and taken back it would be who spoke before.
 */
function keptSwitchover(world: World): Intent["switchover"] {
  const request = world.seen.intent?.intent?.switchover ?? null;
  if (world.switchover.state === "Open") return request;
  if (world.switchover.state === "Done" && world.cluster.intent.topology === "ActiveActive") return request;
  return retryMs(world) === undefined ? null : request;
}

/** When the planner's last switchover, which did not succeed, may be tried again; undefined when nothing is to be waited for. */
export function retryMs(world: World): number | undefined {
  const { switchover } = world;
  if (switchover.state !== "Refused" && switchover.state !== "Failed") return undefined;
  const sinceMs = requestedMs(switchover.id);
  if (sinceMs === undefined) return undefined;
  const atMs = sinceMs + 2 * switchoverDeadlineMs(world.cluster);
  return world.seen.nowMs < atMs ? atMs : undefined;
}
