// Sequences of specs against the real operator, in the manner of Acto, and what must hold after each of them.
import { sleep, systemClock } from "../../src/clock.ts";
import { apiStatusOf } from "../../src/kube/api-error.ts";
import { mergeFields } from "../sim/fields.ts";
import { admin, clusterRef, logged, registry } from "./operator-world.ts";
import {
  badSettings,
  doubtfulSettings,
  goodSettings,
  type Leaf,
  namedByRule,
  namedByServer,
  type Setting,
} from "./spec-values.ts";
import { childrenOf, differences, replaceSpec, type Rest, restOf } from "./spec-world.ts";

/** What was wrong with one change, in words for whoever mends it. */
export interface Problem {
  readonly field: string;
  readonly value: unknown;
  readonly oracle: "Refusal" | "Consistency" | "Differential" | "Recovery" | "Health" | "Explanation";
  readonly found: string;
}

/** How a field shows in the children: its value itself, something else that differs, or not at all, because it steers the operator. */
export type Shows = "Value" | "Difference" | "Nothing";

/** Fields that do not show their value as it is written, by the beginning of their names, and why. */
export const SHOWS: readonly (readonly [begin: string, shows: Shows, why: string])[] = [
  ["update.agents", "Difference", "lets members read the agent that replaces theirs"],
  ["update.", "Nothing", "says how the operator rolls"],
  ["slo.", "Nothing", "is measured; rules need the Prometheus operator"],
  ["maintenanceWindows", "Nothing", "says when the operator rolls"],
  ["deletionProtection", "Nothing", "is asked when something is deleted"],
  ["volumeRetention.whenDeleted", "Difference", "is a note on the claims"],
  ["volumeRetention.whenScaled", "Nothing", "is asked when a member is taken out"],
  ["disruption.", "Nothing", "is asked in a drain, of one member, or with a dead node"],
  ["stopped", "Difference", "takes the pods away"],
  ["members", "Difference", "shows in how many there are"],
  ["resources.", "Difference", "has the agent's own need added"],
  ["failover.maxLag", "Difference", "is written in bytes"],
  ["failover.profile", "Value", "is in the intent"],
  ["pods.antiAffinity", "Difference", "is another kind of rule in the pod"],
  ["pods.topologyKey", "Value", "is in the pod"],
  ["accounts[].database", "Value", "is in the intent"],
  ["autoscaling.metrics[].name", "Difference", "is the spec's own: an autoscaler's metrics have no names"],
  ["sharding.shards", "Difference", "shows in how many there are"],
  ["sharding.", "Nothing", "says how fast slots move"],
  ["engine.version", "Difference", "is the Engine's first already; what a member was asked for is noted with it"],
];

function showsOf({ name }: Leaf): Shows {
  return SHOWS.find(([begin]) => name.startsWith(begin))?.[1] ?? "Value";
}

/** Which fields were tried in which way; for the table that is printed. */
export class Coverage {
  readonly #tried = new Map<string, Set<string>>();

  note(leaf: Leaf, way: string): void {
    this.#tried.set(leaf.name, (this.#tried.get(leaf.name) ?? new Set()).add(way));
  }

  /** The fields of `leaves` that were never tried in that way. */
  missing(leaves: readonly Leaf[], way: string): string[] {
    return leaves.flatMap(({ name }) => (this.#tried.get(name)?.has(way) === true ? [] : name));
  }

  /** A line for each way: so many fields of so many. */
  lines(leaves: readonly Leaf[]): string[] {
    const ways = [...new Set([...this.#tried.values()].flatMap((set) => [...set]))].toSorted();
    return ways.map((way) => `${way}: ${leaves.length - this.missing(leaves, way).length} of ${leaves.length} fields`);
  }
}

/** One cluster at its beginning, to which everything is compared. */
export class Subject {
  readonly cluster: string;
  readonly base: object;
  readonly #coverage: Coverage;
  readonly #patienceMs: number;
  #first: ReadonlyMap<string, string> = new Map();

  /** @param patienceMs - How much later than the operator's rest all is as before: others may have to take away what is left. */
  constructor(cluster: string, base: object, coverage: Coverage, patienceMs = 0) {
    this.cluster = cluster;
    this.base = base;
    this.#coverage = coverage;
    this.#patienceMs = patienceMs;
  }

  /** Waits until it is well, and remembers what it looks like. */
  async begin(): Promise<void> {
    const { isWell, status } = await restOf(this.cluster);
    if (!isWell) throw new Error(`${this.cluster} does not begin well: ${JSON.stringify(status.conditions)}`);
    this.#first = await childrenOf(this.cluster);
  }

  /** Every value that the schema forbids, as a dry run: refused, by the name of its field. */
  async refuse(leaf: Leaf): Promise<Problem[]> {
    const problems: Problem[] = [];
    for (const setting of badSettings(leaf)) {
      this.#coverage.note(leaf, "forbidden value");
      const said = await this.#refusal(setting);
      if (said === undefined || !namedByServer(setting).test(said))
        problems.push(problemOf(setting, "Refusal", said ?? "it was accepted"));
    }
    return problems;
  }

  /** One good value there and back: children agree, and are as before afterwards. */
  async thereAndBack(setting: Setting): Promise<Problem[]> {
    this.#coverage.note(setting.leaf, "good value, and back");
    const problems = await this.#to(setting);
    return [...problems, ...(await this.#back(setting, "Differential"))];
  }

  /** A value of which nobody knows: refused by the field, or refused by the operator in words, or taken; the base works again afterwards. */
  async doubt(setting: Setting): Promise<Problem[]> {
    this.#coverage.note(setting.leaf, "doubtful value, and back");
    const before = bugs();
    const refused = await this.#refusal(setting);
    if (refused !== undefined)
      return namedByRule(setting).test(refused) ? [] : [problemOf(setting, "Refusal", refused)];
    await replaceSpec(this.cluster, this.#specWith(setting));
    const rest = await settled(this.cluster);
    const problems: Problem[] = [];
    if ("late" in rest) problems.push(problemOf(setting, "Explanation", rest.late));
    else if (!rest.isWell && !isExplained(setting, rest))
      problems.push(problemOf(setting, "Explanation", JSON.stringify(rest.status.conditions)));
    return [...problems, ...newBugs(setting, before), ...(await this.#back(setting, "Recovery"))];
  }

  /**
   * Several changes one after the other, each over the last, and back to the base in the end.
   * @param pauseMs - How long each may take its course before the next one comes.
   */
  async sequence(settings: readonly Setting[], pauseMs = () => 0): Promise<Problem[]> {
    const problems: Problem[] = [];
    let spec = this.base;
    const before = bugs();
    for (const setting of settings) {
      const next = mergeFields(spec, setting.patch) as object;
      const isTaken = await replaceSpec(this.cluster, next).then(
        () => true,
        (error: unknown) => {
          if (apiStatusOf(error)?.code !== 422) throw error;
          return false; // together they contradict each other, which the API server has said
        },
      );
      if (isTaken) spec = next;
      this.#coverage.note(setting.leaf, "in a sequence");
      await sleep(systemClock, pauseMs());
    }
    const [last] = settings.slice(-1);
    if (last === undefined) return problems;
    const rest = await settled(this.cluster);
    if ("late" in rest) problems.push(problemOf(last, "Explanation", rest.late));
    return [...problems, ...newBugs(last, before), ...(await this.#back(last, "Differential"))];
  }

  async #to(setting: Setting): Promise<Problem[]> {
    const { leaf, value } = setting;
    const before = bugs();
    await replaceSpec(this.cluster, this.#specWith(setting));
    const rest = await settled(this.cluster);
    if ("late" in rest) return [problemOf(setting, "Health", rest.late)];
    const problems =
      rest.isWell || isExplained(setting, rest)
        ? []
        : [problemOf(setting, "Health", JSON.stringify(rest.status.conditions))];
    const changed = changesOf(this.#first, await childrenOf(this.cluster));
    const added = changed.filter((line) => line.startsWith("+")).join("\n");
    const found = changed.slice(0, 6).join(" | ") || "no child differs";
    const shows = showsOf(leaf);
    // Shards have the spec of the whole, whatever it says.
    const isShown = changed.some((line) => !line.slice(2).startsWith("ClusterSpec "));
    if (shows === "Nothing" && isShown) problems.push(problemOf(setting, "Consistency", found));
    if (shows === "Difference" && changed.length === 0) problems.push(problemOf(setting, "Consistency", found));
    if (shows === "Value" && !added.includes(String(value))) problems.push(problemOf(setting, "Consistency", found));
    return [...problems, ...newBugs(setting, before)];
  }

  async #back(setting: Setting, oracle: "Differential" | "Recovery"): Promise<Problem[]> {
    const before = bugs();
    await replaceSpec(this.cluster, this.base);
    const rest = await settled(this.cluster);
    if ("late" in rest) return [problemOf(setting, "Recovery", rest.late)];
    if (!rest.isWell) return [problemOf(setting, "Recovery", JSON.stringify(rest.status.conditions))];
    const left = await this.#left();
    const problems = left.length === 0 ? [] : [problemOf(setting, oracle, left.slice(0, 8).join(" | "))];
    return [...problems, ...newBugs(setting, before)];
  }

  async #left(): Promise<readonly string[]> {
    const untilMs = Date.now() + this.#patienceMs;
    for (;;) {
      const left = changesOf(this.#first, await childrenOf(this.cluster));
      if (left.length === 0 || Date.now() >= untilMs) return left;
      await sleep(systemClock, 100);
    }
  }

  #specWith({ patch }: Setting): object {
    return mergeFields(this.base, patch) as object;
  }

  async #refusal(setting: Setting): Promise<string | undefined> {
    try {
      await admin.mergePatch(clusterRef(this.cluster), { spec: setting.patch }, { dryRun: true });
      return undefined;
    } catch (error) {
      const status = apiStatusOf(error);
      if (status === undefined) throw error;
      return status.message;
    }
  }
}

async function settled(cluster: string): Promise<Rest | { readonly late: string }> {
  try {
    return await restOf(cluster);
  } catch (error) {
    return { late: error instanceof Error ? error.message.slice(0, 1500) : String(error) };
  }
}

/** Whether what is said for people names the field, or the last part of it, which is what the child's field is called, too. */
function isExplained({ leaf }: Setting, { said }: Rest): boolean {
  const names = leaf.path.filter((part) => part !== "[]" && part !== "{}");
  return (
    said.includes(names.join(".")) ||
    (names.length > 1 && said.includes(names.at(-1) ?? "?")) ||
    said.includes(`${names[0] ?? "?"} `) ||
    said.includes(`spec.${names[0] ?? "?"}`)
  );
}

/** A volume is created, not applied: it has a hash from the first time on that it is changed, whatever it is changed back to. */
const FIRST_HASH = /^\+ PersistentVolumeClaim [^ ]+: "quorate\.io\/applied-hash": "[0-9a-f]+",?$/;
/** The volume of a member that was taken out is kept, as `volumeRetention` says; those of the first three belong to it all along. */
const RETAINED_VOLUME = /^\+ PersistentVolumeClaim NAME-(?:s\d+-)?(?:[3-9]|\d\d+)-data\b/;
/** What an account was reached by is kept with its data. The operator lists no Secrets, so it could not find it either. */
const RETAINED_SECRET = /^\+ Secret NAME-(?:chosen\b|credentials: "chosen")/;
const ON_PURPOSE = [FIRST_HASH, RETAINED_VOLUME, RETAINED_SECRET];

/** What differs between two times, but for what stays of a change on purpose. */
export function changesOf(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): string[] {
  return differences(before, after).filter((line) => !ON_PURPOSE.some((kept) => kept.test(line)));
}

function problemOf({ leaf, value }: Setting, oracle: Problem["oracle"], found: string): Problem {
  const shown = typeof value === "string" && value.length > 60 ? `${value.slice(0, 20)}… (${value.length})` : value;
  const problem = { field: leaf.name, value: shown, oracle, found: found.slice(0, 1500) };
  console.log(JSON.stringify(problem)); // a long run is looked at while it runs
  return problem;
}

/** Lines of the operator's log that only a mistake of its own writes: an error of a kind that it does not throw on purpose. */
function bugLines(): string[] {
  return logged.filter((line) => /"err":\{"type":"(?!RetryableError|TerminalError|IndeterminateError)/.test(line));
}

function bugs(): number {
  return bugLines().length;
}

function newBugs(setting: Setting, before: number): Problem[] {
  return bugLines()
    .slice(before)
    .map((line) => problemOf(setting, "Health", line));
}

/** The count of passes that ended by a mistake of the operator, as its own metrics have it. */
export async function bugPasses(): Promise<number> {
  const text = await registry.metrics();
  const counts = [...text.matchAll(/^quorate_reconcile_total\{[^}]*result="bug"[^}]*\} ([0-9]+)/gm)];
  return counts.reduce((sum, [, count]) => sum + Number(count), 0);
}

/** All good and doubtful settings of a field, the good ones first. */
export function settingsOf(leaf: Leaf): { readonly good: readonly Setting[]; readonly doubtful: readonly Setting[] } {
  return { good: goodSettings(leaf), doubtful: doubtfulSettings(leaf) };
}

/** Numbers that look drawn and are the same for the same seed (mulberry32). */
export function drawing(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** As many as `count`, drawn without putting back. */
export function draw<T>(from: readonly T[], count: number, random: () => number): T[] {
  const left = [...from];
  const drawn: T[] = [];
  while (drawn.length < count && left.length > 0) drawn.push(...left.splice(Math.floor(random() * left.length), 1));
  return drawn;
}
