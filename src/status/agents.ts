/** Agents that are older than the operator. What they say to each other and to it grows by what need not be understood (api/agent-wire.ts). */
import { isOlder, parseVersion } from "../plan/agent-version.ts";
import type { MemberView } from "../plan/observation.ts";
import type { Verdict } from "./conditions.ts";

/** How many minor versions agents may be behind the operator and each other. */
const SUPPORTED_MINORS = 2;

/** What is said of agents that are older than `version`, the operator's; undefined when none is, or none says what it is. */
export function agentVerdict(members: readonly MemberView[], version: string): Verdict | undefined {
  const operator = parseVersion(version);
  if (operator === undefined) return undefined;
  const outdated = members.flatMap(({ name, pod }) => {
    const text = pod?.report?.agentVersion ?? "";
    const agent = parseVersion(text);
    return agent === undefined || !isOlder(agent, operator) ? [] : { name, text, agent };
  });
  if (outdated.length === 0) return undefined;
  const list = outdated.map(({ name, text }) => `${name} ${text}`).join(", ");
  const message = `Agents are older than this operator, ${version}: ${list}.`;
  const isSupported = outdated.every(
    ({ agent }) => agent[0] === operator[0] && operator[1] - agent[1] <= SUPPORTED_MINORS,
  );
  const [reason, advice] = isSupported
    ? [
        "Behind",
        "They work together; the roll that PendingChange waits for replaces them, and spec.update.agents InPlace does so without one.",
      ]
    : [
        "Unsupported",
        `More than ${SUPPORTED_MINORS} minor versions apart nobody has tried them together: accept the pending change, see status.blocked.`,
      ];
  return { type: "AgentOutdated", status: "True", reason, message: `${message} ${advice}` };
}
