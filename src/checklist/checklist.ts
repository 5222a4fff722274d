/** Judges facts by a list of checks. Pure. */
import type { Facts } from "./facts.ts";

/** What a check came to. `Unknown`: what it looks at could not be read, or does not exist yet. */
export interface Verdict {
  readonly result: "Pass" | "Warn" | "Fail" | "Unknown";
  /** What was found. */
  readonly found: string;
  /** What to do about it; for Warn and Fail. */
  readonly fix?: string;
}

/** One line of a checklist. */
export interface Check {
  /** In kebab-case; never changes its meaning, so that people can refer to it. */
  readonly id: string;
  readonly title: string;
  readonly judge: (facts: Facts) => Verdict;
}

/** A check and its verdict. */
export interface Finding extends Verdict {
  readonly id: string;
  readonly title: string;
}

/** Runs all checks. */
export function judge(checks: readonly Check[], facts: Facts): readonly Finding[] {
  return checks.map(({ id, title, judge: ask }) => ({ id, title, ...ask(facts) }));
}

export const pass = (found: string): Verdict => ({ result: "Pass", found });
export const warn = (found: string, fix: string): Verdict => ({ result: "Warn", found, fix });
export const fail = (found: string, fix: string): Verdict => ({ result: "Fail", found, fix });
export const unknown = (found: string): Verdict => ({ result: "Unknown", found });
