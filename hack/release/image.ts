/** Images as `docker load`, `podman load` and `ctr images import` take them. */
import { readdir, readFile, realpath, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { packNew } from "./archive.ts";

const MANIFEST = "manifest.json";

/** Packs an image that is a folder, as hack/lab builds it, under another name: `reference`, with its registry and tag. */
export async function packImage(image: string, reference: string, file: string): Promise<void> {
  const folder = await realpath(image);
  const names = await readdir(folder);
  const [manifest] = JSON.parse(await readFile(join(folder, MANIFEST), "utf8")) as [object];
  await packNew(file, async (renamed) => {
    for (const name of names) if (name !== MANIFEST) await symlink(join(folder, name), join(renamed, name));
    await writeFile(join(renamed, MANIFEST), JSON.stringify([{ ...manifest, RepoTags: [reference] }]));
  });
}
