// Agents as bundles of their own: of another version, of an earlier commit, and such as do not work.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { build, type Plugin } from "esbuild";
import { PROGRAMS } from "../../hack/programs.ts";
import { type AgentBundle, NODE_MAJOR, packBundle, readBundle } from "../../src/agent-bundle.ts";
import { nameOf } from "../../src/api/names.ts";
import type { KubeObject } from "../../src/kube/object.ts";
import type { MemberCluster } from "./harness.ts";

const ROOT = join(import.meta.dirname, "../..");
const PARTS = ["agent.mjs", "otlp.mjs"] as const;

/** Makes the sources say that they are of this version. */
function ofVersion(version: string): Plugin {
  return {
    name: "of-version",
    setup: (bundle) =>
      bundle.onLoad({ filter: /src[/]version[.]ts$/ }, async ({ path }) => {
        const text = await readFile(path, "utf8");
        return { contents: text.replace(/VERSION = "[^"]*"/, `VERSION = "${version}"`), loader: "ts" };
      }),
  };
}

/** Today's agent, which says that it is of another version. */
export async function bundleOfVersion(version: string): Promise<AgentBundle> {
  const folder = await mkdtemp(join(tmpdir(), "quorate-bundle-"));
  try {
    for (const name of PARTS) {
      const options = PROGRAMS.get(`dist/${name}`);
      const plugins = [...(options?.plugins ?? []), ofVersion(version)];
      await build({ ...options, absWorkingDir: ROOT, outfile: join(folder, name), plugins });
    }
    return await read(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** An agent that consists of this program. */
export async function bundleOfProgram(program: string): Promise<AgentBundle> {
  const folder = await mkdtemp(join(tmpdir(), "quorate-bundle-"));
  try {
    for (const name of PARTS) await writeFile(join(folder, name), program);
    return await read(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** The agent as `make bundle` made it, which members run. */
export function bundleOfImage(): Promise<AgentBundle> {
  return read(join(ROOT, "dist"));
}

async function read(folder: string): Promise<AgentBundle> {
  const bundle = await readBundle(folder);
  if (bundle === undefined) throw new Error(`no agent in ${folder}: run "make bundle"`);
  return bundle;
}

/**
 * The agent of an earlier commit, built with today's packages and kept for the next run.
 * @returns its program; undefined where the history does not reach back so far.
 */
export async function programOfCommit(commit: string): Promise<string | undefined> {
  const kept = join(homedir(), ".cache/quorate/agents", commit);
  const program = join(kept, "agent.mjs");
  if (existsSync(program)) return program;
  if (spawnSync("git", ["cat-file", "-e", `${commit}^{commit}`], { cwd: ROOT }).status !== 0) return undefined;
  const folder = await mkdtemp(join(tmpdir(), "quorate-commit-"));
  try {
    execFileSync(
      "sh",
      ["-c", 'git archive "$1" src package.json tsconfig.json | tar -x -C "$2"', "sh", commit, folder],
      {
        cwd: ROOT,
      },
    );
    await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"));
    const options = { ...PROGRAMS.get("dist/agent.mjs"), absWorkingDir: folder, sourcemap: false };
    await build({ ...options, entryPoints: ["src/agent.ts"], outfile: "built/agent.mjs" });
    await mkdir(join(kept, ".."), { recursive: true });
    await rm(kept, { recursive: true, force: true });
    await rename(join(folder, "built"), kept);
    return program;
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Offers an agent to a member as the operator would. */
export async function offerBundle(cluster: MemberCluster, bundle: AgentBundle, member: string): Promise<void> {
  const offer: KubeObject & { readonly binaryData: Readonly<Record<string, string>> } = {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: nameOf.agentOffer("orders"), namespace: "default" },
    binaryData: await packBundle(bundle),
  };
  await cluster.api.apply(offer, { fieldManager: "test", force: true });
  await cluster.want({ agent: { hash: bundle.hash, nodeMajor: NODE_MAJOR, member } });
}
