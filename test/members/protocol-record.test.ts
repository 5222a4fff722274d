// Real agents with real PostgreSQL write down every step of the protocol: each is one that the model takes, and what is around it keeps
// what the model takes for granted.
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { pause } from "../../hack/scenario/shell.ts";
import { CountingClient } from "./client.ts";
import { MemberCluster } from "./harness.ts";
import { type MemberRecord, problemsOf, readRecord } from "./protocol-record.ts";
import { recordingProgram } from "./recording-agent.ts";
import type { Step } from "./recording-transition.ts";

const AGENT = /^\S*node (?:--\S+ )*\S*agent\.mjs run/;
const ENGINE = /^(\S*\/)?postgres( |:)/;

let cluster: MemberCluster;
let records: readonly MemberRecord[];
let verdict: Awaited<ReturnType<CountingClient["finish"]>>;

beforeAll(async () => {
  cluster = await MemberCluster.create(3);
  const program = await recordingProgram(join(cluster.folder, "recording"));
  for (const member of cluster.members) cluster.run(member, program);
  await cluster.untilWhole();
  const client = new CountingClient(cluster);
  client.start();
  for (const fault of ["engine", "agent", "container", "switchover", "pause"] as const) {
    await pause(3000); // a leader must have stayed a while
    const leader = await cluster.untilWhole();
    const others = cluster.members.filter((member) => member !== leader);
    if (fault === "container") {
      await cluster.kill(leader);
      await pause(2000);
      cluster.run(leader, program);
    } else if (fault === "switchover") {
      await cluster.want({ switchover: { id: "move", from: leader.name, to: others[0]?.name ?? null } });
      await cluster.until("the other to lead", async () => ((await cluster.routed()) === leader ? undefined : true));
      await cluster.want({ switchover: null });
    } else if (fault === "pause") {
      // Past its deadline: quorate-init ends the engine, and then the agent that does not answer.
      for (const pid of cluster.pids(leader, AGENT)) process.kill(pid, "SIGSTOP");
      await pause(8000);
    } else {
      const [pid] = cluster.pids(leader, fault === "engine" ? ENGINE : AGENT);
      if (pid !== undefined) process.kill(pid, "SIGKILL");
    }
    await pause(2000);
    await cluster.untilWhole();
  }
  verdict = await client.finish();
  // All at one moment: what is sent after its sender was read would look as if nobody had sent it.
  for (const pid of cluster.members.flatMap((member) => cluster.pids(member, AGENT))) process.kill(pid, "SIGSTOP");
  records = await Promise.all(
    cluster.members.map(({ name }) => readRecord(name, join(cluster.folder, name, "run/protocol"))),
  );
}, 300_000);
afterAll(() => cluster.stop());

test("every step of real agents is one of the model, and all around them keeps the model's terms", () => {
  const steps = records.flatMap((record) => record.steps);
  const taken = new Set(steps.flatMap(({ made }) => made.effects.map(({ type }) => type)));
  process.stdout.write(
    `  ${steps.length} steps, ${new Set(steps.map(({ boot }) => boot)).size} processes, effects: ${[...taken].join(" ")}\n`,
  );
  for (const type of [
    "Promote",
    "Seal",
    "Follow",
    "WriteLease",
    "SendMessage",
    "Reply",
    "SetSyncSet",
    "StopEngine",
  ] as const)
    expect(taken).toContain(type);
  expect(problemsOf(records)).toEqual([]);
  expect(verdict).toMatchObject({ lost: 0, unexpected: 0, outOfOrder: 0 });
});

describe("a record that was tampered with is told", () => {
  /** The records, with one step of the first kind that `change` does not refuse made another. */
  const tampered = (change: (step: Step) => Step | readonly Step[] | undefined): MemberRecord[] => {
    let isDone = false;
    return records.map(({ member, steps }) => ({
      member,
      steps: steps.flatMap((step) => {
        const other = isDone ? undefined : change(step);
        isDone ||= other !== undefined;
        return other ?? step;
      }),
    }));
  };

  test.each<[string, RegExp, (step: Step) => Step | readonly Step[] | undefined]>([
    [
      "an effect that the protocol did not ask for",
      /the model does something else/,
      (step) =>
        step.made.effects.length > 0
          ? { ...step, made: { ...step.made, effects: step.made.effects.slice(1) } }
          : undefined,
    ],
    [
      "a state that changed between two steps",
      /begins elsewhere/,
      (step) => (step.event.type === "EngineState" ? { ...step, before: { ...step.before, intent: null } } : undefined),
    ],
    [
      "an answer that came twice",
      /nobody asked for/,
      (step) => (step.event.type === "MessageReply" ? [step, step] : undefined),
    ],
    [
      "a message that nobody sent",
      /received and not sent/,
      (step) =>
        step.event.type === "MessageReceived"
          ? { ...step, event: { ...step.event, message: { type: "Promise", epoch: 999 } } }
          : undefined,
    ],
    [
      "a second leader of an epoch",
      /lead epoch/,
      (step) => {
        const epochs = records
          .slice(1)
          .flatMap(({ steps }) =>
            steps.flatMap(({ made }) => made.effects.flatMap((one) => (one.type === "Promote" ? one.epoch : []))),
          );
        const [epoch] = epochs;
        const effect = { type: "Promote", actionId: 99_999, epoch: epoch ?? 0 } as const;
        return { ...step, made: { ...step.made, effects: [...step.made.effects, effect] } };
      },
    ],
  ])("%s", (_what, problem, change) => {
    expect(problemsOf(tampered(change)).join("\n")).toMatch(problem);
  });
});
