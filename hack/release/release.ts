/**
 * Packs what a release consists of into dist/release: images as archives for `docker load`, chart, CRDs, the plugin with its manifest
 * for krew, the list of what it is made of, and the checksums of all that. `make release` builds the parts first.
 *
 * RELEASE_URL is where the files will be found, for the manifest of krew.
 */
import { execFileSync } from "node:child_process";
import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { dump } from "js-yaml";
import { packFolder, sha256Of } from "./archive.ts";
import { krewManifest, PLUGIN_PROGRAM } from "./krew.ts";

const ROOT = join(import.meta.dirname, "../..");
const RELEASE = join(ROOT, "dist/release");
const CACHE = process.env["QUORATE_CACHE"] ?? join(homedir(), ".cache/quorate");
const IMAGES = ["operator", "agent"];

async function packPlugin(version: string, url: string): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "quorate-plugin-"));
  try {
    await copyFile(join(ROOT, "dist", PLUGIN_PROGRAM), join(folder, PLUGIN_PROGRAM));
    await chmod(join(folder, PLUGIN_PROGRAM), 0o755);
    await copyFile(join(ROOT, "LICENSE"), join(folder, "LICENSE"));
    const name = `kubectl-quorate-${version}.tar.gz`;
    await packFolder(folder, join(RELEASE, name));
    const sha256 = await sha256Of(join(RELEASE, name));
    const manifest = krewManifest({ version, url: `${url}/${name}`, sha256 });
    await writeFile(join(RELEASE, "quorate.krew.yaml"), dump(manifest, { lineWidth: -1, noRefs: true }));
  } finally {
    await rm(folder, { recursive: true });
  }
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

const { version } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8")) as { readonly version: string };
const url = process.env["RELEASE_URL"];
if (url === undefined || !URL.canParse(url)) {
  throw new Error(
    "RELEASE_URL is not set: the address of the folder from which the files of this release are downloaded",
  );
}
await rm(RELEASE, { recursive: true, force: true });
await mkdir(RELEASE, { recursive: true });
for (const image of IMAGES) await packFolder(join(CACHE, "images", image), join(RELEASE, `${image}-${version}.tar.gz`));
execFileSync(join(CACHE, "bin/helm-v3.22.0"), ["package", join(ROOT, "charts/quorate"), "--destination", RELEASE]);
await copyFile(join(ROOT, "dist/sbom.cdx.json"), join(RELEASE, "sbom.cdx.json"));
await packCrds();
await packPlugin(version, url.replace(/\/+$/, ""));
await writeSums();
process.stdout.write(`${(await readdir(RELEASE)).join("\n")}\n`);
