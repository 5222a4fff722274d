/** Tries an Engine against the contract, check after check, each with members of its own. */
import { randomBytes } from "node:crypto";
import { ActionError } from "../agent/engine/driver.ts";
import { type Check, Finding } from "./check.ts";
import { HostCluster, type HostSoftware } from "./host-cluster.ts";
import { StartError } from "./host-member.ts";
import { LEASE_CHECKS, problemOf } from "./lease-checks.ts";
import { claimPorts } from "./ports.ts";

/** How a check ended; without `problem` the Engine keeps the rule. */
export interface CheckResult {
  readonly name: string;
  readonly rule: string;
  readonly problem?: string;
  /** The end of what the members' engines printed, when there is a problem. */
  readonly logs?: readonly string[];
}

const MEMBERS = 3;
const LOG_LINES = 8;

/** A password for every account, of the letters that generated ones have. */
export function testPasswords(accounts: readonly { readonly name: string }[]): Readonly<Record<string, string>> {
  return Object.fromEntries(accounts.map(({ name }) => [name, randomBytes(24).toString("base64url")]));
}

/** Names of all checks. */
export const CHECK_NAMES: readonly string[] = LEASE_CHECKS.map(({ name }) => name);

/**
 * Runs the checks one after the other, with the engine's programs on this host.
 *
 * @param only - Names of checks; all when empty.
 * @throws {Error} when the Engine cannot be tried here at all.
 */
export async function* tryEngine(software: HostSoftware, only: readonly string[]): AsyncGenerator<CheckResult> {
  const problem = problemOf(software.spec);
  if (problem !== undefined) throw new Error(problem);
  for (const check of LEASE_CHECKS) if (only.length === 0 || only.includes(check.name)) yield tryCheck(check, software);
}

async function tryCheck(check: Check, software: HostSoftware): Promise<CheckResult> {
  const { name, rule } = check;
  const cluster = new HostCluster(await claimPorts(MEMBERS), software);
  try {
    const [a, b, c] = [cluster.member(0), cluster.member(1), cluster.member(2)];
    const waits = software.spec.durabilityModes.some((mode) => mode !== "Async");
    if (check.unformed !== true) await cluster.form(waits ? 1 : 0);
    await check.run({ cluster, spec: software.spec, a, b, c });
    return { name, rule };
  } catch (error) {
    if (!(error instanceof Finding) && !(error instanceof ActionError) && !(error instanceof StartError)) throw error;
    const logs = cluster.members.flatMap((member) => lastLines(member.name, member.log));
    return { name, rule, problem: error.message, logs };
  } finally {
    await cluster.close();
  }
}

function lastLines(name: string, log: string): string[] {
  return log
    .trimEnd()
    .split("\n")
    .slice(-LOG_LINES)
    .flatMap((line) => (line === "" ? [] : [`${name}: ${line}`]));
}
