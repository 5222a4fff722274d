// What is bundled into one file each, and how.
import { join } from "node:path";
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

/** Of client-node the reader of a kubeconfig, without the 900 classes of objects that it would take along and does not use. */
const lessOfClientNode: Plugin = {
  name: "less-of-client-node",
  setup: (bundle) => {
    const folder = join(import.meta.dirname, "../node_modules/@kubernetes/client-node/dist");
    bundle.onResolve({ filter: /^@kubernetes[/]client-node$/ }, () => ({ path: join(folder, "config.js") }));
    bundle.onResolve({ filter: /^[.][/]gen[/]index[.]js$/ }, () => ({
      path: "configuration",
      namespace: "client-node",
    }));
    bundle.onLoad({ filter: /./, namespace: "client-node" }, () => ({
      contents: 'export * from "./configuration.js"; export * from "./servers.js";',
      resolveDir: join(folder, "gen"),
    }));
  },
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
  plugins: [tracesApart, lessOfClientNode],
};

/** Programs by their file, and what stays outside of each: the agent runs in clusters only and never reads a kubeconfig. */
const entries: readonly { entry: string; out: string; external: string[] }[] = [
  { entry: "src/agent.ts", out: "dist/agent.mjs", external: ["*/kubeconfig.ts"] },
  { entry: "src/operator.ts", out: "dist/operator.mjs", external: ["*/kubeconfig.ts"] },
  { entry: "src/telemetry/otlp.ts", out: "dist/otlp.mjs", external: [] },
  { entry: "src/cli.ts", out: "dist/kubectl-quorate.mjs", external: [] },
  { entry: "hack/writer/writer.ts", out: "dist/writer.mjs", external: ["pg-native"] },
];

/** How each program is bundled, by its file. */
export const PROGRAMS: ReadonlyMap<string, BuildOptions> = new Map(
  entries.map(({ entry, out, external }) => [out, { ...base, entryPoints: [entry], outfile: out, external }]),
);
