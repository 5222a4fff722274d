// What documentation tells people to type must exist: commands and options of the plugin, files, targets of make, other pages. That every
// command works is in test/api/documentation.test.ts.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import type { Command } from "commander";
import { load } from "js-yaml";
import { describe, expect, test } from "vitest";
import { buildProgram } from "../../src/cli/program.ts";

const root = join(import.meta.dirname, "../..");
const pages = [
  "README.md",
  "CONTRIBUTING.md",
  "charts/quorate/README.md",
  ...readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".md"))
    .map((name) => join("docs", name)),
].map((name) => ({ name, text: readFileSync(join(root, name), "utf8") }));

/** Lines that people are told to type: of `sh` blocks, and those after a prompt. Here-documents are theirs, not commands. */
function commandsOf(text: string): string[] {
  const blocks = [...text.matchAll(/^ *```(sh|console)\n([^]*?)^ *```/gm)];
  return blocks.flatMap(([, language, block = ""]) => {
    const whole = block.replaceAll("\\\n", " ").replaceAll(/(<<EOF\n)[^]*?^ *EOF\n/gm, "$1");
    const lines = whole.split("\n").map((line) => line.trim());
    const typed = language === "sh" ? lines : lines.flatMap((line) => (line.startsWith("$ ") ? line.slice(2) : []));
    return typed.map((line) => line.replace(/(^|\s)#.*$/, "").trim()).filter((line) => line !== "");
  });
}

/** What the plugin's own parser says of its arguments; undefined when it takes them. */
async function problemOf(words: readonly string[]): Promise<string | undefined> {
  const program = buildProgram();
  let ran = false;
  const quieten = (command: Command): void => {
    command.exitOverride().configureOutput({ writeOut: () => undefined, writeErr: () => undefined });
    if (command.commands.length === 0) command.action(() => void (ran = true));
    for (const next of command.commands) quieten(next);
  };
  quieten(program);
  try {
    await program.parseAsync(words, { from: "user" });
    return ran ? undefined : `no command in ${words.join(" ")}`;
  } catch (error) {
    return `${words.join(" ")}: ${(error as Error).message}`;
  }
}

/** The words of a line, as a shell would part them, where nothing is quoted but whole words. */
function wordsOf(line: string): string[] {
  return [...line.matchAll(/'[^']*'|"[^"]*"|[^\s|>;&]+/g)].map(([word]) => word.replaceAll(/^['"]|['"]$/g, ""));
}

const pageOf = (name: string): string => pages.find((one) => one.name === name)?.text ?? "";

/** Pages that the site's navigation names. */
function named(nav: readonly unknown[]): string[] {
  return nav.flatMap((entry) =>
    typeof entry === "string" ? [entry] : Object.values(entry as object).flatMap((one: unknown) => named([one].flat())),
  );
}

test("the site leads to every page that is no runbook or decision, and to none that does not exist", () => {
  const { nav } = load(readFileSync(join(root, "mkdocs.yml"), "utf8")) as { readonly nav: readonly unknown[] };
  const written = pages.filter(({ name }) => /^docs\/(?!adr\/|runbooks\/[\w/-]+\.md)/.test(name));
  const expected = [...written.map(({ name }) => name.slice("docs/".length)), "runbooks/README.md"];
  expect(named(nav).toSorted()).toEqual(expected.toSorted());
});

test("what the README has people type on a cluster of their own is the beginning of docs/start.md, which is followed on a real one", () => {
  const typed = (page: string): readonly string[] =>
    [...page.matchAll(/^```sh\n([^]*?)^```/gm)].flatMap(([, block = ""]) => block.trim().split("\n"));
  const own = /^## On a cluster of your own\n([^]*?)^## /m.exec(pageOf("README.md"))?.[1] ?? "";
  const wanted = typed(own);
  const known = typed(pageOf("docs/start.md")).filter((line) => wanted.includes(line));
  expect(wanted.length).toBeGreaterThan(3);
  expect(known.slice(0, wanted.length)).toEqual(wanted);
});

const ENGINES = readdirSync(join(root, "engines")).flatMap((file) => /^(.+)\.yaml$/.exec(file)?.[1] ?? []);

test.each(ENGINES)("the README leads to the page of the engine %s, and the comparison names it", (engine) => {
  expect(pageOf("README.md")).toContain(`(docs/engines/${engine}.md)`);
  const tested = /^\| engines \| ([^|]*)\|/m.exec(pageOf("docs/comparison.md"))?.[1] ?? "";
  expect(tested.toLowerCase()).toContain(engine);
});

test.each(ENGINES)("of %s the page on security says how clients connect, as its Engine has it", (engine) => {
  const networks = /^## Networks\n([^]*?)^## /m.exec(pageOf("docs/security.md"))?.[1] ?? "";
  const { spec } = load(readFileSync(join(root, `engines/${engine}.yaml`), "utf8")) as {
    spec: { clientTls?: boolean };
  };
  expect(networks).toContain(`\`${engine}\``);
  expect(networks.includes(`\`${engine}\` serves clients without TLS`)).toBe(spec.clientTls !== true);
});

test("the chart claims the level of an operator that makes no backups, as long as the comparison says so", () => {
  const { annotations } = load(readFileSync(join(root, "charts/quorate/Chart.yaml"), "utf8")) as {
    readonly annotations: Readonly<Record<string, string>>;
  };
  const makesBackups = !pageOf("docs/comparison.md").includes("| backup, point-in-time recovery | **not yet** |");
  const levels = ["Basic Install", "Seamless Upgrades", ...(makesBackups ? ["Full Lifecycle", "Deep Insights"] : [])];
  expect(levels).toContain(annotations["artifacthub.io/operatorCapabilities"]);
});

test("the transcript is of the page for beginners as it is today", () => {
  const typed = [...pageOf("docs/transcript.md").matchAll(/^\$ (.*)$/gm)].map(([, command]) => command);
  const blocks = [...pageOf("docs/start.md").matchAll(/^```sh\n([^]*?)^```/gm)];
  expect(typed.length).toBeGreaterThan(10);
  expect(typed).toEqual(blocks.flatMap(([, block = ""]) => block.trim().split("\n")));
});

test("a call that the plugin does not understand would be found", async () => {
  expect(await problemOf(["status", "orders"])).toBeUndefined();
  expect(await problemOf(["status", "orders", "--colour"])).toContain("unknown option '--colour'");
  expect(await problemOf(["status", "orders", "carts"])).toContain("too many arguments");
  expect(await problemOf(["stauts"])).toContain("unknown command");
});

describe.each(pages)("$name", ({ name, text }) => {
  test("tells the plugin only what it understands", async () => {
    const calls = commandsOf(text).flatMap((line) => /kubectl quorate ([^|>;&]+)/.exec(line)?.[1] ?? []);
    const problems = await Promise.all(calls.map((call) => problemOf(wordsOf(call))));
    expect(problems.filter((problem) => problem !== undefined)).toEqual([]);
  });

  test("names files and targets of make that exist", () => {
    const makefiles = ["Makefile", "hack/lab/lab.mk", "hack/generate/generate.mk", "init/build.mk"];
    const targets = makefiles.map((file) => readFileSync(join(root, file), "utf8")).join("\n");
    const words = commandsOf(text).flatMap((line) => line.split(/\s+/));
    // deploy/NAME is kubectl's short word for a Deployment, too.
    const files = words
      .filter((word) => word !== "deploy/quorate-operator")
      .filter((word) => /^(deploy|charts|engines|examples|crds|hack)\/[\w./-]*$/.test(word));
    expect(files.filter((file) => !existsSync(join(root, file)))).toEqual([]);
    const made = commandsOf(text).flatMap((line) => /^make ([a-z-]+)/.exec(line)?.[1] ?? []);
    expect(made.filter((target) => !new RegExp(`^${target}:`, "m").test(targets))).toEqual([]);
  });

  test("links to pages that exist", () => {
    const links = [...text.matchAll(/\]\(([^)#:]+)(#[^)]*)?\)/g)].map(([, path = ""]) => path);
    expect(links.filter((path) => !existsSync(resolve(root, dirname(name), path)))).toEqual([]);
  });
});
