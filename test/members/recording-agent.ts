/** The agent with the recording transition in the place of the protocol's. */
import { join } from "node:path";
import { build, type Plugin } from "esbuild";
import { PROGRAMS } from "../../hack/programs.ts";
import { makeSnapshot } from "../../hack/snapshot.ts";

const RECORDING: Plugin = {
  name: "recording",
  setup: (bundle) =>
    bundle.onResolve({ filter: /[/]transition[.]ts$/ }, ({ importer }) =>
      importer.endsWith("src/agent/runtime.ts")
        ? { path: join(import.meta.dirname, "recording-transition.ts") }
        : undefined,
    ),
};

/** Makes it in a folder, as the program alone, which members write their steps with. @returns the program. */
export async function recordingProgram(folder: string): Promise<string> {
  const program = join(folder, "agent.mjs");
  await makeForm("dist/agent.mjs", program);
  return program;
}

/** Puts it in the place of the agent in a folder of bundles, in both forms, for an image. */
export async function recordingForms(folder: string): Promise<void> {
  await recordingProgram(folder);
  await makeForm("dist/agent.cjs", join(folder, "agent.cjs"));
  makeSnapshot(join(folder, "agent.cjs"));
}

async function makeForm(form: string, outfile: string): Promise<void> {
  const options = PROGRAMS.get(form);
  await build({ ...options, outfile, sourcemap: false, plugins: [RECORDING, ...(options?.plugins ?? [])] });
}
