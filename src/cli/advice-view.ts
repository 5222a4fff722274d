/** Prints advice about a cluster: what was seen, what to set, and what it costs. Pure. */
import type { Advice, Setting } from "../advice/advice.ts";
import type { Cost } from "../advice/cost.ts";
import type { Seen } from "../advice/facts.ts";
import { formatDuration } from "../slo/objectives.ts";
import type { Palette } from "./palette.ts";

/** Everything that is printed. */
export interface AdviceView {
  readonly name: string;
  readonly namespace: string;
  readonly seen: Pick<Seen, "source" | "overSeconds">;
  readonly advice: readonly Advice[];
  readonly patch: object;
  /** As it is, and as it would be; undefined without a price table. */
  readonly cost: { readonly now: Cost; readonly advised: Cost } | undefined;
}

/** The advice as lines, the changes as a command that a person may run. */
export function renderAdvice(view: AdviceView, palette: Palette): string[] {
  const { name, namespace, seen, advice, patch, cost } = view;
  const from = seen.source === "Prometheus" ? "by Prometheus" : "by the members themselves";
  const lines = advice.map((one) => adviceLine(one, palette));
  const hasChanges = Object.keys(patch).length > 0;
  const command = `kubectl patch clusterspec -n ${namespace} ${name} --type merge --patch '${JSON.stringify(patch)}'`;
  return [
    palette.bold(`${name}: seen for ${formatDuration(seen.overSeconds * 1000)} ${from}`),
    ...lines.flat(),
    ...(cost === undefined ? [] : costLines(cost, hasChanges)),
    ...(hasChanges ? ["Nothing was changed. To do all of it:", `  ${palette.bold(command)}`] : ["Nothing to change."]),
  ];
}

function adviceLine({ subject, verdict, found, settings }: Advice, palette: Palette): string[] {
  const marks = {
    Keep: palette.green("✓"),
    Raise: palette.yellow("↑"),
    Lower: palette.yellow("↓"),
    Change: palette.yellow("!"),
    Unknown: palette.dim("?"),
  };
  return [`${marks[verdict]} ${subject.toLowerCase()}: ${found}`, ...settings.map((one) => settingLine(one, palette))];
}

function settingLine([path, value]: Setting, palette: Palette): string {
  return `    ${palette.bold(`set ${path} to ${value}`)}`;
}

function costLines({ now, advised }: NonNullable<AdviceView["cost"]>, hasChanges: boolean): string[] {
  const money = (amount: number) => amount.toFixed(2);
  const parts = `processor ${money(now.cpu)}, memory ${money(now.memory)}, storage ${money(now.storage)}`;
  return [
    `  costs ${money(now.total)} ${now.currency} a month: ${parts}`,
    ...(hasChanges ? [`  with these changes ${money(advised.total)} ${now.currency}`] : []),
  ];
}
