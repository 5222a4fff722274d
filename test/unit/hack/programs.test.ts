// What programs consist of and load: traces cost nothing where nobody asked for them, and agents, which are many, hold only what they use.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { expect, onTestFinished, test } from "vitest";
import { PROGRAMS } from "../../../hack/programs.ts";

/** The client of Prometheus brings the interface of OpenTelemetry by itself; it does nothing. */
const SENDERS = /node_modules[/]@opentelemetry[/](?!api[/])/;

async function partsOf(program: string): Promise<string[]> {
  const { metafile } = await build({ ...PROGRAMS.get(program), write: false, metafile: true });
  return Object.keys(metafile.inputs);
}

test.each(["dist/agent.mjs", "dist/operator.mjs"])("%s holds nothing that sends traces", async (program) => {
  const parts = await partsOf(program);
  expect(parts.length).toBeGreaterThan(50);
  expect(parts.filter((part) => SENDERS.test(part) || part.endsWith("src/telemetry/otlp.ts"))).toEqual([]);
});

test("the file beside them does", async () => {
  const parts = await partsOf("dist/otlp.mjs");
  expect(parts.filter((part) => SENDERS.test(part)).length).toBeGreaterThan(5);
});

test("the agent and the operator hold no messages of schemas in languages that nobody asked for", async () => {
  for (const program of ["dist/agent.mjs", "dist/operator.mjs"]) {
    const { metafile } = await build({ ...PROGRAMS.get(program), write: false, metafile: true });
    const held = Object.entries(metafile.outputs[program]?.inputs ?? {}).filter(
      ([, { bytesInOutput }]) => bytesInOutput > 0,
    );
    const languages = held
      .map(([part]) => part)
      .filter((part) => /zod[/]v4[/]locales[/](?!(?:en|index)[.]js$)/.test(part));
    expect(languages).toEqual([]);
  }
});

test.each(["dist/agent.mjs", "dist/operator.mjs"])("%s is ASCII", async (program) => {
  // One other character, and Node keeps the whole source with two bytes for each.
  const { outputFiles } = await build({ ...PROGRAMS.get(program), write: false, sourcemap: false });
  const text = outputFiles?.[0]?.text ?? "";
  expect(text.length).toBeGreaterThan(100_000);
  expect(text.match(/.{0,40}[^\t\n -~].{0,40}/g)).toBeNull();
});

test("an agent's start loads neither what fetches nor what pushes metrics and traces", async () => {
  const folder = mkdtempSync(join(tmpdir(), "quorate-program-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const program = join(folder, "agent.mjs");
  await build({ ...PROGRAMS.get("dist/agent.mjs"), outfile: program, sourcemap: false });
  // It ends where it would speak with quorate-init, all of it loaded.
  const names = ["NAMESPACE", "CLUSTER", "MEMBER", "POD", "POD_UID", "POD_IP", "NODE"];
  const env = { ...Object.fromEntries(names.map((name) => [`QUORATE_${name}`, "x"])), QUORATE_RUN_DIR: folder };
  const tell = "data:text/javascript,process.on('exit',()=>console.log(process.moduleLoadList.join('\\n')))";
  const command = `"$0" --import "$1" "$2" run 2>"$3/errors" || true`;
  const told = execFileSync("sh", ["-c", command, process.execPath, tell, program, folder], { env, encoding: "utf8" });
  const loaded = told.split("\n");
  expect(loaded).toContain("NativeModule https");
  expect(loaded.filter((one) => /undici|NativeModule (cluster|inspector)$/.test(one))).toEqual([]);
});
