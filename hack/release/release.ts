/**
 * Packs what a release consists of into dist/release: images as archives for `docker load`, chart, CRDs, kustomize's overlays, the plugin
 * with its manifest for krew, lists of what images and plugin are made of, and the checksums of all that. `make release` builds the parts first.
 *
 * RELEASE_URL is where the files will be found, for the manifest of krew.
 */
import { execFileSync } from "node:child_process";
import { chmod, copyFile, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { dump } from "js-yaml";
import { VERSION } from "../../src/version.ts";
import { packNew, sha256Of } from "./archive.ts";
import { checkBase } from "./base.ts";
import { packImage } from "./image.ts";
import { installationOf } from "./installation.ts";
import { krewManifest, PLUGIN_PROGRAM } from "./krew.ts";

const ROOT = join(import.meta.dirname, "../..");
const RELEASE = join(ROOT, "dist/release");
const SBOMS = join(ROOT, "dist/sbom");
const CACHE = process.env["QUORATE_CACHE"] ?? join(homedir(), ".cache/quorate");
const IMAGES = ["operator", "agent"];

/** The lab's images, which run as `dev`, under the version that chart, manifests and operator ask for. */
async function packImages(): Promise<void> {
  for (const image of IMAGES) {
    const reference = `docker.io/quorate/${image}:${VERSION}`;
    await packImage(join(CACHE, "images", image), reference, join(RELEASE, `${image}-${VERSION}.tar.gz`));
  }
}

/**
 * Helm judges the chart and leaves out what is no part of it; its own archive would differ by the time at which it was made. It reads
 * no chart whose files' names begin with `./`.
 */
async function packChart(): Promise<void> {
  const name = `quorate-${VERSION}.tgz`;
  const unpack = async (folder: string): Promise<void> => {
    execFileSync(join(CACHE, "bin/helm-v3.22.0"), ["package", join(ROOT, "charts/quorate"), "--destination", folder]);
    execFileSync("tar", ["-C", folder, "-xzf", join(folder, name)]);
    await rm(join(folder, name));
  };
  await packNew(join(RELEASE, name), unpack, "quorate");
}

async function packPlugin(url: string): Promise<void> {
  const name = `kubectl-quorate-${VERSION}.tar.gz`;
  await packNew(join(RELEASE, name), async (folder) => {
    await copyFile(join(ROOT, "dist", PLUGIN_PROGRAM), join(folder, PLUGIN_PROGRAM));
    await chmod(join(folder, PLUGIN_PROGRAM), 0o755);
    await copyFile(join(ROOT, "LICENSE"), join(folder, "LICENSE"));
  });
  const sha256 = await sha256Of(join(RELEASE, name));
  const manifest = krewManifest({ version: VERSION, url: `${url}/${name}`, sha256 });
  await writeFile(join(RELEASE, "quorate.krew.yaml"), dump(manifest, { lineWidth: -1, noRefs: true }));
}

async function packInstallation(): Promise<void> {
  await packNew(join(RELEASE, `quorate-deploy-${VERSION}.tar.gz`), async (folder) => {
    for (const [path, text] of installationOf(ROOT, VERSION)) {
      await mkdir(join(folder, dirname(path)), { recursive: true });
      await writeFile(join(folder, path), text);
    }
  });
}

async function packCrds(): Promise<void> {
  const folder = join(ROOT, "crds");
  const names = (await readdir(folder)).filter((name) => name.endsWith(".yaml")).toSorted();
  const texts = await Promise.all(names.map((name) => readFile(join(folder, name), "utf8")));
  await writeFile(join(RELEASE, "crds.yaml"), texts.join("---\n"));
}

/** A line for each file, as `sha256sum --check` reads them. */
async function writeSums(): Promise<void> {
  const names = (await readdir(RELEASE)).toSorted();
  const lines = await Promise.all(names.map(async (name) => `${await sha256Of(join(RELEASE, name))}  ${name}\n`));
  await writeFile(join(RELEASE, "SHA256SUMS"), lines.join(""));
}

const url = process.env["RELEASE_URL"];
if (url === undefined || !URL.canParse(url)) {
  throw new Error(
    "RELEASE_URL is not set: the address of the folder from which the files of this release are downloaded",
  );
}
for (const image of IMAGES) await checkBase(join(ROOT, "dist/image-roots", image));
await rm(RELEASE, { recursive: true, force: true });
await mkdir(RELEASE, { recursive: true });
await packImages();
await packChart();
for (const name of await readdir(SBOMS)) await copyFile(join(SBOMS, name), join(RELEASE, name));
await packCrds();
await packInstallation();
await packPlugin(url.replace(/\/+$/, ""));
await writeSums();
process.stdout.write(`${(await readdir(RELEASE)).join("\n")}\n`);
