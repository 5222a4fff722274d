/** What the agent is told at its start: environment variables and files of its pod. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { CREDENTIALS_DIR, DATA_DIR, ENGINE_DIR, HEALTH_PORT, PEER_DIR, PEER_PORT, STATE_DIR } from "../api/names.ts";
import { EngineSpec } from "../api/engine.ts";

const port = z.coerce.number().int().min(1).max(65535);

/** Environment of the agent. Only the first group is set in a pod; the rest has its place there and moves in tests on a host. */
const Environment = z.object({
  QUORATE_NAMESPACE: z.string(),
  QUORATE_CLUSTER: z.string(),
  QUORATE_MEMBER: z.string(),
  QUORATE_POD: z.string(),
  QUORATE_POD_UID: z.string(),
  QUORATE_POD_IP: z.string(),
  QUORATE_NODE: z.string().default(""),
  QUORATE_MEMORY_BYTES: z
    .string()
    .regex(/^[0-9]+$/)
    .default("536870912"),

  QUORATE_DATA_DIR: z.string().default(DATA_DIR),
  QUORATE_STATE_DIR: z.string().default(STATE_DIR),
  QUORATE_ENGINE_DIR: z.string().default(ENGINE_DIR),
  QUORATE_PEER_DIR: z.string().default(PEER_DIR),
  QUORATE_CREDENTIALS_DIR: z.string().default(CREDENTIALS_DIR),
  QUORATE_RUN_DIR: z.string().default("/run"),
  QUORATE_PEER_PORT: port.default(PEER_PORT),
  QUORATE_HEALTH_PORT: port.default(HEALTH_PORT),
  QUORATE_LISTEN_HOST: z.string().optional(),
  QUORATE_LOG_LEVEL: z.enum(["debug", "info", "warn", "error"]).default("info"),
});

/** The agent's settings. */
export type AgentSettings = z.infer<typeof Environment>;

/** Reads the environment. @throws {Error} that names the variable. */
export function readSettings(env: NodeJS.ProcessEnv): AgentSettings {
  const parsed = Environment.safeParse(env);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new Error(`environment variable ${issue?.path.join(".") ?? ""}: ${issue?.message ?? "invalid"}`);
}

/** Reads the Engine that the operator resolved for this cluster. @throws {Error} that names the field. */
export async function readEngine(folder: string): Promise<EngineSpec> {
  const parsed = EngineSpec.safeParse(JSON.parse(await readFile(join(folder, "engine.json"), "utf8")));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new Error(`engine.json, field ${issue?.path.join(".") ?? ""}: ${issue?.message ?? "invalid"}`);
}
