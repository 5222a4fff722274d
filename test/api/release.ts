// Operators as programs, with what is installed beside them: today's, and those of earlier commits.
import { execFileSync, spawn, spawnSync, type ChildProcess } from "node:child_process";
import { existsSync, openSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rename, rm, symlink } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { PROGRAMS } from "../../hack/programs.ts";
import { claimPorts } from "../../src/conformance/ports.ts";

const ROOT = join(import.meta.dirname, "../..");
/** What an operator is built of, and what is applied before it starts. */
const KEPT = ["src", "crds", "deploy", "engines", "examples", "package.json", "tsconfig.json"];

/** One version of quorate. */
export interface Release {
  readonly name: string;
  /** Where crds, deploy, engines and examples of that version are. */
  readonly folder: string;
  readonly program: string;
}

/** Today's, built into `folder`. */
export async function releaseOfToday(folder: string): Promise<Release> {
  const program = join(folder, "operator.mjs");
  await bundle(ROOT, program);
  return { name: "today's", folder: ROOT, program };
}

/**
 * That of an earlier commit, built with today's packages and kept for the next run.
 * @returns undefined where the history does not reach back so far.
 */
export async function releaseOfCommit(commit: string): Promise<Release | undefined> {
  const kept = join(homedir(), ".cache/quorate/releases", commit);
  const release = { name: commit, folder: kept, program: join(kept, "dist/operator.mjs") };
  if (existsSync(release.program)) return release;
  if (spawnSync("git", ["cat-file", "-e", `${commit}^{commit}`], { cwd: ROOT }).status !== 0) return undefined;
  const folder = await mkdtemp(join(tmpdir(), "quorate-release-"));
  try {
    const extract = 'git archive "$1" $3 | tar -x -C "$2"';
    execFileSync("sh", ["-c", extract, "sh", commit, folder, KEPT.join(" ")], { cwd: ROOT });
    await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"));
    await bundle(folder, join(folder, "dist/operator.mjs"));
    await rm(join(folder, "node_modules"));
    await mkdir(join(kept, ".."), { recursive: true });
    await rm(kept, { recursive: true, force: true });
    await rename(folder, kept);
    return release;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function bundle(sources: string, outfile: string): Promise<void> {
  // With the reader of a kubeconfig, which the one in an image needs not.
  const options = { ...PROGRAMS.get("dist/operator.mjs"), absWorkingDir: sources, sourcemap: false, external: [] };
  await build({ ...options, entryPoints: ["src/operator.ts"], outfile });
}

/** An operator that runs as a process of this host. */
export class RunningOperator {
  readonly release: Release;
  readonly #process: ChildProcess;
  readonly #logFile: string;

  private constructor(release: Release, process: ChildProcess, logFile: string) {
    this.release = release;
    this.#process = process;
    this.#logFile = logFile;
  }

  /** @param namespace - Of its own Lease, for which replicas contend. @param logFile - Where it writes what it says. */
  static async start(
    release: Release,
    { kubeconfig, namespace, logFile }: Readonly<Record<"kubeconfig" | "namespace" | "logFile", string>>,
  ): Promise<RunningOperator> {
    const [port = 0] = await claimPorts(1);
    const log = openSync(logFile, "a");
    const env = {
      PATH: process.env["PATH"],
      KUBECONFIG: kubeconfig,
      QUORATE_OPERATOR_NAMESPACE: namespace,
      QUORATE_HEALTH_PORT: String(port),
      QUORATE_AGENT_IMAGE: `quorate/agent:${release.name}`,
    };
    const child = spawn(process.execPath, [release.program], { env, stdio: ["ignore", log, log] });
    return new RunningOperator(release, child, logFile);
  }

  get isRunning(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** What it said so far that is no news: warnings but of watches, which end when CRDs change, errors, and what is no line of its log at all. */
  async complaints(): Promise<readonly string[]> {
    const lines = (await readFile(this.#logFile, "utf8")).split("\n");
    const isNews = /^$|^\{"level":"info"|^\{"level":"warn".*"message":"Watch is opened again"\}$/;
    return lines.filter((line) => !isNews.test(line));
  }

  /** Whether this replica leads, as it says. */
  async leads(): Promise<boolean> {
    return (await readFile(this.#logFile, "utf8")).includes("This replica leads");
  }

  /** SIGTERM, as a Deployment ends it. @returns its exit code. */
  async stop(): Promise<number | null> {
    if (!this.isRunning) return this.#process.exitCode;
    const ended = new Promise<number | null>((resolve) => this.#process.once("exit", resolve));
    this.#process.kill("SIGTERM");
    return ended;
  }
}
