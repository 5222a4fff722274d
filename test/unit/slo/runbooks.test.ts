// Every alert has its page, and every page can be followed: its commands exist.
import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { beforeAll, describe, expect, test } from "vitest";
import { agentInstruments, operatorInstruments } from "../../../hack/generate/instruments.ts";
import { KINDS } from "../../../hack/generate/kinds.ts";
import { ServiceLevel } from "../../../src/api/objectives.ts";
import { ALERTS } from "../../../src/slo/alerts.ts";
import { fleetGroups } from "../../../src/slo/fleet.ts";
import { GROUNDWORK, INDICATORS } from "../../../src/slo/indicators.ts";
import { OBJECTIVE_ALERTS, ruleGroup } from "../../../src/slo/rules.ts";
import { PROMISES } from "../../lab/promises.ts";

const execute = promisify(execFile);
const ROOT = join(import.meta.dirname, "../../..");
const FOLDER = join(ROOT, "docs/runbooks");
const NAMES = [...ALERTS.map(({ name }) => name as string), ...OBJECTIVE_ALERTS];

async function help(...command: string[]): Promise<string> {
  return (await execute(process.execPath, [join(ROOT, "src/cli.ts"), ...command, "--help"])).stdout;
}

const pageOf = (name: string) => readFile(join(FOLDER, `${name}.md`), "utf8");

function commandsOf(page: string): string[] {
  return [...page.matchAll(/```sh\n([^]*?)```/g)].flatMap(([, lines = ""]) => lines.trim().split("\n"));
}

let subcommands: string[];

beforeAll(async () => {
  const [, list = ""] = (await help()).split("Commands:");
  subcommands = [...list.matchAll(/^ {2}([a-z-]+)/gm)].map(([, name = ""]) => name);
}, 60_000);

test("there is one page for every alert, and no other", async () => {
  const pages = (await readdir(FOLDER)).filter((name) => name.endsWith(".md") && name !== "README.md");
  expect(pages.toSorted()).toEqual(NAMES.map((name) => `${name}.md`).toSorted());
  const index = await readFile(join(FOLDER, "README.md"), "utf8");
  expect(NAMES.filter((name) => !index.includes(`[${name}](${name}.md)`))).toEqual([]);
});

describe.each(NAMES)("%s", (name) => {
  test("says what it means, what to do first, what then, and how it ends", async () => {
    const headings = [...(await pageOf(name)).matchAll(/^#+ (.*)$/gm)].map(([, heading]) => heading);
    expect(headings).toEqual([name, "First", "Then", "How it ends"]);
  });

  test("names commands, metrics, kinds and pages that exist", async () => {
    const page = await pageOf(name);
    const commands = commandsOf(page);
    expect(commands.length).toBeGreaterThan(0);
    expect(commands.filter((command) => !command.startsWith("kubectl "))).toEqual([]);
    const ours = commands.flatMap((command) => /^kubectl quorate (?:-n shop )?([a-z-]+)/.exec(command)?.[1] ?? []);
    expect(ours.filter((command) => !subcommands.includes(command))).toEqual([]);
    const metrics = [...agentInstruments(), ...operatorInstruments()].map((instrument) => instrument.name);
    const named = [...page.matchAll(/\bquorate_[a-z_]+/g)].map(([metric]) => metric);
    expect(named.filter((metric) => !metrics.includes(metric))).toEqual([]);
    const records = [...GROUNDWORK, ...INDICATORS].map(({ record }) => record);
    const recorded = [...page.matchAll(/\bquorate:[a-z0-9_:]+/g)].map(([record]) => record);
    expect(recorded.filter((record) => !records.includes(record))).toEqual([]);
    const short = [...page.matchAll(/\b(q[a-z]{2})\b/g)].map(([, kind = ""]) => kind);
    expect(short.filter((kind) => !KINDS.some(({ shortNames }) => shortNames.includes(kind)))).toEqual([]);
    const links = [...page.matchAll(/\]\(([^)]+)\)/g)].map(([, link = ""]) => join(FOLDER, link));
    await Promise.all(links.map((link) => readFile(link)));
  });
});

test("each page is walked in a test, from the fault to its end", async () => {
  const files = ["lab/runbooks", "api/runbooks", "api/rules"].map((name) => join(ROOT, `test/${name}.test.ts`));
  const titles = (await Promise.all(files.map((file) => readFile(file, "utf8"))))
    .flatMap((text) => text.match(/^test\("[^"]*"/gm) ?? [])
    .join(" ");
  const walked = [...PROMISES.flatMap(({ alert, hides = [] }) => [alert, ...hides]), ...titles.split(/\W+/)];
  expect(NAMES.filter((name) => !walked.includes(name))).toEqual([]);
});

test("the page that an alert names by itself is there, as seen from the root of the repository", async () => {
  const slo = ServiceLevel.parse({ dataPlane: { latencyP95Milliseconds: 200, errorPercent: "0.1" } });
  const groups = [
    ...fleetGroups(),
    ruleGroup({ namespace: "shop", cluster: "orders", slo, topology: "ActivePassive" }),
  ];
  const alerts = groups.flatMap(({ rules }) => rules).filter(({ alert }) => alert !== undefined);
  expect(new Set(alerts.map(({ alert }) => alert))).toEqual(new Set(NAMES));
  for (const { alert, annotations } of alerts) {
    const page = await readFile(join(ROOT, annotations?.["runbook_url"] ?? "none"), "utf8");
    expect(page.startsWith(`# ${alert}\n`)).toBe(true);
  }
});

test("alerts say what is the matter, the next command and the page", () => {
  const alerts = fleetGroups("https://docs.example/runbooks/").flatMap(({ rules }) =>
    rules.filter((rule) => rule.alert),
  );
  for (const { alert, labels, annotations } of alerts) {
    expect(["page", "ticket"]).toContain(labels["severity"]);
    expect(annotations?.["summary"]).toMatch(
      /^(The operator|\{\{ \$labels\.namespace \}\}\/\{\{ \$labels\.cluster \}\}) /,
    );
    expect(annotations?.["next"]).toMatch(/^kubectl /);
    expect(annotations?.["runbook_url"]).toBe(`https://docs.example/runbooks/${alert}.md`);
  }
});

test("what an alert names as its cause is an alert, and no cause explains itself", () => {
  const edges = new Map(ALERTS.map(({ name, causes }) => [name as string, causes]));
  const reaches = (from: string, to: string): boolean =>
    (edges.get(from) ?? []).some((cause) => cause === to || reaches(cause, to));
  expect(ALERTS.flatMap(({ causes }) => causes).filter((cause) => !edges.has(cause))).toEqual([]);
  expect(NAMES.filter((name) => reaches(name, name))).toEqual([]);
});
