// What programs consist of and load: traces cost nothing where nobody asked for them, and agents, which are many, hold only what they use.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { expect, onTestFinished, test } from "vitest";
import { PROGRAMS } from "../../../hack/programs.ts";

/** The client of Prometheus brings the interface of OpenTelemetry by itself; it does nothing. */
const SENDERS = /node_modules[/]@opentelemetry[/](?!api[/])/;

interface Bundle {
  readonly text: string;
  /** Files that were looked at. */
  readonly parts: readonly string[];
  /** Those of which something is left. */
  readonly held: readonly string[];
}

const bundles = new Map<string, Promise<Bundle>>(); // each takes seconds on a busy machine

function bundleOf(program: string): Promise<Bundle> {
  const bundle = bundles.get(program) ?? make(program);
  bundles.set(program, bundle);
  return bundle;
}

async function make(program: string): Promise<Bundle> {
  const options = { ...PROGRAMS.get(program), sourcemap: false, write: false, metafile: true } as const;
  const { metafile, outputFiles } = await build(options);
  const held = Object.entries(metafile.outputs[program]?.inputs ?? {}).filter(([, one]) => one.bytesInOutput > 0);
  return { text: outputFiles[0]?.text ?? "", parts: Object.keys(metafile.inputs), held: held.map(([part]) => part) };
}

const LOADED_ALWAYS = ["dist/agent.mjs", "dist/operator.mjs"];

test.each(LOADED_ALWAYS)("%s holds nothing that sends traces", async (program) => {
  const { parts } = await bundleOf(program);
  expect(parts.length).toBeGreaterThan(50);
  expect(parts.filter((part) => SENDERS.test(part) || part.endsWith("src/telemetry/otlp.ts"))).toEqual([]);
});

test("the file beside them does", async () => {
  const { parts } = await bundleOf("dist/otlp.mjs");
  expect(parts.filter((part) => SENDERS.test(part)).length).toBeGreaterThan(5);
});

test.each(LOADED_ALWAYS)("%s holds no messages in languages that nobody asked for", async (program) => {
  const { held } = await bundleOf(program);
  expect(held.filter((part) => part.includes("/zod/")).length).toBeGreaterThan(10);
  expect(held.filter((part) => /zod[/]v4[/]locales[/](?!(?:en|index)[.]js$)/.test(part))).toEqual([]);
});

test.each(LOADED_ALWAYS)("%s is ASCII", async (program) => {
  // One other character, and Node keeps the whole source with two bytes for each.
  const { text } = await bundleOf(program);
  expect(text.length).toBeGreaterThan(100_000);
  const at = text.search(/[^\t\n -~]/);
  expect(at < 0 ? "" : text.slice(Math.max(0, at - 60), at + 20)).toBe("");
});

test("an agent compares nothing as people in a language do: the tables for that are 5 MiB of its memory", async () => {
  const { text } = await bundleOf("dist/agent.mjs");
  expect(text).not.toContain("localeCompare");
});

test("an agent's start loads neither what fetches nor what pushes metrics and traces, and what connects later only", async () => {
  const folder = mkdtempSync(join(tmpdir(), "quorate-program-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const program = join(folder, "agent.mjs");
  writeFileSync(program, (await bundleOf("dist/agent.mjs")).text);
  // It ends where it would speak with quorate-init, all of it loaded.
  const names = ["NAMESPACE", "CLUSTER", "MEMBER", "POD", "POD_UID", "POD_IP", "NODE"];
  const env = { ...Object.fromEntries(names.map((name) => [`QUORATE_${name}`, "x"])), QUORATE_RUN_DIR: folder };
  const tell = "data:text/javascript,process.on('exit',()=>console.log(process.moduleLoadList.join('\\n')))";
  const command = `"$0" --import "$1" "$2" run 2>"$3/errors" || true`;
  const told = execFileSync("sh", ["-c", command, process.execPath, tell, program, folder], { env, encoding: "utf8" });
  const loaded = told.split("\n");
  expect(loaded).toContain("NativeModule net");
  expect(loaded.filter((one) => /undici|NativeModule (cluster|inspector)$/.test(one))).toEqual([]);
  expect(loaded.filter((one) => /NativeModule (https?|tls|zlib|crypto)$/.test(one))).toEqual([]);
});
