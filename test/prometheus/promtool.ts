// Asks promtool which alerts fire, and what values expressions have, given rules and series.
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { RuleGroup } from "../../src/slo/rule.ts";

const execute = promisify(execFile);
const PROMTOOL = "/usr/bin/promtool";
/** It collects its garbage a quarter of its time by default; memory there is enough. */
const THRIFTY = { ...process.env, GOGC: "800" };

/** One series, in promtool's words: its values at every evaluation. */
export interface Input {
  readonly series: string;
  readonly values: string;
}

/** Rules, and what they are evaluated over. */
interface World {
  readonly groups: readonly RuleGroup[];
  readonly input: readonly Input[];
  /** Time between two values, half a minute unless it is told; over days longer, or promtool takes minutes. */
  readonly every?: string;
  /** Time between two evaluations, if it is not that between two values. */
  readonly judgedEvery?: string;
}

/** What is asked of rules. */
export interface Question extends World {
  /** Alerts that are looked for. */
  readonly names: readonly string[];
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

/** What promtool complains of, given expectations that are all empty: whatever there is. */
function complaints(
  { groups, input, every = "30s", judgedEvery = every }: World,
  expectations: object,
): Promise<string> {
  return withFolder(async (folder) => {
    const rules = { groups: groups.map((group) => ({ ...group, interval: judgedEvery })) };
    await writeFile(join(folder, "rules.yml"), JSON.stringify(rules));
    const tests = [{ interval: every, input_series: input, ...expectations }];
    const file = join(folder, "test.yml");
    await writeFile(file, JSON.stringify({ rule_files: ["rules.yml"], evaluation_interval: judgedEvery, tests }));
    const said = await execute(PROMTOOL, ["test", "rules", file], { env: THRIFTY }).then(
      () => "",
      (error: { readonly stdout?: string; readonly stderr?: string }) => `${error.stdout ?? ""}${error.stderr ?? ""}`,
    );
    if (!/FAILED|^$/.test(said)) throw new Error(said);
    return said;
  });
}

/** The alerts that fire at each of some times, in their order: their names, each with the value of a label where one was asked for. */
export async function alertsOver(
  { groups, names, with: label, ...world }: Question,
  times: readonly string[],
): Promise<readonly (readonly string[])[]> {
  const rulesOf = (group: RuleGroup) => group.rules.filter(({ alert }) => alert === undefined || names.includes(alert));
  const asked = groups.map((group) => ({ ...group, rules: rulesOf(group) })); // the other alerts would only take time
  const said = await complaints(
    { ...world, groups: asked },
    {
      alert_rule_test: times.flatMap((at) => names.map((alertname) => ({ eval_time: at, alertname, exp_alerts: [] }))),
    },
  );
  const fired = [...said.matchAll(/alertname: (\w+), time: (\w+)[^]*?got:\[([^]*?)(?=alertname: |$)/g)];
  const unasked = fired.find(([, , time = ""]) => !times.includes(time));
  if (unasked !== undefined) throw new Error(`promtool writes the time as ${unasked[2]}: ask it so`);
  return times.map((at) =>
    fired.flatMap(([, name = "", time, got = ""]) => {
      if (time !== at) return [];
      if (label === undefined) return [name];
      const values = [...got.matchAll(new RegExp(`\\b${label}="(\\w+)"`, "g"))].map(([, value]) => `${name} ${value}`);
      return values.length > 0 ? [...new Set(values)] : [name];
    }),
  );
}

/** The alerts that fire at one time. */
export async function alertsAt(question: Question, at: string): Promise<readonly string[]> {
  const [fired = []] = await alertsOver(question, [at]);
  return fired;
}

/** The values of expressions at a time, each by its labels without its name, as they are written in PromQL. */
export async function valuesAt(
  world: World,
  at: string,
  expressions: readonly string[],
): Promise<ReadonlyMap<string, Readonly<Record<string, number>>>> {
  const said = await complaints(world, {
    promql_expr_test: expressions.map((expr) => ({ expr, eval_time: at, exp_samples: [] })),
  });
  const answers = new Map(
    [...said.matchAll(/^ +expr: (".*"), time: .*\n.*\n +got: (.*)$/gm)].map(([, expr = "", got = ""]) => {
      const samples = got.matchAll(/(?:\{((?:\w+="(?:[^"\\]|\\.)*"(?:, )?)*)\}|[\w:]+) (\S+?)(?:, |$)/g);
      const values = [...samples].map(([, labels = "", value = ""]): [string, number] => {
        const others = labels.split(", ").filter((one) => !one.startsWith("__name__="));
        return [others.join(), Number(value.replace("Inf", "Infinity"))];
      });
      if (values.length === 0) throw new Error(`not understood: ${got}`);
      return [JSON.parse(expr) as string, Object.fromEntries(values)];
    }),
  );
  return new Map(expressions.map((expr) => [expr, answers.get(expr) ?? {}]));
}
