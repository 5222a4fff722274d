// Asks promtool which alerts fire, given rules and series.
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { RuleGroup } from "../../src/slo/rule.ts";

const execute = promisify(execFile);
const PROMTOOL = "/usr/bin/promtool";

/** One series, in promtool's words: its values at every evaluation. */
export interface Input {
  readonly series: string;
  readonly values: string;
}

/** Rules, and what is asked of them. */
export interface Question {
  readonly groups: readonly RuleGroup[];
  /** Alerts that are looked for. */
  readonly names: readonly string[];
  readonly at: string;
  readonly input: readonly Input[];
  /** Time between two values and two evaluations; over days longer, or promtool takes minutes. */
  readonly every?: string;
  /** Label whose value is told with the alert's name. */
  readonly with?: string;
}

async function withFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "quorate-promtool-"));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** What `promtool check rules` says. @throws when it finds something. */
export function checkRules(groups: readonly RuleGroup[]): Promise<string> {
  return checkRuleFile(JSON.stringify({ groups })); // JSON is YAML
}

/** The same of a file's text. */
export function checkRuleFile(text: string): Promise<string> {
  return withFolder(async (folder) => {
    const file = join(folder, "rules.yml");
    await writeFile(file, text);
    return (await execute(PROMTOOL, ["check", "rules", file])).stdout;
  });
}

/** The alerts that fire at a time: their names, each with the value of a label where one was asked for. */
export function alertsAt({ groups, names, at, input, every = "30s", with: label }: Question): Promise<string[]> {
  return withFolder(async (folder) => {
    const rules = { groups: groups.map((group) => ({ ...group, interval: every })) };
    await writeFile(join(folder, "rules.yml"), JSON.stringify(rules));
    const expected = names.map((alertname) => ({ eval_time: at, alertname, exp_alerts: [] }));
    const tests = [{ interval: every, input_series: input, alert_rule_test: expected }];
    const file = join(folder, "test.yml");
    await writeFile(file, JSON.stringify({ rule_files: ["rules.yml"], evaluation_interval: every, tests }));
    // No alert is expected: whatever fires is in what promtool complains of.
    const said = await execute(PROMTOOL, ["test", "rules", file]).then(
      () => "",
      (error: { readonly stdout?: string; readonly stderr?: string }) => `${error.stdout ?? ""}${error.stderr ?? ""}`,
    );
    if (!/FAILED|^$/.test(said)) throw new Error(said);
    const fired = said.matchAll(/alertname: (\w+)[^]*?got:\[([^]*?)(?=alertname: |$)/g);
    return [...fired].flatMap(([, name = "", got = ""]) => {
      if (label === undefined) return [name];
      const values = [...got.matchAll(new RegExp(`\\b${label}="(\\w+)"`, "g"))].map(([, value]) => `${name} ${value}`);
      return values.length > 0 ? [...new Set(values)] : [name];
    });
  });
}
