// Which change goes first, as data: planCluster asks in this order, docs/change.md shows it. A change is never broken off in
// the middle of a step; what is further up goes first as soon as it has something to do, and what was under way goes on
// from what it finds when its turn comes again.

/** One kind of change. */
export interface Interlock {
  readonly change: string;
  /** Agents act on their own, also while no operator runs. The operator's planner is asked where it says so. */
  readonly by: "agents" | "operator";
  /** Alone: while it is busy, those further down wait. Beside: it disturbs nobody and nobody disturbs it. */
  readonly runs: "Alone" | "Beside";
  /** Why it stands where it stands. */
  readonly why: string;
}

/** All changes, the most urgent first. */
export const INTERLOCKS = [
  {
    change: "Fence",
    by: "agents",
    runs: "Beside",
    why: "Whoever may not write is stopped, whatever else goes on; a member cannot be asked to wait with that.",
  },
  {
    change: "Failover",
    by: "agents",
    runs: "Beside",
    why: "Members elect by themselves. Every change that needs a leader waits for one, and goes on from who leads then.",
  },
  {
    change: "UpdateHook",
    by: "agents",
    runs: "Beside",
    why: "The leader runs what the Engine wants done around an update. A leader that goes ends it, and the next one begins it again.",
  },
  {
    change: "Task",
    by: "agents",
    runs: "Beside",
    why: "A backup, a verification or a repair by a member that serves. What takes that member away ends it, and another one begins it again.",
  },
  {
    change: "Rollback",
    by: "operator",
    runs: "Alone",
    why: "A revision that does not work costs redundancy. It goes first while it can take a step; while it cannot, it holds up nothing.",
  },
  { change: "Operation", by: "operator", runs: "Alone", why: "A person asked for it, and it has a deadline." },
  {
    change: "Request",
    by: "operator",
    runs: "Alone",
    why: "Agents are at a switchover or a restart: nothing else may take a member away meanwhile.",
  },
  { change: "Stop", by: "operator", runs: "Alone", why: "Every other change needs members that run." },
  {
    change: "Drain",
    by: "operator",
    runs: "Alone",
    why: "Somebody waits for the node; moving the leader takes a second.",
  },
  {
    change: "Removal",
    by: "operator",
    runs: "Alone",
    why: "Agents have forgotten the member already: it must not stay half there.",
  },
  {
    change: "ScaleIn",
    by: "operator",
    runs: "Alone",
    why: "A dead member can leave, also while a roll is stuck on it.",
  },
  {
    change: "Rollout",
    by: "operator",
    runs: "Alone",
    why: "Also a resize and everything else that replaces pods. One that is held back by hand or by a gate lets others pass.",
  },
  {
    change: "ScaleOut",
    by: "operator",
    runs: "Alone",
    why: "A new member copies from others and comes at the revision that they have then.",
  },
  {
    change: "Agents",
    by: "operator",
    runs: "Alone",
    why: "Nobody waits for a newer agent; what replaces pods takes it along.",
  },
  {
    change: "Repair",
    by: "operator",
    runs: "Beside",
    why: "Services, accounts, budgets, certificates and volumes are kept as they are to be, in every pass.",
  },
  { change: "VolumeGrowth", by: "operator", runs: "Beside", why: "Claims grow while members run." },
  {
    change: "Reload",
    by: "operator",
    runs: "Beside",
    why: "Parameters that need no restart reach members with the intent.",
  },
] as const satisfies readonly Interlock[];

/** A change of which there is one at a time, with a planner of its own. */
export type ExclusiveChange = Extract<(typeof INTERLOCKS)[number], { readonly runs: "Alone" }>["change"];

/** The exclusive changes in their order. */
export const ORDER: readonly ExclusiveChange[] = INTERLOCKS.flatMap((one) => (one.runs === "Alone" ? one.change : []));
