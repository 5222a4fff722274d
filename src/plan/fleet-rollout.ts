// Brings topology Stateless to the revision that the user's change asks for. A canary is a Deployment of its own beside the one
// that serves; once it has proven itself the latter changes, adding members before it takes others away. A revision that
// fails is left again: the canary goes, or the stable track returns to the revision that worked last.
import type { RolloutStatus } from "../api/update.ts";
import { pinnedTemplate } from "../build/revision.ts";
import { isSameInput, type PinnedTemplate } from "../build/stateful-set.ts";
import type { World } from "./facts.ts";
import { instancesAt, trackOf, type TrackView } from "./fleet.ts";
import type { InstanceView } from "./observation.ts";
import { isAccepted, pendingBlock, pendingChange } from "./pending.ts";
import type { Block, Step } from "./plan.ts";
import {
  isAborted,
  noteFailed,
  noteGood,
  noteTrying,
  type Target,
  targetOf,
  templateForNew,
  wantedRecord,
} from "./revisions.ts";
import { dueMsOf, failureOfPod, failureOfTrial } from "./rollout-failure.ts";
import { rolloutStatus, shortHash, standingBlock } from "./rollout-report.ts";
import { bakedMs, closedGate, unjudgedSince, unpromoted, unproven } from "./stages.ts";
import { timestamp } from "./timestamp.ts";

const LOOK_AGAIN_MS = 10_000;

/** What the tracks shall run from now on. `template` absent: what the spec renders. */
export interface FleetRollout {
  readonly stable: { readonly template: PinnedTemplate | undefined };
  /** undefined: there shall be no canary. */
  readonly canary: { readonly members: number } | undefined;
  readonly change?: string;
  readonly rollout?: RolloutStatus;
  readonly blocked?: readonly Block[];
  /** Notes on revisions, to be written before anything is done about them. */
  readonly reports?: readonly Step[];
  readonly requeueAfterMs?: number;
  /** A step of the roll is being taken, and nothing holds it back. */
  readonly isMoving?: boolean;
}

const RENDERED = { template: undefined };

/** Decides what both tracks run. */
export function planFleetRollout(world: World): FleetRollout {
  const target = targetOf(world);
  const stable = trackOf(world.seen, "stable");
  if (stable?.revision === undefined) return beginning(world);
  const at = stable.revision.templateHash;
  if (target.direction === "Held") return { ...staying(stable), ...standing(world, target, "Held") };
  if (target.direction === "Back") return returning(world, target, stable);
  if (at === target.templateHash) return arriving(world, target, stable);
  if (isSameInput(world.context, stable.revision) && !isAccepted(world)) return pending(world, stable);
  if (target.isProven) return { ...moving(world, target, stable, "Returning to"), canary: undefined };
  return trying(world, target, stable);
}

/** There is nothing that could be kept: the first members, or somebody deleted them. Those come back as they were. */
function beginning(world: World): FleetRollout {
  const template = templateForNew(world, "stable");
  const reports = template === undefined ? noteTrying(world, false) : [];
  return { stable: { template }, canary: undefined, change: "Creating the members", reports };
}

function staying({ revision }: TrackView): Pick<FleetRollout, "stable" | "canary"> {
  return { stable: { template: revision }, canary: undefined };
}

/** A template that nobody asked for waits, and is shown. */
function pending(world: World, stable: TrackView): FleetRollout {
  const waiting = pendingChange(world);
  const block = waiting === undefined ? undefined : pendingBlock(world, waiting);
  return { ...staying(stable), ...(block === undefined ? {} : { blocked: [block] }) };
}

/** The wanted revision failed, and nobody runs it any more or nothing may be done about that. */
function standing(world: World, target: Target, phase: "RolledBack" | "Held"): Partial<FleetRollout> {
  const block = standingBlock(world);
  return { ...(block === undefined ? {} : { blocked: [block] }), rollout: statusOf(world, target, phase) };
}

/** Back to the revision that worked last: no gate holds that up. */
function returning(world: World, target: Target, stable: TrackView): FleetRollout {
  if (stable.revision?.templateHash === target.templateHash && stable.isSettled) {
    return { ...staying(stable), ...standing(world, target, "RolledBack") };
  }
  return moving(world, target, stable, "Rolling back to");
}

function moving(world: World, target: Target, stable: TrackView, verb: string): FleetRollout {
  const { record } = target;
  return {
    stable: record === undefined ? RENDERED : { template: pinnedTemplate(record, "stable") },
    canary: undefined,
    change: `${verb} ${progressOf(target, stable)}`,
    rollout: statusOf(world, target, target.direction === "Back" ? "RollingBack" : "Progressing"),
    requeueAfterMs: LOOK_AGAIN_MS,
    isMoving: true,
  };
}

/** The stable track is at the revision: for good once it has settled, and until then the revision may still fail. */
function arriving(world: World, target: Target, stable: TrackView): FleetRollout {
  const isTried = wantedRecord(world)?.note.state === "Trying";
  const instances = instancesAt(world.seen, "stable", target.templateHash);
  const failure = isTried ? failureOf(world, stable, instances) : undefined;
  if (failure !== undefined) return givingUp(world, target, stable, failure);
  if (stable.isSettled) {
    return { ...staying(stable), reports: noteGood(world), rollout: statusOf(world, target, "Complete") };
  }
  if (!isTried) return staying(stable); // members come and go: the number follows the load, or a node went
  return {
    ...moving(world, target, stable, "Rolling out"),
    stable: { template: stable.revision },
    canary: keptCanary(world, target),
    ...lookAgain(world, instances),
  };
}

/** A canary stays until the stable track has settled: the room it gives is needed most while that one changes. */
function keptCanary(world: World, target: Target): FleetRollout["canary"] {
  const canary = trackOf(world.seen, "canary");
  return canary?.revision?.templateHash === target.templateHash ? { members: canary.replicas } : undefined;
}

/** An untried revision: through the gates, and first on a canary where the user wants one. */
function trying(world: World, target: Target, stable: TrackView): FleetRollout {
  const canary = trackOf(world.seen, "canary");
  const isTried = canary?.revision?.templateHash === target.templateHash;
  const instances = isTried ? instancesAt(world.seen, "canary", target.templateHash) : [];
  const failure = isAborted(world)
    ? "it was given up by hand"
    : isTried
      ? failureOf(world, canary, instances)
      : undefined;
  if (failure !== undefined) return givingUp(world, target, stable, failure);
  const isRolling = world.cluster.intent.update.strategy === "Rolling";
  const next = isRolling
    ? rolling(world, target, stable)
    : isTried
      ? { ...judging(world, target, stable, canary), ...lookAgain(world, instances) }
      : starting(world, target, stable);
  return { ...next, reports: noteTrying(world, next.isMoving === true) };
}

/** Without a canary the gates stand before the first member. */
function rolling(world: World, target: Target, stable: TrackView): FleetRollout {
  const closed = closedGate(world);
  if (closed !== undefined) return held(world, target, stable, { blocked: closed });
  return moving(world, target, stable, "Rolling out");
}

function starting(world: World, target: Target, stable: TrackView): FleetRollout {
  const closed = closedGate(world);
  if (closed !== undefined) return held(world, target, stable, { blocked: closed });
  const { members } = world.cluster.intent.update.canary;
  return {
    ...staying(stable),
    canary: { members },
    change: `Trying ${shortHash(target)} on ${members} more`,
    rollout: statusOf(world, target, "Progressing", { step: stepOf(members, stable) }),
    requeueAfterMs: LOOK_AGAIN_MS,
    isMoving: true,
  };
}

/** The canary runs: is it ready, has it baked, did it pass, may it go on? */
function judging(world: World, target: Target, stable: TrackView, canary: TrackView): FleetRollout {
  const { members } = world.cluster.intent.update.canary;
  const at = { canary: { members } };
  if (!canary.isSettled || canary.replicas !== members) {
    const change = `Trying ${shortHash(target)}: ${canary.ready}/${members} ready`;
    return { ...held(world, target, stable, {}), ...at, change, isMoving: true };
  }
  const pods = instancesAt(world.seen, "canary", target.templateHash);
  const untilMs = bakedMs(world, pods);
  if (world.seen.nowMs < untilMs) {
    const change = `Trying ${shortHash(target)}, baking until ${timestamp(untilMs)}`;
    return { ...held(world, target, stable, { phase: "Baking" }), ...at, change };
  }
  const blocked = unproven(world) ?? closedGate(world) ?? unpromoted(world, "all");
  if (blocked !== undefined) return { ...held(world, target, stable, { blocked }), ...at };
  return { ...moving(world, target, stable, "Rolling out"), ...at };
}

interface Hold {
  readonly blocked?: Block;
  readonly phase?: RolloutStatus["phase"];
}

function held(world: World, target: Target, stable: TrackView, { blocked, phase }: Hold): FleetRollout {
  const { members } = world.cluster.intent.update.canary;
  const isCanary = world.cluster.intent.update.strategy === "Canary";
  const step = isCanary ? { step: stepOf(members, stable) } : {};
  return {
    ...staying(stable),
    ...(blocked === undefined ? {} : { blocked: [blocked] }),
    change: `Rolling out ${shortHash(target)}`,
    rollout: statusOf(world, target, phase ?? (blocked === undefined ? "Progressing" : "Blocked"), step),
    requeueAfterMs: LOOK_AGAIN_MS,
  };
}

/** The revision has failed: that is noted down before anything is done about it. */
function givingUp(world: World, target: Target, stable: TrackView, why: string): FleetRollout {
  const canary = trackOf(world.seen, "canary");
  return {
    ...staying(stable),
    canary: canary === undefined ? undefined : { members: canary.replicas },
    change: `Giving up ${shortHash(target)}: ${why}`,
    reports: noteFailed(world, why),
    requeueAfterMs: 1_000,
    isMoving: true,
  };
}

/** Why the revision failed on a track that runs it; undefined while it has not. */
function failureOf(world: World, track: TrackView, pods: readonly InstanceView[]): string | undefined {
  if (isAborted(world)) return "it was given up by hand";
  const ofPod = pods.map((pod) => failureOfPod(world, pod.name, pod)).find((reason) => reason !== undefined);
  if (ofPod !== undefined) return ofPod;
  if (track.stuck !== "") return track.stuck.replace(/\.$/, "");
  return failureOfTrial(world) ?? (track.track === "canary" ? unjudgedFor(world, track, pods) : undefined);
}

function unjudgedFor(world: World, canary: TrackView, pods: readonly InstanceView[]): string | undefined {
  return canary.isSettled ? unjudgedSince(world, bakedMs(world, pods)) : undefined;
}

/** Looks again when time alone may show a failure. */
function lookAgain(world: World, pods: readonly InstanceView[]): Pick<FleetRollout, "requeueAfterMs"> {
  const due = pods.flatMap((pod) => dueMsOf(world, pod) ?? []).map((ms) => Math.max(1, ms - world.seen.nowMs));
  return { requeueAfterMs: Math.min(LOOK_AGAIN_MS, ...due) };
}

function progressOf(target: Target, { revision, updated, replicas }: TrackView): string {
  const done = revision?.templateHash === target.templateHash ? updated : 0;
  return `${shortHash(target)}: ${done}/${replicas} members done`;
}

/** Of how many members the canary's share is, such as 1/4: its own and the stable ones. */
function stepOf(members: number, { replicas }: TrackView): string {
  return `${members}/${members + replicas}`;
}

function statusOf(
  world: World,
  target: Target,
  phase: RolloutStatus["phase"],
  step: Pick<RolloutStatus, "step"> = {},
): RolloutStatus {
  const { seen } = world;
  const updated = [trackOf(seen, "stable"), trackOf(seen, "canary")].filter(
    (one) => one?.revision?.templateHash === target.templateHash,
  );
  return rolloutStatus(world, target, { phase, updated: updated.flatMap((one) => one?.name ?? []), ...step });
}
