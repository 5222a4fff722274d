/** MariaDB with Galera as hack/host-mariadb brings it to this host. */
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

const SCRIPTS = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "quorate/mariadb");

/** Programs that the Engine's image has and that are not in this host's path, name to file. */
export const MARIADB_PROGRAMS = {
  wsrep_sst_common: join(SCRIPTS, "wsrep_sst_common"),
  wsrep_sst_mariabackup: join(SCRIPTS, "wsrep_sst_mariabackup"),
} as const;

/** Whether this host has them; without them these tests cannot run. */
export const hasMariadb = [...Object.values(MARIADB_PROGRAMS), "/usr/sbin/mariadbd", "/usr/bin/mariadb-backup"].every(
  (file) => existsSync(file),
);
