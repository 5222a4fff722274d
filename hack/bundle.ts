/** Bundles each program into one file under dist/, so that an image holds no node_modules and starts fast. */
import { build, type BuildOptions } from "esbuild";

/** CommonJS packages inside an ES module bundle still call require for Node's own modules. */
const REQUIRE =
  "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);";

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
};

/** Programs and what stays outside of each: the agent runs in clusters only and never reads a kubeconfig. */
const programs: readonly { entry: string; out: string; external: string[] }[] = [
  { entry: "src/agent.ts", out: "dist/agent.mjs", external: ["@kubernetes/client-node"] },
  { entry: "src/operator.ts", out: "dist/operator.mjs", external: ["@kubernetes/client-node"] },
  { entry: "src/cli.ts", out: "dist/kubectl-quorate.mjs", external: [] },
  { entry: "hack/writer/writer.ts", out: "dist/writer.mjs", external: ["pg-native"] },
];

const wanted = process.argv.slice(2);
for (const { entry, out, external } of programs) {
  if (wanted.length > 0 && !wanted.some((name) => out.includes(name))) continue;
  await build({ ...base, entryPoints: [entry], outfile: out, external });
}
