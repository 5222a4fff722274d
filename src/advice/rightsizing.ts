// Requests and limits against what was used. The busiest member decides: any of them may have to lead.
import { formatBytes, formatCpu, parseQuantity } from "../build/quantity.ts";
import type { Advice, Setting } from "./advice.ts";
import { type Facts, largest } from "./facts.ts";
import { advise, keep, unknown } from "./verdict.ts";

/** M10: a processor that is busier than that has no room for a neighbour's failover. */
const CPU_SHARE = 0.7;
const MEMORY_ROOM = 1.25;
const MEMORY_FULL = 0.9;
const VOLUME_FULL = 0.8;
const VOLUME_SHARE = 0.6;
/** What is asked for may be so much more than needed before it is worth a roll. */
const WORTH_A_ROLL = 0.6;
const LEAST_CORES = 0.05;
const CORES_STEP = 0.05;
const MEBIBYTE = 2 ** 20;
const MEMORY_STEP_BYTES = 64 * MEBIBYTE;
const GIBIBYTE = 2 ** 30;
/** Before a day has been seen nobody knows what its busiest hour takes. */
const DAY_SECONDS = 86_400;

/** What a member asks for, and the agent's share beside it. */
export interface Requested {
  readonly cpuCores: number;
  readonly cpuLimitCores: number | undefined;
  readonly memoryBytes: number;
  readonly memoryLimitBytes: number | undefined;
  readonly agentMemoryBytes: number;
  readonly volumeBytes: number;
}

/** What each member is given: by the ClusterSpec, or by the Engine where that says nothing. */
export function requestedOf(facts: Pick<Facts, "intent" | "engine" | "agentMemoryBytes">): Requested {
  const { intent, engine, agentMemoryBytes } = facts;
  const { requests, limits } = intent.resources ?? { requests: {}, limits: {} };
  const quantity = (text: string | undefined) => (text === undefined ? undefined : parseQuantity(text));
  const memory = requests.memory ?? limits.memory ?? engine.resources.requests.memory;
  return {
    cpuCores: parseQuantity(requests.cpu ?? engine.resources.requests.cpu),
    cpuLimitCores: quantity(limits.cpu),
    memoryBytes: parseQuantity(memory),
    memoryLimitBytes: quantity(limits.memory),
    agentMemoryBytes,
    volumeBytes: parseQuantity(intent.storage.data.size),
  };
}

const stepped = (value: number, step: number) => Math.ceil(value / step - 1e-9) * step;
const mebibytes = (bytes: number) => `${Math.round(bytes / MEBIBYTE)} Mi`;

/** A request at which the busiest member uses 70 % of it, and a limit, where there is one, that leaves as much. */
export function adviseCpu(facts: Facts): Advice {
  const { cpuCores, cpuLimitCores } = requestedOf(facts);
  const used = largest(facts.seen.members.map(({ cpuCoresP95 }) => cpuCoresP95));
  if (used === undefined) return unknown("Cpu", "no member says what it uses");
  const fitting = Math.max(LEAST_CORES, stepped(used / CPU_SHARE, CORES_STEP));
  const found = `the busiest member uses ${formatCpu(used)} (P95) of ${formatCpu(cpuCores)} requested`;
  const limited = cpuLimitCores !== undefined && fitting > cpuLimitCores;
  const settings: Setting[] = [["spec.resources.requests.cpu", formatCpu(fitting)]];
  if (limited) settings.push(["spec.resources.limits.cpu", formatCpu(stepped(fitting / CPU_SHARE, CORES_STEP))]);
  if (limited || used > cpuCores) {
    const why = limited ? `, and its limit of ${formatCpu(cpuLimitCores)} makes it wait` : "";
    return advise("Cpu", "Raise", `${found}${why}`, settings);
  }
  if (fitting > WORTH_A_ROLL * cpuCores) return keep("Cpu", found);
  return lowered("Cpu", found, settings, facts);
}

/** A request that holds the usual, and a limit that holds the most that was ever seen, each with a quarter of room. */
export function adviseMemory(facts: Facts): Advice {
  const { memoryBytes, memoryLimitBytes, agentMemoryBytes } = requestedOf(facts);
  const usual = largest(facts.seen.members.map(({ memoryBytesP95 }) => memoryBytesP95));
  const most = largest(facts.seen.members.map(({ memoryBytesMax }) => memoryBytesMax));
  if (usual === undefined || most === undefined) return unknown("Memory", "no member says what it uses");
  // Members' figures hold the agent; what is asked for does not.
  const withRoom = (bytes: number) =>
    Math.max(MEMORY_STEP_BYTES, stepped(bytes * MEMORY_ROOM - agentMemoryBytes, MEMORY_STEP_BYTES));
  const request = withRoom(usual);
  const limit = Math.max(request, withRoom(most));
  const asked = `${mebibytes(memoryBytes + agentMemoryBytes)} requested`;
  const found = `the largest member uses ${mebibytes(usual)} (P95), ${mebibytes(most)} at most, of ${asked}`;
  const settings: Setting[] = [["spec.resources.requests.memory", formatBytes(request)]];
  if (memoryLimitBytes !== undefined) settings.push(["spec.resources.limits.memory", formatBytes(limit)]);
  const nearLimit = memoryLimitBytes !== undefined && most > MEMORY_FULL * (memoryLimitBytes + agentMemoryBytes);
  if (nearLimit) return advise("Memory", "Raise", `${found}, which is near its limit`, settings);
  if (usual > memoryBytes + agentMemoryBytes) return advise("Memory", "Raise", found, settings);
  if (request > WORTH_A_ROLL * memoryBytes) return keep("Memory", found);
  return lowered("Memory", found, settings, facts);
}

function lowered(subject: "Cpu" | "Memory", found: string, settings: readonly Setting[], { seen }: Facts): Advice {
  if (seen.overSeconds >= DAY_SECONDS) return advise(subject, "Lower", found, settings);
  return unknown(subject, `${found}, but less than a day was seen: too little to ask for less`);
}

/** Volumes grow and never shrink: a full one is told, a roomy one is left alone. */
export function adviseVolume({ seen }: Facts): Advice {
  const shares = seen.members.flatMap(({ volumeUsedBytes: used, volumeSizeBytes: size }) =>
    used === undefined || size === undefined || size === 0 ? [] : [{ used, share: used / size }],
  );
  const [fullest] = shares.toSorted((a, b) => b.share - a.share);
  if (fullest === undefined) return unknown("Volume", "no member has a volume that it can measure");
  const found = `the fullest volume is ${Math.round(fullest.share * 100)} % full`;
  if (fullest.share <= VOLUME_FULL) return keep("Volume", found);
  const size = formatBytes(stepped(fullest.used / VOLUME_SHARE, GIBIBYTE));
  return advise("Volume", "Raise", found, [["spec.storage.data.size", size]]);
}
