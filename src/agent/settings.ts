/** What the agent is told at its start: environment variables and files of its pod. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import {
  nameOf,
  CREDENTIALS_DIR,
  DATA_DIR,
  ENGINE_DIR,
  HEALTH_PORT,
  PARAMETER_PREFIX,
  PEER_DIR,
  PEER_PORT,
  STATE_DIR,
  STORE_DIR,
} from "../api/names.ts";
import { EngineSpec } from "../api/engine.ts";
import type { ActionContext } from "./engine/context.ts";

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
  QUORATE_STORE_DIR: z.string().default(STORE_DIR),
  QUORATE_RUN_DIR: z.string().default("/run"),
  /** Port of the engine, when not the one the Engine declares. */
  QUORATE_PORT: z.string().optional(),
  /** Port of the engine for clients with TLS, when not the one the Engine declares. */
  QUORATE_TLS_PORT: z.string().optional(),
  QUORATE_PEER_PORT: port.default(PEER_PORT),
  QUORATE_HEALTH_PORT: port.default(HEALTH_PORT),
  QUORATE_LISTEN_HOST: z.string().optional(),
  QUORATE_LOG_LEVEL: z.enum(["debug", "info", "warn", "error"]).default("info"),
});

/** The agent's settings. */
export type AgentSettings = z.infer<typeof Environment> & {
  /** Parameters of the engine that came with the pod: those that take effect at a start only. */
  readonly restartParameters: Readonly<Record<string, string>>;
};

/** Reads the environment. @throws {Error} that names the variable. */
export function readSettings(env: NodeJS.ProcessEnv): AgentSettings {
  const parsed = Environment.safeParse(env);
  if (parsed.success) return { ...parsed.data, restartParameters: readRestartParameters(env) };
  const [issue] = parsed.error.issues;
  throw new Error(`environment variable ${issue?.path.join(".") ?? ""}: ${issue?.message ?? "invalid"}`);
}

/** The parameters that the pod's template carries, a variable each. */
export function readRestartParameters(env: NodeJS.ProcessEnv): Record<string, string> {
  const named = Object.entries(env).filter(([name]) => name.startsWith(PARAMETER_PREFIX));
  return Object.fromEntries(named.map(([name, value = ""]) => [name.slice(PARAMETER_PREFIX.length), value]));
}

/** Reads the Engine that the operator resolved for this cluster. @throws {Error} that names the field. */
export async function readEngine(folder: string): Promise<EngineSpec> {
  const parsed = EngineSpec.safeParse(JSON.parse(await readFile(join(folder, "engine.json"), "utf8")));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new Error(`engine.json, field ${issue?.path.join(".") ?? ""}: ${issue?.message ?? "invalid"}`);
}

/** The context of engine actions that never changes while the agent lives, and empty values for what changes. */
export function actionContext(settings: AgentSettings, engine: EngineSpec): ActionContext {
  const { QUORATE_NAMESPACE: namespace, QUORATE_CLUSTER: cluster, QUORATE_MEMBER: member } = settings;
  return {
    QUORATE_NAMESPACE: namespace,
    QUORATE_CLUSTER: cluster,
    QUORATE_MEMBER: member,
    QUORATE_OWN_HOST: nameOf.host(cluster, namespace, member),
    QUORATE_PORT: settings.QUORATE_PORT ?? String(engine.port),
    QUORATE_TLS_PORT: settings.QUORATE_TLS_PORT ?? String(engine.tlsPort ?? ""),
    QUORATE_DATA_DIR: settings.QUORATE_DATA_DIR,
    QUORATE_ENGINE_DIR: settings.QUORATE_ENGINE_DIR,
    QUORATE_CREDENTIALS_DIR: settings.QUORATE_CREDENTIALS_DIR,
    QUORATE_RUN_DIR: settings.QUORATE_RUN_DIR,
    QUORATE_MEMORY_BYTES: settings.QUORATE_MEMORY_BYTES,
    QUORATE_PARAMETERS_FILE: parametersFile(settings),
    QUORATE_ACCOUNTS_FILE: accountsFile(settings),
    QUORATE_EPOCH: "0",
    QUORATE_LEADER: "",
    QUORATE_LEADER_HOST: "",
    QUORATE_LEADER_PORT: "",
    QUORATE_LEADER_HISTORY: "",
    QUORATE_LEADER_ANCESTORS: "",
    QUORATE_SYNC_NAMES: "",
    QUORATE_SYNC_ACK: "0",
    QUORATE_MEMBERS: "",
    QUORATE_UPDATE_ID: "",
    QUORATE_FROM_VERSION: "",
    QUORATE_FROM_REVISION: "",
    QUORATE_TO_VERSION: "",
    QUORATE_TO_REVISION: "",
    QUORATE_CONSENT: "false",
    QUORATE_MEMBER_PORT: String(engine.memberPort ?? engine.port),
    QUORATE_PEER_DIR: settings.QUORATE_PEER_DIR,
    QUORATE_GROUP: "",
    QUORATE_FOUND: "false",
    QUORATE_SHARD_PEERS: "",
    QUORATE_SLOTS: "",
    QUORATE_TARGET: "",
    QUORATE_TARGET_ID: "",
    QUORATE_TARGET_HOST: "",
    QUORATE_TARGET_PORT: "",
  };
}

/** File that the engine's action makeAccounts reads. */
export function accountsFile(settings: AgentSettings): string {
  return join(settings.QUORATE_RUN_DIR, "accounts");
}

/** File that engine actions read parameters from. */
export function parametersFile(settings: AgentSettings): string {
  return join(settings.QUORATE_RUN_DIR, "parameters");
}
