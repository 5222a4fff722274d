import { expect, test } from "vitest";
import type { MemberView } from "../../../src/plan/observation.ts";
import { agentVerdict } from "../../../src/status/agents.ts";
import { running } from "../plan/running.ts";

/** Members of a running cluster whose agents say that they are of these versions. */
function members(...versions: readonly string[]): readonly MemberView[] {
  const seen = running(versions.length).observe().members;
  return seen.map((member, at) => {
    const { pod } = member;
    if (pod?.report === undefined) throw new Error(`${member.name} does not run`);
    return { ...member, pod: { ...pod, report: { ...pod.report, agentVersion: versions[at] ?? "" } } };
  });
}

test.each([
  { why: "of the operator's version", versions: ["1.4.2", "1.4.2"] },
  { why: "newer, because the operator went back", versions: ["1.5.0", "1.4.3"] },
  { why: "of no version that could be told", versions: ["", "dev"] },
])("nothing is said of agents that are $why", ({ versions }) => {
  expect(agentVerdict(members(...versions), "1.4.2")).toBeUndefined();
});

test.each([
  { versions: ["1.4.2", "1.4.1"], reason: "Behind", says: "orders-1 1.4.1" },
  { versions: ["1.2.0", "1.3.9"], reason: "Behind", says: "orders-0 1.2.0, orders-1 1.3.9" },
  { versions: ["1.1.9", "1.4.2"], reason: "Unsupported", says: "orders-0 1.1.9" },
  { versions: ["0.9.0", "1.4.2"], reason: "Unsupported", says: "orders-0 0.9.0" },
])("$versions beside an operator 1.4.2: $reason", ({ versions, reason, says }) => {
  const verdict = agentVerdict(members(...versions), "1.4.2");
  expect(verdict).toMatchObject({ type: "AgentOutdated", status: "True", reason });
  expect(verdict?.message).toContain(`older than this operator, 1.4.2: ${says}.`);
});
