/** A memory cgroup with a limit, as a container has: runtimes size their heaps by it. */
import { existsSync } from "node:fs";
import { mkdir, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

const NAME = "quorate-bench";

/** A group that the processes whose ids are written to `procsFile` belong to. */
export interface MemoryGroup {
  readonly procsFile: string;
  /** Once no process is left in it. */
  remove(): Promise<void>;
}

/** Makes the group. Root; knows both versions of cgroups, the first by its own mount. */
export async function memoryGroup(limitBytes: number): Promise<MemoryGroup> {
  const first = "/sys/fs/cgroup/memory";
  const isFirst = existsSync(join(first, "memory.limit_in_bytes"));
  const root = isFirst ? first : "/sys/fs/cgroup";
  if (!isFirst) await writeFile(join(root, "cgroup.subtree_control"), "+memory");
  const folder = join(root, NAME);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, isFirst ? "memory.limit_in_bytes" : "memory.max"), String(limitBytes));
  return { procsFile: join(folder, "cgroup.procs"), remove: () => rmdir(folder) };
}
