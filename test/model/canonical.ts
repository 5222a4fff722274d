/**
 * A world's identity: two worlds that can only behave alike give the same text. Times become ages, ids become numbers in
 * order of appearance, resource versions and attempts their rank.
 */
import type { World } from "./world.ts";

const AGE_LIMIT_MS = 16_000;
const ID_KEYS = new Set(["actionId", "sendId", "readId", "round"]);
const RANK_KEYS = new Set(["attempt", "attemptId", "resourceVersion", "casResourceVersion", "cas"]);
const LEFT_OUT_KEYS = new Set(["nextId", "nowAtMs", "profile", "identity"]);
const cache = new WeakMap<object, string>();

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

function write(value: unknown, key: string, nowMs: number): string {
  if (typeof value === "number") {
    switch (meaningOf(key)) {
      case "time":
        return `@${Math.max(-AGE_LIMIT_MS, Math.min(AGE_LIMIT_MS, value - nowMs))}`;
      case "id":
        return `#${value}#`;
      case "rank":
        return `~${value}~`;
      default:
        return `${value}`;
    }
  }
  if (typeof value === "string") {
    const meaning = meaningOf(key);
    if (meaning === "rank") return `~${value}~`;
    return meaning === "request" ? `#${value.slice(value.lastIndexOf("/") + 1)}#` : value;
  }
  if (value === null || typeof value !== "object") return String(value);
  if (Array.isArray(value)) {
    let text = "[";
    for (const one of value as readonly unknown[]) text += `${write(one, key, nowMs)},`;
    return `${text}]`;
  }
  const fields = value as Readonly<Record<string, unknown>>;
  const isByName = key === "peers";
  let text = "{";
  for (const name in fields) {
    const one = fields[name];
    if ((one !== null || isByName) && meaningOf(name) !== "left out") text += `${name}:${write(one, name, nowMs)},`;
  }
  return `${text}}`;
}

function cached(value: object, nowMs: number): string {
  const known = cache.get(value);
  if (known !== undefined) return known;
  const text = write(value, "", nowMs);
  cache.set(value, text);
  return text;
}

/** The text by which worlds are compared. */
export function canonical(world: World): string {
  const parts = world.nodes.map((node) => {
    const { state, clockMs, name, boot, pod, paused, up, record, fenceAtMs, restartAtMs } = node;
    const rest = write({ name, boot, pod, paused, up, fenceAtMs, restartAtMs }, "", clockMs);
    const stateAge = state === null ? "-" : String(Math.min(AGE_LIMIT_MS, clockMs - state.nowAtMs));
    const stateText = state === null ? "-" : cached(state, state.nowAtMs);
    return `${rest}${stateAge}${stateText}${record === null ? "-" : cached(record, 0)}${cached(node.engine, 0)}`;
  });
  const items = [...world.queue, ...world.held].map((item) => cached(item, 0));
  const { cut, register, ledger } = world;
  const past = world.past.map((content) => cached(content, 0));
  const newest = ledger.acked.reduce((max, row) => Math.max(max, row.epoch), 0);
  const seen = `${newest}/${ledger.acked.length}/${ledger.epochs.at(-1)?.epoch ?? 0}/${ledger.served}`;
  return renumber([...parts, ...items, cut.join(), cached(register, 0), past.join(), seen].join("\n"));
}

function renumber(text: string): string {
  const versions = new Set<number>();
  for (let from = text.indexOf("~"); from !== -1; ) {
    const to = text.indexOf("~", from + 1);
    versions.add(Number(text.slice(from + 1, to)));
    from = text.indexOf("~", to + 1);
  }
  const ranks = new Map([...versions].toSorted((a, b) => a - b).map((version, rank) => [version, rank]));
  const ids = new Map<string, number>();
  return text.replace(/~(\d+)~|#(\d+)#/g, (_, version: string | undefined, id: string | undefined) => {
    if (version !== undefined) return `~${ranks.get(Number(version)) ?? 0}`;
    const known = ids.get(id ?? "") ?? ids.size;
    ids.set(id ?? "", known);
    return `#${known}`;
  });
}
