/** Redis as this host has it: Debian's package of the server brings nothing but a link to this program. */
import { existsSync } from "node:fs";

/** Programs that the Engine's image has, name to file. */
export const REDIS_PROGRAMS = {
  "redis-server": "/usr/bin/redis-check-rdb",
  "redis-cli": "/usr/bin/redis-cli",
} as const;

/** Whether this host has them; without them these tests cannot run. */
export const hasRedis = Object.values(REDIS_PROGRAMS).every((file) => existsSync(file));

/**
 * A client like REDIS_PROGRAMS' that meets the worst moment: while a server still loads its data it asks for INFO again and again, and
 * gives the first answer that is of after that, which may be of before the server has come round to who its leader is.
 */
export const INSISTENT_CLIENT = `#!/bin/bash
real=${REDIS_PROGRAMS["redis-cli"]}
[[ " $* " == *' -s '*' info '* ]] || exec "$real" "$@"
"$real" -r 100000 "$@" 2>/dev/null | awk '
  /^# Server/ { text = "" }
  { text = text $0 "\\n" }
  /^loading:/ { loaded = /:0/ }
  /^repl_backlog_histlen:/ && loaded { printf "%s", text; exit }
'
`;
