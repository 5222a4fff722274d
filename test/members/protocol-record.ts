/**
 * What real agents did, step by step, held against the protocol's model: every step is one that the model takes, and everything around the
 * protocol keeps what the model takes for granted of it (see `Effect`).
 */
import { readFile } from "node:fs/promises";
import { isDeepStrictEqual } from "node:util";
import { deserialize } from "node:v8";
import type { Effect, EventBody } from "../../src/agent/protocol/exchange.ts";
import { transition } from "../../src/agent/protocol/transition.ts";
import type { Step } from "./recording-transition.ts";

/** The steps of one member, in order, over all its processes. */
export interface MemberRecord {
  readonly member: string;
  readonly steps: readonly Step[];
}

/** Reads what a member's agents have written. */
export async function readRecord(member: string, file: string): Promise<MemberRecord> {
  const lines = (await readFile(file, "utf8")).split("\n").filter((line) => line !== "");
  return { member, steps: lines.map((line) => deserialize(Buffer.from(line, "base64")) as Step) };
}

/** All ways in which the records are not what the model would have done, or has taken for granted. */
export function problemsOf(records: readonly MemberRecord[]): string[] {
  return [
    ...records.flatMap(({ member, steps }) =>
      [...Map.groupBy(steps, ({ boot }) => boot).values()].flatMap((boot) =>
        [...replayed(boot), ...answered(boot)].map((problem) => `${member}: ${problem}`),
      ),
    ),
    ...messages(records),
    ...register(records),
    ...leaders(records),
  ];
}

/** The model's own transition comes from each state to the same next one, with the same effects; nothing changes a state in between. */
function replayed(steps: readonly Step[]): string[] {
  return steps.flatMap(({ before, event, made }, at) => {
    const last = steps[at - 1];
    const again = transition(before, event);
    return [
      ...(last !== undefined && !isDeepStrictEqual(last.made.state, before) ? [`step ${at} begins elsewhere`] : []),
      ...(last !== undefined && event.nowMs < last.event.nowMs ? [`step ${at}: time goes back`] : []),
      ...(isDeepStrictEqual(again, made) ? [] : [`step ${at}: the model does something else after ${event.type}`]),
    ];
  });
}

const ACTIONS: readonly Effect["type"][] = [
  "StartEngine",
  "Follow",
  "Seal",
  "Promote",
  "SetSyncSet",
  "Clone",
  "Rejoin",
  "Initialize",
  "PrepareHandover",
];

/** What an effect is answered by, and what an event answers, as one word; undefined for what asks or answers nothing. */
function askedBy(effect: Effect): string | undefined {
  if ("actionId" in effect) return `action ${effect.actionId}`;
  if (effect.type === "ReadLease") return `read ${effect.readId}`;
  if (effect.type === "WriteLease") return `write ${effect.attemptId}`;
  return effect.type === "SendMessage" ? `send ${effect.sendId}` : undefined;
}

function answeredBy(event: EventBody): string | undefined {
  switch (event.type) {
    case "ActionDone":
    case "ActionFailed":
      return `action ${event.actionId}`;
    case "LeaseObserved":
    case "LeaseGone":
    case "LeaseReadFailed":
      return event.readId === null ? undefined : `read ${event.readId}`;
    case "LeaseWriteResult":
      return `write ${event.attemptId}`;
    case "MessageReply":
    case "MessageFailed":
      return `send ${event.sendId}`;
    default:
      return undefined;
  }
}

/** Every answer answers something that was asked, once; one engine action at a time, but for what may take the place of another. */
function answered(steps: readonly Step[]): string[] {
  const open = new Map<string, Effect>();
  const problems: string[] = [];
  for (const [at, { event, made }] of steps.entries()) {
    const answer = answeredBy(event);
    if (answer !== undefined && !open.delete(answer)) problems.push(`step ${at}: nobody asked for ${answer}`);
    if (event.type === "EngineGone")
      for (const [key, { type }] of open) if (ACTIONS.includes(type)) open.set(key, ENDING);
    for (const effect of made.effects) {
      if (effect.type === "StopEngine")
        for (const [key, one] of open) if (ACTIONS.includes(one.type)) open.set(key, ENDING);
      const key = askedBy(effect);
      if (key === undefined) continue;
      const other = [...open.values()].find(({ type }) => ACTIONS.includes(type));
      if (ACTIONS.includes(effect.type) && other !== undefined && other.type !== "SetSyncSet")
        problems.push(`step ${at}: ${effect.type} is asked for during ${other.type}`);
      open.set(key, effect);
    }
  }
  return problems;
}

/** Stands for an action that was told to end: its answer may still come. */
const ENDING: Effect = { type: "DisarmFence" };

/** Nobody receives what was not sent, or more often; the same of answers. */
function messages(records: readonly MemberRecord[]): string[] {
  const sent = new Map<string, number>();
  const note = (key: string): void => void sent.set(key, (sent.get(key) ?? 0) + 1);
  const problems: string[] = [];
  for (const { member, steps } of records) {
    const asker = new Map<string, string>();
    for (const { boot, event, made } of steps) {
      if (event.type === "MessageReceived") asker.set(`${boot} ${event.requestId}`, event.from);
      for (const effect of made.effects) {
        if (effect.type === "SendMessage") note(`${member} to ${effect.to}: ${canonical(effect.message)}`);
        if (effect.type === "Reply")
          note(`${member} to ${asker.get(`${boot} ${effect.requestId}`) ?? "nobody"}: ${canonical(effect.reply)}`);
      }
    }
  }
  const take = (key: string): void => {
    const left = sent.get(key) ?? 0;
    if (left === 0) problems.push(`received and not sent: ${key}`);
    sent.set(key, left - 1);
  };
  for (const { member, steps } of records) {
    for (const { event } of steps) {
      if (event.type === "MessageReceived") take(`${event.from} to ${member}: ${canonical(event.message)}`);
      if (event.type === "MessageReply") take(`${event.from} to ${member}: ${canonical(event.reply)}`);
    }
  }
  return problems;
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    typeof part === "object" && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}

/** Of writes that go on from one version of the Lease at most one succeeds, and epochs never go back. */
function register(records: readonly MemberRecord[]): string[] {
  const taken = new Map<string, string>();
  const versions: { readonly version: bigint; readonly epoch: number }[] = [];
  const problems: string[] = [];
  for (const { member, steps } of records) {
    const asked = new Map<string, Extract<Effect, { type: "WriteLease" }>>();
    for (const { boot, event, made } of steps) {
      for (const effect of made.effects)
        if (effect.type === "WriteLease") asked.set(`${boot} ${effect.attemptId}`, effect);
      if (event.type !== "LeaseWriteResult" || event.result !== "ok") continue;
      const effect = asked.get(`${boot} ${event.attemptId}`);
      if (effect === undefined) continue;
      const other = taken.get(effect.casResourceVersion);
      if (other !== undefined) problems.push(`${member} and ${other} both wrote after ${effect.casResourceVersion}`);
      taken.set(effect.casResourceVersion, member);
      versions.push({ version: BigInt(event.resourceVersion ?? 0), epoch: effect.content.epoch });
    }
  }
  const inOrder = versions.toSorted((a, b) => (a.version < b.version ? -1 : 1));
  for (const [at, { epoch }] of inOrder.entries()) {
    const before = inOrder[at - 1]?.epoch ?? 0;
    if (epoch < before) problems.push(`the Lease goes from epoch ${before} back to ${epoch}`);
  }
  return problems;
}

/** No two members make an engine writable for one epoch. */
function leaders(records: readonly MemberRecord[]): string[] {
  const promoted = records.flatMap(({ member, steps }) =>
    steps.flatMap(({ made }) =>
      made.effects.flatMap((effect) => (effect.type === "Promote" ? { epoch: effect.epoch, member } : [])),
    ),
  );
  return [...Map.groupBy(promoted, ({ epoch }) => epoch)].flatMap(([epoch, those]) => {
    const members = new Set(those.map(({ member }) => member));
    return members.size > 1 ? [`${[...members].join(" and ")} lead epoch ${epoch}`] : [];
  });
}
