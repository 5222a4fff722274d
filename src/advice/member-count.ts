// How many members keep what was promised: a majority of them must be there for every write.
import type { ClusterIntent } from "../api/cluster-spec.ts";
import type { Advice } from "./advice.ts";
import { type Facts, largest } from "./facts.ts";
import { advise, keep, unknown } from "./verdict.ts";

/** Sizes that are worth having: an even number survives no more than one member less. */
const SIZES = [1, 3, 5] as const;
/** Nodes are drained and engines updated also where nothing ever failed: 43 minutes in 30 days. */
const LEAST_DOWN_SHARE = 0.001;
const DAY_SECONDS = 86_400;

/** The fewest members whose majority is there for as long as the objective asks, each down as often as the worst one was. */
export function adviseMembers({ intent, seen }: Facts): Advice {
  const { members, slo } = intent;
  const objective = slo?.dataPlane.availabilityPercent;
  if (objective === undefined) return unknown("Members", "there is no objective: state spec.slo");
  if (seen.overSeconds < DAY_SECONDS)
    return unknown("Members", "less than a day was seen: too little to judge members by");
  const down = largest(seen.members.map(({ upShare }) => (upShare === undefined ? undefined : 1 - upShare)));
  if (down === undefined) return unknown("Members", "no member says when it was up");
  const share = Math.max(LEAST_DOWN_SHARE, down);
  const wanted = Number(objective) / 100;
  const reached = (count: number) => writableShare(count, share, intent.durability);
  const found = `a member is down ${percent(share)} of the time, so writes are possible ${percent(reached(members))}, of ${percent(wanted)} promised${worse(seen.unavailableShare, wanted)}`;
  const fitting = SIZES.find((count) => reached(count) >= wanted);
  if (fitting === undefined)
    return advise("Members", "Change", `${found}; no number of members reaches that: find out why members go down`, []);
  if (reached(members) < wanted) return advise("Members", "Raise", found, [["spec.members", fitting]]);
  // One member alone keeps no second copy of what it acknowledged, whatever the objective says.
  const fewest = Math.max(3, fitting);
  return fewest < members ? advise("Members", "Lower", found, [["spec.members", fewest]]) : keep("Members", found);
}

function worse(unavailable: number | undefined, wanted: number): string {
  if (unavailable === undefined || 1 - unavailable >= wanted) return "";
  return `; it was worse, ${percent(1 - unavailable)}, for other reasons than members that were down`;
}

/** Share of the time in which enough of `count` members are there, each down `down` of the time, whatever the others do. */
export function writableShare(
  count: number,
  down: number,
  { mode, whenDegraded }: Pick<ClusterIntent["durability"], "mode" | "whenDegraded">,
): number {
  const needed = neededOf(count, mode === "All" && whenDegraded === "Async" ? "Quorum" : mode);
  let share = 0;
  for (let up = needed; up <= count; up++) share += choose(count, up) * (1 - down) ** up * down ** (count - up);
  return share;
}

function neededOf(count: number, mode: ClusterIntent["durability"]["mode"]): number {
  if (mode === "All") return count;
  // A new leader needs a majority that sealed itself, and so do its writes; without acknowledgements one is enough for those.
  return mode === "Async" ? 1 : Math.floor(count / 2) + 1;
}

function choose(n: number, k: number): number {
  let ways = 1;
  for (let i = 1; i <= k; i++) ways = (ways * (n - k + i)) / i;
  return ways;
}

/** Enough digits to tell 99.9 % from 99.99 %. */
function percent(share: number): string {
  return `${Number((share * 100).toFixed(share > 0.99 ? 4 : 2))} %`;
}
