// What all rules for Prometheus have in common.

/** A rule as Prometheus reads it. */
export interface Rule {
  readonly record?: string;
  readonly alert?: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** A group as it stands in a rule file, or in a PrometheusRule. */
export interface RuleGroup {
  readonly name: string;
  readonly interval: string;
  readonly rules: readonly Rule[];
}

/** How often all rules are evaluated. */
export const INTERVAL = "30s";

/** Who is to look: somebody now, or somebody today. */
export type Severity = "page" | "ticket";

/**
 * Folder of the runbooks within quorate's repository, for when nobody says where they can be read: a path that can be looked up is
 * better than an address that may not answer.
 */
export const RUNBOOKS = "docs/runbooks";

/** What an alert tells a person: what is the matter, the first command, and where to read on. @param runbooks - Their folder or its address. */
export function annotationsOf(
  alert: string,
  runbooks: string,
  { summary, next }: { readonly summary: string; readonly next: string },
): Readonly<Record<string, string>> {
  return { summary, next, runbook_url: `${runbooks.replace(/[/]+$/, "")}/${alert}.md` };
}
