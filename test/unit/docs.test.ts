// What documentation tells people to type must exist: commands and options of the plugin, files, targets of make, other pages.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import type { Command } from "commander";
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

/** Lines that people are told to type: of `sh` blocks, and those after a prompt. */
function commandsOf(text: string): string[] {
  const blocks = [...text.matchAll(/^```(sh|console)\n([^]*?)^```/gm)];
  return blocks.flatMap(([, language, block = ""]) => {
    const lines = block.replaceAll("\\\n", " ").split("\n");
    return language === "sh" ? lines : lines.flatMap((line) => (line.startsWith("$ ") ? line.slice(2) : []));
  });
}

/** What is wrong with the arguments of the plugin; empty when nothing is. */
function problemsOf(words: readonly string[]): string[] {
  const program = buildProgram();
  let command: Command = program;
  const problems: string[] = [];
  for (const word of words) {
    const next = command.commands.find((one) => one.name() === word);
    if (next !== undefined) command = next;
    else if (word.startsWith("-") && !isOption(word, [command, program]))
      problems.push(`${command.name()} has no ${word}`);
  }
  return command === program ? [...problems, `there is no command ${words.join(" ")}`] : problems;
}

function isOption(word: string, commands: readonly Command[]): boolean {
  return commands.some(({ options }) => options.some(({ short, long }) => short === word || long === word));
}

describe.each(pages)("$name", ({ name, text }) => {
  test("names commands of the plugin that exist", () => {
    const calls = commandsOf(text).flatMap((line) => /kubectl quorate ([^|>#&;]+)/.exec(line)?.[1] ?? []);
    expect(calls.flatMap((call) => problemsOf(call.trim().split(/\s+/)))).toEqual([]);
  });

  test("names files and targets of make that exist", () => {
    const makefiles = ["Makefile", "hack/lab/lab.mk", "hack/generate/generate.mk", "init/build.mk"];
    const targets = makefiles.map((file) => readFileSync(join(root, file), "utf8")).join("\n");
    const words = commandsOf(text).flatMap((line) => line.replace(/#.*/, "").split(/\s+/));
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
