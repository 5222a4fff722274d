/**
 * A world's identity: two worlds that can only behave alike give the same text. Times become ages, ids become numbers in
 * order of appearance, resource versions and attempts their rank.
 *
 * Most of a world is the very objects of the world before: each is written once, as a form that stands for its text and the
 * numbers that were left out of it, and only those are looked at again.
 */
import type { World } from "./world.ts";

const AGE_LIMIT_MS = 16_000;
const ID_KEYS = new Set(["actionId", "sendId", "readId", "round"]);
const RANK_KEYS = new Set(["attempt", "attemptId", "resourceVersion", "casResourceVersion", "cas"]);
const LEFT_OUT_KEYS = new Set(["nextId", "nowAtMs", "profile", "identity"]);

type Meaning = "left out" | "time" | "id" | "rank" | "request" | "plain";
const meanings = new Map<string, Meaning>();

/** What the values of a key stand for. Asked some hundred times for each world: what a name says is worked out once. */
function meaningOf(key: string): Meaning {
  let meaning = meanings.get(key);
  if (meaning === undefined) {
    if (LEFT_OUT_KEYS.has(key)) meaning = "left out";
    else if (ID_KEYS.has(key)) meaning = "id";
    else if (RANK_KEYS.has(key)) meaning = "rank";
    else if (key === "requestId") meaning = "request";
    else meaning = key.endsWith("AtMs") || key === "atMs" ? "time" : "plain";
    meanings.set(key, meaning);
  }
  return meaning;
}

/**
 * An object, written. `form` is the same for the same text, and no other; the rest are the numbers that its text and that of
 * all within it have a place for, in their order.
 */
interface Part {
  readonly form: number;
  readonly ids: readonly number[];
  readonly ranks: readonly number[];
  readonly timesMs: readonly number[];
}

const forms = new Map<string, number>();
const parts = new WeakMap<object, Part>();

function formOf(text: string): number {
  let form = forms.get(text);
  if (form === undefined) forms.set(text, (form = forms.size));
  return form;
}

function partOf(value: object, key: string): Part {
  const known = parts.get(value);
  if (known !== undefined) return known;
  const ids: number[] = [];
  const ranks: number[] = [];
  const timesMs: number[] = [];
  let text = "";
  const put = (one: unknown, name: string): void => {
    if (typeof one === "number" || typeof one === "string") {
      const meaning = meaningOf(name);
      if (meaning === "id") ids.push(numberOf(one));
      else if (meaning === "rank") ranks.push(numberOf(one));
      else if (meaning === "time") timesMs.push(numberOf(one));
      else if (meaning === "request") ids.push(numberOf(String(one).slice(String(one).lastIndexOf("/") + 1)));
      text += meaning === "plain" ? `${one},` : "#,";
    } else if (one === null || typeof one !== "object") text += `${String(one)},`;
    else {
      const part = partOf(one, name);
      ids.push(...part.ids);
      ranks.push(...part.ranks);
      timesMs.push(...part.timesMs);
      text += `<${part.form}>`;
    }
  };
  if (Array.isArray(value)) for (const one of value) put(one, key);
  else {
    const fields = value as Readonly<Record<string, unknown>>;
    for (const name in fields) {
      const one = fields[name];
      if ((one === null && key !== "peers") || meaningOf(name) === "left out") continue;
      text += `${name}:`;
      put(one, name);
    }
  }
  const part = { form: formOf(text), ids, ranks, timesMs };
  parts.set(value, part);
  return part;
}

function numberOf(value: number | string): number {
  const number = Number(value);
  if (Number.isNaN(number)) throw new Error(`${value} is no number`);
  return number;
}

/** The text by which worlds are compared. */
export function canonical(world: World): string {
  const written: (string | number | boolean)[] = [];
  const ids = new Map<number, number>();
  const ranks: number[] = [];
  const add = (value: object, nowMs: number): void => {
    const part = partOf(value, "");
    written.push(part.form);
    for (const id of part.ids) {
      let number = ids.get(id);
      if (number === undefined) ids.set(id, (number = ids.size));
      written.push(number);
    }
    for (const timeMs of part.timesMs) written.push(ageAt(timeMs, nowMs));
    ranks.push(...part.ranks);
  };
  for (const node of world.nodes) {
    const { state, clockMs, name, boot, pod, paused, up, record, engine } = node;
    written.push(name, boot, pod, paused, up);
    for (const atMs of [node.fenceAtMs, node.restartAtMs]) {
      written.push(atMs === null ? "-" : ageAt(atMs, clockMs));
    }
    if (state === null) written.push("-");
    else {
      written.push(Math.min(AGE_LIMIT_MS, clockMs - state.nowAtMs));
      add(state, state.nowAtMs);
    }
    if (record === null) written.push("-");
    else add(record, 0);
    add(engine, 0);
  }
  for (const item of [...world.queue, ...world.held]) add(item, 0);
  const { cut, register, ledger } = world;
  written.push(cut.join());
  add(register, 0);
  for (const content of world.past) add(content, 0);
  const newest = ledger.acked.reduce((max, row) => Math.max(max, row.epoch), 0);
  written.push(newest, ledger.acked.length, ledger.epochs.at(-1)?.epoch ?? 0, ledger.served);
  return `${written.join()};${ranked(ranks).join()}`;
}

/** A time as its distance from now; beyond a limit nothing distinguishes times any more. */
function ageAt(timeMs: number, nowMs: number): number {
  return Math.max(-AGE_LIMIT_MS, Math.min(AGE_LIMIT_MS, timeMs - nowMs));
}

/** Each number's place among all that occur. */
function ranked(numbers: readonly number[]): number[] {
  const places = new Map([...new Set(numbers)].toSorted((a, b) => a - b).map((number, place) => [number, place]));
  return numbers.map((number) => places.get(number) ?? 0);
}
