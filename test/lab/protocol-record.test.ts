/** Agents in the lab write down every step of the protocol, under faults that need a network of their own: each step is one of the model's. */
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { applyExample, removeNamespace } from "../../hack/scenario/example.ts";
import { type Fault, inject } from "../../hack/scenario/faults.ts";
import { installOperator } from "../../hack/scenario/install.ts";
import { lab, podProcesses } from "../../hack/scenario/lab.ts";
import { pause, run } from "../../hack/scenario/shell.ts";
import { podsBySelector, quorateSubject } from "../../hack/scenario/subject.ts";
import { WriterRun } from "../../hack/scenario/writer-run.ts";
import { problemsOf, readRecord } from "../members/protocol-record.ts";
import { recordingForms } from "../members/recording-agent.ts";

const NAMESPACE = "recorded";
const SUBJECT = quorateSubject(NAMESPACE, "orders");
const DIST = join(import.meta.dirname, "../../dist");
const HEALTHY_MS = 240_000;
/** A pod's record ends with the pod: no fault here deletes one. */
const FAULTS: readonly Fault[] = [
  "engine-kill",
  "switchover",
  "agent-pause",
  "node-cut",
  "cut-out",
  "container-kill",
  "cut-peers",
];

beforeAll(async () => {
  await recordingForms(DIST);
  await lab("images", "agent");
  await lab("up");
  await installOperator();
  await applyExample({ namespace: NAMESPACE, cluster: "orders", members: 3, profile: "Fast" });
  await SUBJECT.untilHealthy(HEALTHY_MS);
});
afterAll(async () => {
  await removeNamespace(NAMESPACE);
  await run([process.execPath, join(DIST, "../hack/bundle.ts"), "agent"]);
  await lab("images", "agent");
});

test("every step of real agents is one of the model, and all around them keeps the model's terms", async () => {
  const writer = new WriterRun({ ...SUBJECT.writer, name: "writer", seconds: 0 });
  await writer.start();
  for (const fault of FAULTS) {
    await pause(3000);
    const injected = await inject(fault, SUBJECT);
    process.stdout.write(`  ${injected.description}\n`);
    await pause(9000);
    await injected.heal().catch(() => undefined); // it ended otherwise
    await pause(2000);
    await SUBJECT.untilHealthy(HEALTHY_MS);
  }
  expect(await writer.finish()).toMatchObject({ lost: 0, unexpected: 0, outOfOrder: 0 });
  const agents = [];
  for (const { pod, member } of await podsBySelector(NAMESPACE, "quorate.io/member")) {
    const agent = (await podProcesses(NAMESPACE, pod)).find((process) => SUBJECT.isAgent(process));
    agents.push({ member, pid: String(agent?.pid ?? 0) });
  }
  // All at one moment: what is sent after its sender was read would look as if nobody had sent it.
  await lab("pause", ...agents.map(({ pid }) => pid));
  const records = await Promise.all(
    agents.map(({ member, pid }) => readRecord(member, `/proc/${pid}/root/run/protocol`)),
  );
  const steps = records.flatMap((record) => record.steps);
  process.stdout.write(`  ${steps.length} steps of ${records.length} members\n`);
  expect(steps.length).toBeGreaterThan(500);
  expect(problemsOf(records)).toEqual([]);
});
