/** A memory cgroup with a limit, as a container has one or none: runtimes size their heaps by it. */
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

/** Makes the group, of which there is one by each name; undefined: without a limit. Root; knows both versions of cgroups, the first by its own mount. */
export async function memoryGroup(limitBytes: number | undefined, name = NAME): Promise<MemoryGroup> {
  const first = "/sys/fs/cgroup/memory";
  const isFirst = existsSync(join(first, "memory.limit_in_bytes"));
  const root = isFirst ? first : "/sys/fs/cgroup";
  if (!isFirst) await writeFile(join(root, "cgroup.subtree_control"), "+memory");
  const folder = join(root, name);
  await mkdir(folder, { recursive: true });
  const limit = isFirst ? { file: "memory.limit_in_bytes", none: "-1" } : { file: "memory.max", none: "max" };
  await writeFile(join(folder, limit.file), limitBytes === undefined ? limit.none : String(limitBytes));
  return { procsFile: join(folder, "cgroup.procs"), remove: () => rmdir(folder) };
}
