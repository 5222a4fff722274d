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

/** Folder of the runbooks, when nobody says otherwise. */
export const RUNBOOKS_URL = "https://quorate.io/docs/runbooks";

/** What an alert tells a person: what is the matter, the first command, and where to read on. */
export function annotationsOf(
  alert: string,
  runbooksUrl: string,
  { summary, next }: { readonly summary: string; readonly next: string },
): Readonly<Record<string, string>> {
  return { summary, next, runbook_url: `${runbooksUrl.replace(/[/]+$/, "")}/${alert}.md` };
}
