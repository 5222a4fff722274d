// A hook of the Engine as a request to the leader: made once, answered once, and noted down on the revision it is about before
// anything is done about the answer. So an operator, an agent or a leader may die at any point: what is not noted is asked
// again, in the office that there is then.
import type { HookName, HookRequest } from "../api/agent-wire.ts";
import type { HookNote } from "../api/revision-note.ts";
import { ANNOTATION_CONSENT } from "../build/labels.ts";
import type { Decision } from "./decision.ts";
import { type Request, requestedMs, requestId, settle, type World } from "./facts.ts";
import { noLeader } from "./membership.ts";
import { noteOn, type SeenRecord } from "./revisions.ts";

/** From one request that came to nothing to the next. */
const PAUSE_MS = 60_000;
/** Beyond the action's own timeout: an agent that died meanwhile begins it again. */
const ANSWER_MARGIN_MS = 60_000;

const PURPOSES: Readonly<Record<HookName, string>> = {
  beforeUpdate: "before-update",
  afterUpdate: "after-update",
  canRollBack: "can-roll-back",
};

/** A version of the engine at a revision. */
export interface Side {
  readonly version: string;
  readonly revision: string;
}

/** What is asked: which hook, about the update to which revision, and which way members would go. */
export interface Question {
  readonly action: HookName;
  readonly record: SeenRecord;
  readonly from: Side;
  readonly to: Side;
}

/** The answer that counts, if there is one, and what is done to get another. */
export interface Asked {
  readonly answer: HookNote | undefined;
  /** Absent when the answer is final. */
  readonly decision?: Partial<Decision>;
  /** When a question that failed is asked again. */
  readonly nextTryMs?: number;
}

/** The id of an update: the revision, and how often it failed before. */
export function updateId({ templateHash, note }: Pick<SeenRecord, "templateHash" | "note">): string {
  return `${templateHash}.${note.failures}`;
}

/** Whether a person consented to an update that cannot be taken back. */
export function isConsented({ cluster }: World, record: SeenRecord): boolean {
  return cluster.annotations[ANNOTATION_CONSENT] === updateId(record);
}

/** What became of the hook that the intent asks for. It counts for the office it was asked in only, unless it was answered there. */
export function hookRequest(world: World): Request {
  const request = world.seen.intent?.intent?.hook;
  const reports = world.members.flatMap((m) => m.pod?.report ?? []);
  const settled = settle(request, reports, "hook");
  if (request === null || request === undefined) return settled;
  if (settled.state === "Done" || settled.state === "Refused") return settled;
  const { leader } = world;
  if (leader !== undefined && !isOffice(leader.name, leader.pod?.report?.epoch, request)) return { state: "None" };
  const sinceMs = requestedMs(request.id);
  const deadlineMs = timeoutMs(world, request.action) + ANSWER_MARGIN_MS;
  if (settled.state !== "Open" || sinceMs === undefined || world.seen.nowMs - sinceMs < deadlineMs) return settled;
  return { state: "Failed", id: request.id, message: `no answer within ${deadlineMs / 1000} s` };
}

function isOffice(member: string, epoch: number | undefined, request: HookRequest): boolean {
  return member === request.member && epoch === request.epoch;
}

function timeoutMs({ context }: World, action: HookName): number {
  return (context.engine.actions[action]?.timeoutSeconds ?? 0) * 1000;
}

/** Asks, waits, notes the answer down, and asks again what could not be answered. */
export function ask(world: World, question: Question): Asked {
  const { action, record } = question;
  const noted = record.note.hooks[action];
  const pending = pendingAnswer(world, question);
  if (pending?.state === "Open") return { answer: noted, decision: { change: `${action} runs: ${pending.message}` } };
  if (pending !== undefined && pending.id !== noted?.id) {
    const { id, state: result, message } = pending;
    const consent = world.seen.intent?.intent?.hook?.consent === true;
    const answer: HookNote = { id, result, message: message.slice(0, 512), consent };
    const irreversible = action === "beforeUpdate" && result === "Refused" ? { irreversible: answer.message } : {};
    const reports = noteOn(world, record, { hooks: { ...record.note.hooks, [action]: answer }, ...irreversible });
    return { answer, decision: { change: `${action} answered: ${answer.message}`, reports } };
  }
  if (noted !== undefined && isFinal(world, question, noted)) return { answer: noted };
  const isOverruled = noted?.result === "Refused" && !noted.consent; // by the consent that was given since
  const nextTryMs = noted === undefined || isOverruled ? 0 : (requestedMs(noted.id) ?? 0) + PAUSE_MS;
  if (world.seen.nowMs < nextTryMs) return { answer: noted, decision: {}, nextTryMs };
  return { answer: noted, decision: begun(world, question) };
}

/** What has become of the request in the intent, if it asks just this. */
function pendingAnswer(world: World, { action, record }: Question): Exclude<Request, { state: "None" }> | undefined {
  const asked = world.seen.intent?.intent?.hook;
  if (asked?.action !== action || asked.update !== updateId(record)) return undefined;
  const settled = hookRequest(world);
  return settled.state === "None" ? undefined : settled;
}

/** Whether asking again could not bring another answer. */
function isFinal(world: World, { action, record }: Question, { result, consent }: HookNote): boolean {
  if (result === "Done") return true;
  if (result === "Failed" || action === "afterUpdate") return false;
  return action === "canRollBack" || (!consent && !isConsented(world, record));
}

function begun(world: World, { action, record, from, to }: Question): Partial<Decision> {
  const { leader, seen } = world;
  const epoch = leader?.pod?.report?.epoch;
  if (leader === undefined || epoch === undefined) return { blocked: [noLeader(world)] };
  // The epoch is in the id: within one second there can be two offices, never two requests in one.
  const id = requestId(`${PURPOSES[action]}-${epoch}`, seen.nowMs);
  return {
    change: `${action} begins on ${leader.name}`,
    hook: {
      id,
      action,
      member: leader.name,
      epoch,
      update: updateId(record),
      fromVersion: from.version,
      fromRevision: from.revision,
      toVersion: to.version,
      toRevision: to.revision,
      consent: isConsented(world, record),
    },
  };
}
