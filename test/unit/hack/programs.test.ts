// What programs consist of and load: traces cost nothing where nobody asked for them, and agents, which are many, hold only what they use.
import { build } from "esbuild";
import { expect, test } from "vitest";
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
