/** Redis as this host has it: Debian's package of the server brings nothing but a link to this program. */
import { existsSync } from "node:fs";

/** Programs that the Engine's image has, name to file. */
export const REDIS_PROGRAMS = {
  "redis-server": "/usr/bin/redis-check-rdb",
  "redis-cli": "/usr/bin/redis-cli",
} as const;

/** Whether this host has them; without them these tests cannot run. */
export const hasRedis = Object.values(REDIS_PROGRAMS).every((file) => existsSync(file));
