// What programs consist of and load: traces cost nothing where nobody asked for them, and agents, which are many, hold only what they use.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, expect, onTestFinished, test } from "vitest";
import { PROGRAMS } from "../../../hack/programs.ts";
import { ClusterIntent } from "../../../src/api/cluster-spec.ts";
import { EngineSpec } from "../../../src/api/engine.ts";
import { makeSnapshot, NODE } from "../../../hack/snapshot.ts";

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

const LOADED_ALWAYS = ["dist/agent.mjs", "dist/agent.cjs", "dist/operator.mjs"];

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

test.each(LOADED_ALWAYS)("%s holds nothing that its schemas say to readers of the manual", async (program) => {
  const { text } = await bundleOf(program);
  const said = [...Object.values(EngineSpec.shape), ...Object.values(ClusterIntent.shape)].flatMap(
    ({ description }) => description ?? [],
  );
  expect(said.length).toBeGreaterThan(40);
  expect(said.filter((description) => text.includes(JSON.stringify(description).slice(1, -1)))).toEqual([]);
});

test("an agent compares nothing as people in a language do: the tables for that are 5 MiB of its memory", async () => {
  const { text } = await bundleOf("dist/agent.mjs");
  expect(text).not.toContain("localeCompare");
});

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true });
});

let made: Promise<string> | undefined;
const agentFolder = (): Promise<string> => (made ??= makeAgent());

/** A folder with the agent as images have it: the program, the snapshot, and what that was made of. */
async function makeAgent(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "quorate-program-"));
  folders.push(folder);
  for (const name of ["agent.mjs", "agent.cjs"])
    writeFileSync(join(folder, name), (await bundleOf(`dist/${name}`)).text);
  makeSnapshot(join(folder, "agent.cjs"));
  return folder;
}

/** Runs the agent to where it would speak with quorate-init, all of it loaded, after a script of ours. @returns what both wrote. */
function runAgent(folder: string, flags: readonly string[], script: string): string {
  const names = ["NAMESPACE", "CLUSTER", "MEMBER", "POD", "POD_UID", "POD_IP", "NODE"];
  const env = { ...Object.fromEntries(names.map((name) => [`QUORATE_${name}`, "x"])), QUORATE_RUN_DIR: folder };
  writeFileSync(join(folder, "before.cjs"), script);
  const command = [
    NODE,
    "--max-semi-space-size=1",
    "--require",
    join(folder, "before.cjs"),
    ...flags,
    join(folder, "agent.mjs"),
  ];
  return execFileSync("sh", ["-c", '"$@" run 2>&1 || true', "sh", ...command], { env, encoding: "utf8", cwd: folder });
}

const FORMS = [
  ["its program", []],
  ["its snapshot", ["--snapshot-blob=agent.blob"]],
] as const;

test.each(FORMS)(
  "an agent's start from %s loads neither what fetches nor what pushes metrics and traces, and what connects later only",
  async (_form, flags) => {
    const tell = "process.on('exit', () => console.log(process.moduleLoadList.join('\\n')))";
    const told = runAgent(await agentFolder(), flags, tell);
    expect(told).toContain("QUORATE_INIT_FD is not set");
    const loaded = told.split("\n");
    expect(loaded).toContain("NativeModule net");
    expect(loaded.filter((one) => /undici|NativeModule (cluster|inspector)$/.test(one))).toEqual([]);
    expect(loaded.filter((one) => /NativeModule (https?|tls|zlib|crypto)$/.test(one))).toEqual([]);
  },
);

test.each(FORMS)("an agent from %s has clocks, chance, words and a pid of its own", async (_form, flags) => {
  const tell = `process.on("exit", () => console.log("SAID " + JSON.stringify({
    sinceStartMs: performance.now(), offMs: performance.timeOrigin + performance.now() - Date.now(), chance: Math.random(),
    words: process.argv.slice(1), isOwnPid: process.pid === Number(require("node:fs").readlinkSync("/proc/self")) })))`;
  const folder = await agentFolder();
  const [one, other] = [0, 1].map(() => {
    const text = /^SAID (.*)$/m.exec(runAgent(folder, flags, tell))?.[1] ?? "null";
    return JSON.parse(text) as { readonly sinceStartMs: number; readonly offMs: number; readonly chance: number };
  });
  expect(one).toMatchObject({ words: [join(folder, "agent.mjs"), "run"], isOwnPid: true });
  expect(one?.sinceStartMs).toBeGreaterThan(0);
  expect(one?.sinceStartMs).toBeLessThan(30_000);
  expect(Math.abs(one?.offMs ?? Infinity)).toBeLessThan(100);
  expect(one?.chance).not.toBe(other?.chance);
});

test("what sends traces is loaded into an agent from its snapshot, when it is asked for", async () => {
  const folder = mkdtempSync(join(tmpdir(), "quorate-program-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const contents = `
    import { startupSnapshot } from "node:v8";
    import { openTracer } from "./src/telemetry/tracer.ts";
    const options = { url: "http://127.0.0.1:9", resource: {}, log: console };
    startupSnapshot.setDeserializeMainFunction(async () => process.stdout.write((await openTracer(options)).constructor.name));`;
  const { entryPoints: _, ...options } = PROGRAMS.get("dist/agent.cjs") ?? {};
  const stdin = { contents, resolveDir: join(import.meta.dirname, "../../..") };
  await build({ ...options, stdin, outfile: join(folder, "traced.cjs") });
  makeSnapshot(join(folder, "traced.cjs"));
  writeFileSync(join(folder, "otlp.mjs"), (await bundleOf("dist/otlp.mjs")).text);
  const words = ["--snapshot-blob=traced.blob", join(folder, "traced.mjs"), "run"];
  expect(execFileSync(NODE, words, { cwd: folder, encoding: "utf8" })).toBe("OtlpTracer");
});

test("a snapshot made in another folder is the same bytes, and says nothing of who made it", async () => {
  const [one = Buffer.alloc(0), other] = await Promise.all(
    [agentFolder, makeAgent].map(async (folder) => readFileSync(join(await folder(), "agent.blob"))),
  );
  expect(one.length).toBeGreaterThan(1_000_000);
  expect(one.equals(other ?? Buffer.alloc(0))).toBe(true);
  expect(["quorate-program-", process.cwd()].filter((word) => one.includes(word))).toEqual([]);
});
