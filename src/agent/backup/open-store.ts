/** Opens the store that the intent names, with the keys that the kubelet mounted into the pod. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { IntentStore } from "../../api/agent-wire.ts";
import { STORE_KEYS } from "../../api/backup.ts";
import { Catalogue } from "./catalogue.ts";
import { s3Store } from "./s3-store.ts";

/**
 * The backups of the store. Keys are read for each request, so that those that were replaced are used.
 *
 * @param folder - Where the Secret with the keys is mounted.
 * @throws {Error} that names the Secret and the key that it lacks.
 */
export async function openStore(store: IntentStore, folder: string): Promise<Catalogue> {
  const { endpoint, bucket, region, prefix, secretName } = store;
  const optional = async (key: string): Promise<string | undefined> => {
    try {
      return (await readFile(join(folder, key), "utf8")).trim();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  };
  const needed = async (key: string): Promise<string> => {
    const value = await optional(key);
    if (value === undefined || value === "")
      throw new Error(`Secret ${secretName}, which spec.backup.s3.secretName names, has no key ${key} here yet`);
    return value;
  };
  const credentials = async () => {
    const sessionToken = await optional(STORE_KEYS.sessionToken);
    return {
      accessKeyId: await needed(STORE_KEYS.accessKeyId),
      secretAccessKey: await needed(STORE_KEYS.secretAccessKey),
      ...(sessionToken === undefined ? {} : { sessionToken }),
    };
  };
  await credentials();
  const ca = await optional(STORE_KEYS.authority);
  return new Catalogue(s3Store({ endpoint, bucket, region, credentials, ...(ca === undefined ? {} : { ca }) }), prefix);
}
