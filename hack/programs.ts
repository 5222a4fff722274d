// What is bundled into one file each, and how.
import type { BuildOptions, Plugin } from "esbuild";

/** CommonJS packages inside an ES module bundle still call require for Node's own modules. */
const REQUIRE =
  "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);";

/** What sends traces is a file beside the programs, which they load when they are told to, and only then. */
const tracesApart: Plugin = {
  name: "traces-apart",
  setup: (bundle) =>
    bundle.onResolve({ filter: /[/]otlp[.]ts$/ }, ({ kind }) =>
      kind === "dynamic-import" ? { path: "./otlp.mjs", external: true } : undefined,
    ),
};

const base: BuildOptions = {
  bundle: true,
  platform: "node",
  target: "node24",
  format: "esm",
  banner: { js: REQUIRE },
  minify: true,
  keepNames: true,
  sourcemap: "linked",
  sourcesContent: false,
  legalComments: "none",
  logLevel: "warning",
  plugins: [tracesApart],
};

/** Programs by their file, and what stays outside of each: the agent runs in clusters only and never reads a kubeconfig. */
const entries: readonly { entry: string; out: string; external: string[] }[] = [
  { entry: "src/agent.ts", out: "dist/agent.mjs", external: ["@kubernetes/client-node"] },
  { entry: "src/operator.ts", out: "dist/operator.mjs", external: ["@kubernetes/client-node"] },
  { entry: "src/telemetry/otlp.ts", out: "dist/otlp.mjs", external: [] },
  { entry: "src/cli.ts", out: "dist/kubectl-quorate.mjs", external: [] },
  { entry: "hack/writer/writer.ts", out: "dist/writer.mjs", external: ["pg-native"] },
];

/** How each program is bundled, by its file. */
export const PROGRAMS: ReadonlyMap<string, BuildOptions> = new Map(
  entries.map(({ entry, out, external }) => [out, { ...base, entryPoints: [entry], outfile: out, external }]),
);
