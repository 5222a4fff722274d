/**
 * A world's identity: two worlds that can only behave alike give the same text. Times become ages, ids become numbers in
 * order of appearance, resource versions and attempts their rank.
 */
import type { World } from "./world.ts";

const AGE_LIMIT_MS = 16_000;
const ID_KEYS = new Set(["actionId", "sendId", "readId", "round"]);
const RANK_KEYS = new Set(["attempt", "attemptId", "resourceVersion", "casResourceVersion", "cas"]);
const cache = new WeakMap<object, string>();

function write(value: unknown, key: string, nowMs: number): string {
  if (typeof value === "number") {
    if (key.endsWith("AtMs") || key === "atMs")
      return `@${Math.max(-AGE_LIMIT_MS, Math.min(AGE_LIMIT_MS, value - nowMs))}`;
    if (ID_KEYS.has(key)) return `#${value}#`;
    return RANK_KEYS.has(key) ? `~${value}~` : String(value);
  }
  if (typeof value === "string") {
    if (RANK_KEYS.has(key)) return `~${value}~`;
    return key === "requestId" ? `#${value.slice(value.lastIndexOf("/") + 1)}#` : value;
  }
  if (value === null || typeof value !== "object") return String(value);
  if (Array.isArray(value)) return `[${value.map((one) => write(one, key, nowMs)).join()}]`;
  const parts: string[] = [];
  for (const [name, one] of Object.entries(value)) {
    if (name === "nextId" || name === "nowAtMs" || name === "profile" || name === "identity") continue;
    if (key === "peers" || one !== null) parts.push(`${name}:${write(one, name, nowMs)}`);
  }
  return `{${parts.join()}}`;
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
  const versions = [...new Set([...text.matchAll(/~(\d+)~/g)].map((match) => Number(match[1])))].toSorted(
    (a, b) => a - b,
  );
  const ranks = new Map(versions.map((version, rank) => [version, rank]));
  const ids = new Map<string, number>();
  return text.replace(/~(\d+)~|#(\d+)#/g, (_, version: string | undefined, id: string | undefined) => {
    if (version !== undefined) return `~${ranks.get(Number(version)) ?? 0}`;
    const known = ids.get(id ?? "") ?? ids.size;
    ids.set(id ?? "", known);
    return `#${known}`;
  });
}
