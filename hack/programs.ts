// What is bundled into one file each, and how.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { getBuiltinModule } from "node:process";
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

/** Node's own modules that cost a start milliseconds each. They are loaded by who uses one first: an agent starts its engine before. */
const LOADED_AS_USED = /^node:(?:https?|tls|crypto|zlib|dns|util|child_process)$/;

/**
 * Node's own modules by `require`. An ES import of one reads all that it exports, and `node:http` exports by getters what fetches the
 * whole of undici: 70 ms and 4 MiB that nobody asked for, in every agent.
 */
const ownModulesAsRequired: Plugin = {
  name: "own-modules-as-required",
  setup: (bundle) => {
    bundle.onResolve({ filter: /^node:/ }, ({ path, kind }) =>
      kind === "import-statement" ? { path, namespace: "node" } : { path, external: true },
    );
    bundle.onLoad({ filter: LOADED_AS_USED, namespace: "node" }, ({ path }) => {
      const names = Object.keys(getBuiltinModule(path) ?? {}).filter((name) => /^\w+$/.test(name));
      return {
        contents: `let own;
          const load = () => (own ??= require(${JSON.stringify(path)}));
          for (const name of ${JSON.stringify(names)})
            Object.defineProperty(exports, name, { enumerable: true, get: () => load()[name] });`,
      };
    });
    bundle.onLoad({ filter: /./, namespace: "node" }, ({ path }) => ({
      contents: `module.exports = require(${JSON.stringify(path)});`,
    }));
  },
};

/** Of prom-client each part when it is used: its index would load all, a client of the Pushgateway and OpenTelemetry among them. */
const metricsAsUsed: Plugin = {
  name: "metrics-as-used",
  setup: (bundle) => {
    bundle.onLoad({ filter: /[/]prom-client[/]index[.]js$/ }, async ({ path }) => {
      const part = /^exports[.](\w+) =\s+(require\([^)]+\)[.\w]*);$/gm;
      const text = await readFile(path, "utf8");
      return {
        contents: text.replace(part, 'Object.defineProperty(exports, "$1", { enumerable: true, get: () => $2 });'),
      };
    });
  },
};

/** Replaces a part of a source that must be there: a package that has changed is to be looked at again. */
function replaced(text: string, part: RegExp | string, by: string): string {
  const changed = text.replace(part, by);
  if (changed === text) throw new Error(`${String(part)} is not there any more`);
  return changed;
}

/**
 * Schemas without what they say to readers of the manual, for programs that only parse by them. Each description makes a copy of its schema.
 */
const noDescriptions: Plugin = {
  name: "no-descriptions",
  setup: (bundle) => {
    bundle.onLoad({ filter: /[/]zod[/]v4[/]classic[/]schemas[.]js$/ }, async ({ path }) => {
      const text = await readFile(path, "utf8");
      const described = /describe\(description\) \{[^}]*\{ description \}\);\s*return cl;\s*\}/;
      const noted = /meta\(\.\.\.args\) \{[^}]*return cl;\s*\}/;
      return {
        contents: replaced(replaced(text, described, "describe() { return this; }"), noted, "meta() { return this; }"),
      };
    });
    const literal = /\.describe\(\s*(?:"(?:[^"\\]|\\.)*"|`(?:[^`\\$]|\\.)*`),?\s*\)/g;
    bundle.onLoad({ filter: /[/]src[/]api[/][^/]+[.]ts$/ }, async ({ path }) => ({
      contents: (await readFile(path, "utf8")).replaceAll(literal, ""),
      loader: "ts",
    }));
  },
};

/**
 * What sends traces, for a snapshot, whose code cannot import. A module with `then` is waited for by who imports it, who has what it
 * resolves to.
 */
const tracesRequired: Plugin = {
  name: "traces-required",
  setup: (bundle) => {
    bundle.onResolve({ filter: /[/]otlp[.]ts$/ }, ({ kind }) =>
      kind === "dynamic-import" ? { path: "./otlp.mjs", namespace: "required" } : undefined,
    );
    bundle.onLoad({ filter: /./, namespace: "required" }, ({ path }) => ({
      contents: `import { createRequire } from "node:module";
        import { programFolder } from "./src/program-files.ts";
        export const then = (resolve) => resolve(createRequire(programFolder() + "/")(${JSON.stringify(path)}));`,
      resolveDir: join(import.meta.dirname, ".."),
    }));
  },
};

/**
 * A snapshot would keep what pino notes as it is loaded: machine, process and time, of who made the snapshot. Our loggers say none of
 * them, and take the time as they write.
 */
const noMakersMark: Plugin = {
  name: "no-makers-mark",
  setup: (bundle) =>
    bundle.onLoad({ filter: /[/]pino[/](?:pino|lib[/]time)[.]js$/ }, async ({ path }) => ({
      contents: (await readFile(path, "utf8"))
        .replace("base: { pid, hostname }", "base: {}")
        .replace("= os.hostname()", '= ""')
        .replace("= BigInt(Date.now())", "= 0n")
        .replace("= process.hrtime.bigint()", "= 0n"),
    })),
};

const PLUGINS: readonly Plugin[] = [tracesApart, lessOfClientNode, ownModulesAsRequired, metricsAsUsed];

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

/** Programs by their file, and what stays outside of each: the agent runs in clusters only and never reads a kubeconfig. */
const entries: readonly { entry: string; out: string; external: string[]; plugins?: Plugin[] }[] = [
  { entry: "src/agent.ts", out: "dist/agent.mjs", external: ["*/kubeconfig.ts"], plugins: [noDescriptions] },
  { entry: "src/operator.ts", out: "dist/operator.mjs", external: ["*/kubeconfig.ts"], plugins: [noDescriptions] },
  { entry: "src/telemetry/otlp.ts", out: "dist/otlp.mjs", external: [] },
  { entry: "src/cli.ts", out: "dist/kubectl-quorate.mjs", external: [] },
  { entry: "hack/writer/writer.ts", out: "dist/writer.mjs", external: ["pg-native"] },
];

/** Of what the agent's snapshot is made: a script, because no snapshot is made of a module. */
const ofSnapshot: BuildOptions = {
  ...base,
  entryPoints: ["src/agent-snapshot.ts"],
  external: ["*/kubeconfig.ts"],
  format: "cjs",
  banner: {},
  sourcemap: false,
  logOverride: { "empty-import-meta": "silent" },
  plugins: [noDescriptions, tracesRequired, noMakersMark, lessOfClientNode, ownModulesAsRequired, metricsAsUsed],
};

/** How each program is bundled, by its file. */
export const PROGRAMS: ReadonlyMap<string, BuildOptions> = new Map([
  ...entries.map(({ entry, out, external, plugins = [] }): [string, BuildOptions] => [
    out,
    { ...base, entryPoints: [entry], outfile: out, external, plugins: [...plugins, ...PLUGINS] },
  ]),
  ["dist/agent.cjs", { ...ofSnapshot, outfile: "dist/agent.cjs" }],
]);
