// What is left of an error budget, how fast it burns, and what that means for changes.
import { badMsWithin, type History } from "./history.ts";
import {
  BURN_RULES,
  BURN_UNITS,
  formatDuration,
  type Objective,
  type ObjectiveName,
  UNITS_PER_WINDOW,
} from "./objectives.ts";

/** How fast a budget burns over one window; 1 spends it exactly by the end of the objective's window. */
export interface Burn {
  readonly units: number;
  /** The window's length, for example 1h. */
  readonly window: string;
  readonly rate: number;
}

/** One objective as it stands. */
export interface BudgetState {
  readonly name: ObjectiveName;
  /** Share of the budget that is left, at most 1; 0 and below: it is spent. */
  readonly remaining: number;
  readonly burns: readonly Burn[];
  /** The most urgent rule that holds. */
  readonly alert: "None" | "Ticket" | "Page";
}

/** What another source says of the same objective, as far as it says anything. */
export interface OtherSource {
  /** Share of bad time by units of the window. */
  readonly badShares: ReadonlyMap<number, number>;
  /** Why it does not say all that was asked, as a clause; undefined when it does. */
  readonly missing?: string;
  /** What people should know of what it says, as a clause. Nothing follows from it. */
  readonly remark?: string;
}

/**
 * The state of an objective.
 *
 * The denominator is the whole window, seen or not: time that nobody measured is not known to be bad, and a short
 * look at a bad minute must not page. Of two sources the worse one counts.
 */
export function judgeBudget(
  objective: Pick<Objective, "name" | "allowed">,
  history: History,
  { nowMs, windowMs, other }: { readonly nowMs: number; readonly windowMs: number; readonly other?: OtherSource },
): BudgetState {
  const badShare = (units: number) => {
    const spanMs = (units * windowMs) / UNITS_PER_WINDOW;
    const own = Math.min(1, badMsWithin(history, nowMs, units, windowMs) / spanMs);
    return Math.max(own, other?.badShares.get(units) ?? 0);
  };
  const burns = BURN_UNITS.map((units) => ({
    units,
    window: formatDuration((units * windowMs) / UNITS_PER_WINDOW),
    rate: badShare(units) / objective.allowed,
  }));
  const rateOver = (units: number) => burns.find((burn) => burn.units === units)?.rate ?? 0;
  const holds = BURN_RULES.filter(
    ({ factor, longUnits, shortUnits }) => rateOver(longUnits) > factor && rateOver(shortUnits) > factor,
  );
  return {
    name: objective.name,
    remaining: 1 - badShare(UNITS_PER_WINDOW) / objective.allowed,
    burns,
    alert: holds[0]?.severity ?? "None", // rules are in the order of urgency
  };
}

const STEPS_PERCENT = [100, 90, 75, 50, 25, 10, 5] as const;

/** How much is left in coarse steps, so that status changes a few times over the life of a budget. */
export function coarseRemaining(remaining: number): string {
  if (remaining <= 0) return "0%";
  const percent = remaining * 100;
  const step = STEPS_PERCENT.find((one) => percent >= one);
  if (step === 100) return "100%";
  return step === undefined ? "<5%" : `>=${step}%`;
}
