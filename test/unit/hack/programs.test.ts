// Traces cost nothing where nobody asked for them: what sends them is in no program.
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
