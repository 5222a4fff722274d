import { describe, expect, test } from "vitest";
import { ReportWriter } from "../../../src/agent/cluster/member-report.ts";
import type { MemberReport } from "../../../src/api/agent-wire.ts";
import { ANNOTATION_MEMBER_STATUS } from "../../../src/api/names.ts";
import { IndeterminateError } from "../../../src/errors.ts";
import type { KubeApi } from "../../../src/kube/api.ts";
import { FakeClock } from "../fake-clock.ts";

const POD = { apiVersion: "v1", kind: "Pod", namespace: "shop", name: "orders-0-0", uid: "u" };

/** A writer over an API that notes when it is asked to write which state, and answers with `answer`. */
function writer(answer: () => Promise<unknown> = () => Promise.resolve({})) {
  const clock = new FakeClock();
  const written: string[] = [];
  const api = {
    mergePatch: (_: unknown, patch: { metadata: { annotations: Record<string, string> } }) => {
      const [json = ""] = Object.values(patch.metadata.annotations);
      written.push(`${clock.monotonicMs()} ${(JSON.parse(json) as MemberReport).state}`);
      return answer();
    },
  } as unknown as KubeApi;
  const reports = new ReportWriter(api, POD, clock, () => undefined);
  return { clock, written, say: (state: string) => reports.report({ role: "follower", state } as MemberReport) };
}

test("a report that changes again and again is written once it has settled", async () => {
  const { clock, written, say } = writer();
  for (const state of ["Sealed", "Following", "Running"]) {
    say(state);
    await clock.run(300);
  }
  await clock.run(1000);
  expect(written).toEqual(["1000 Running"]);
});

test("a report that never settles is written after a second and a half, and again", async () => {
  const { clock, written, say } = writer();
  for (let at = 0; at < 40; at++) {
    say(`state ${at}`);
    await clock.run(100);
  }
  expect(written).toEqual(["1500 state 14", "3000 state 29"]);
});

test("what is said again, or taken back before it was written, is not written", async () => {
  const { clock, written, say } = writer();
  say("Running");
  await clock.run(1000);
  say("Running");
  await clock.run(1000);
  say("Stalled");
  say("Running");
  await clock.run(5000);
  expect(written).toEqual(["400 Running"]);
  expect(clock.pending).toBe(0);
});

test("a write that failed is tried again with what is wanted then", async () => {
  let failures = 1;
  const { clock, written, say } = writer(() =>
    failures-- > 0 ? Promise.reject(new Error("away")) : Promise.resolve({}),
  );
  say("Starting");
  await clock.run(500);
  say("Running");
  await clock.run(5000);
  expect(written).toEqual(["400 Starting", "2400 Running"]);
});

/** A writer whose first writes of state Electing get no answer within five seconds, and are carried out after eight. */
function writerWithLateWrites(lateMs = 8000) {
  const clock = new FakeClock();
  let held = "";
  let reads = 0;
  const api = {
    mergePatch: (_: unknown, patch: { metadata: { annotations: Record<string, string> } }) => {
      const [json = ""] = Object.values(patch.metadata.annotations);
      const carryOut = () => (held = json);
      if (!json.includes("Electing")) return Promise.resolve(carryOut());
      clock.schedule(lateMs, carryOut);
      const noAnswer = new IndeterminateError("No answer came", { reason: "NoAnswer", object: "Pod" });
      return new Promise((_resolve, reject) => clock.schedule(5000, () => reject(noAnswer)));
    },
    get: () => {
      reads++;
      return Promise.resolve({ ...POD, metadata: { uid: POD.uid, annotations: { [ANNOTATION_MEMBER_STATUS]: held } } });
    },
  } as unknown as KubeApi;
  const reports = new ReportWriter(api, POD, clock, () => undefined);
  return {
    clock,
    say: (state: string) => reports.report({ role: "follower", state } as MemberReport),
    state: () => (JSON.parse(held) as MemberReport).state,
    reads: () => reads,
  };
}

describe("a write that was given up, and is carried out late", () => {
  test.each([8000, 100_000])("does not stay in the place of a later one, after %s ms", async (lateMs) => {
    const { clock, say, state } = writerWithLateWrites(lateMs);
    say("Electing");
    await clock.run(1000);
    say("Running");
    await clock.run(lateMs + 300_000);
    expect(state()).toBe("Running");
  });

  test("does not stay in the place of what was said before it, and is again", async () => {
    const { clock, say, state } = writerWithLateWrites();
    say("Running");
    await clock.run(1000);
    say("Electing");
    await clock.run(1000);
    say("Running");
    await clock.run(60_000);
    expect(state()).toBe("Running");
  });

  test("is looked for a few times, and then no more", async () => {
    const { clock, say, reads } = writerWithLateWrites();
    say("Electing");
    await clock.run(1000);
    say("Running");
    await clock.run(3_600_000, 1000);
    expect(reads()).toBeLessThan(10);
    expect(clock.pending).toBe(0);
  });
});
