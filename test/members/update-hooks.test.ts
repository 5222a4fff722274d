/**
 * The Engine's hooks around an update on real members: once, on the leader, in the office it was asked in, and again by the
 * agent or the leader that comes after one that died.
 */
import { appendFile, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { pause } from "../../hack/scenario/shell.ts";
import type { HookRequest, MemberReport } from "../../src/api/agent-wire.ts";
import { EngineSpec } from "../../src/api/engine.ts";
import { MemberCluster, type TestMember } from "./harness.ts";

const AGENT = /^\S*node (?:--\S+ )*\S*agent\.mjs run/;
const HOOK = /engine\/hook/;
/** Notes down that it ran and what it was told, then takes as long and ends as its run folder says. */
const PROGRAM = `#!/bin/sh
echo "$1 $QUORATE_UPDATE_ID $QUORATE_FROM_VERSION $QUORATE_TO_VERSION $QUORATE_EPOCH $QUORATE_CONSENT" >> "$QUORATE_RUN_DIR/hooks"
sleep "$(cat "$QUORATE_RUN_DIR/seconds" 2>/dev/null || echo 0)"
code=$(cat "$QUORATE_RUN_DIR/code" 2>/dev/null || echo 0)
[ "$code" = 0 ] || echo "the catalog says $code" >&2
exit "$code"
`;

let cluster: MemberCluster;
let leader: TestMember;
let epoch: number;
let count = 0;

/** A file in the member's run folder, which the program reads or writes. */
function runFile(member: TestMember, name: string): string {
  return join(cluster.folder, member.name, "run", name);
}

async function runsOf(member: TestMember): Promise<string[]> {
  const text = await readFile(runFile(member, "hooks"), "utf8").catch(() => "");
  return text.split("\n").filter((line) => line !== "");
}

/** Asks as the operator would. @returns the request. */
async function ask(change: Partial<HookRequest> = {}): Promise<HookRequest> {
  count += 1;
  const hook: HookRequest = {
    id: `before-update-${epoch}.${count}`,
    action: "beforeUpdate",
    member: leader.name,
    epoch,
    update: `update-${count}.0`,
    fromVersion: "15",
    toVersion: "16",
    fromRevision: "a",
    toRevision: "b",
    consent: false,
    ...change,
  };
  await cluster.want({ hook });
  return hook;
}

function answered(member: TestMember, { id }: HookRequest): Promise<NonNullable<MemberReport["hook"]>> {
  return cluster.until(`the answer to ${id}`, async () => {
    const answer = (await cluster.report(member))?.hook;
    return answer?.id === id && answer.result !== "Running" ? answer : undefined;
  });
}

async function untilLed(): Promise<void> {
  leader = await cluster.until("a leader that reports so", async () => {
    const routed = await cluster.routed().catch(() => undefined);
    const report = routed === undefined ? undefined : await cluster.report(routed);
    if (routed === undefined || report?.role !== "leader" || report.syncNames.length < 2) return undefined;
    epoch = report.epoch;
    return routed;
  });
}

beforeAll(async () => {
  cluster = await MemberCluster.create(3);
  for (const member of cluster.members) cluster.run(member);
  await untilLed();
  // The agents run already: hooks are those of the Engine as it is when they are asked for.
  const file = join(cluster.folder, "engine/engine.json");
  const engine = EngineSpec.parse(JSON.parse(await readFile(file, "utf8")));
  const exec = (name: string) => ({ exec: ["$(QUORATE_ENGINE_DIR)/hook", name], timeoutSeconds: 8 });
  const hooks = { beforeUpdate: exec("before"), afterUpdate: exec("after"), canRollBack: exec("back") };
  await writeFile(file, JSON.stringify({ ...engine, actions: { ...engine.actions, ...hooks } }));
  await writeFile(join(cluster.folder, "engine/hook"), PROGRAM, { mode: 0o755 });
}, 180_000);
afterAll(() => cluster.stop());
beforeEach(async () => {
  await untilLed();
  for (const member of cluster.members) {
    for (const name of ["hooks", "seconds", "code"]) await rm(runFile(member, name), { force: true });
  }
});

test("a hook runs once, on the leader, and is told about the update", async () => {
  const request = await ask();
  expect(await answered(leader, request)).toMatchObject({ result: "Done" });
  await cluster.want({ maxLagBytes: "2097152" }); // the same request in another intent
  await pause(2000);
  expect(await runsOf(leader)).toEqual([`before ${request.update} 15 16 ${epoch} false`]);
  for (const member of cluster.members) if (member !== leader) expect(await runsOf(member)).toEqual([]);
});

test("its no is told in its own words, and so is what it could not say", async () => {
  await appendFile(runFile(leader, "code"), "3");
  const refused = await ask({ action: "canRollBack" });
  expect(await answered(leader, refused)).toMatchObject({ result: "Refused", message: "the catalog says 3" });
  await writeFile(runFile(leader, "code"), "1");
  const failed = await ask({ action: "afterUpdate", consent: true });
  expect(await answered(leader, failed)).toMatchObject({ result: "Failed", message: "the catalog says 1" });
  expect((await runsOf(leader)).at(-1)).toBe(`after ${failed.update} 15 16 ${epoch} true`);
});

test("one that takes too long is ended", async () => {
  await writeFile(runFile(leader, "seconds"), "60");
  const { result, message } = await answered(leader, await ask());
  expect({ result, message }).toEqual({ result: "Failed", message: expect.stringContaining("killed after 8000 ms") });
  expect(cluster.pids(leader, HOOK)).toEqual([]);
});

test("a request of an older office is refused, and so is one to a member that follows", async () => {
  const old = await ask({ epoch: epoch - 1 });
  const { result, message } = await answered(leader, old);
  expect({ result, message }).toEqual({
    result: "Failed",
    message: expect.stringContaining(`leads in epoch ${epoch}`),
  });
  const follower = cluster.members.find((member) => member !== leader);
  if (follower === undefined) throw new Error("there are three members");
  const astray = await ask({ member: follower.name });
  expect((await answered(follower, astray)).message).toContain("it does not lead");
  for (const member of cluster.members) expect(await runsOf(member)).toEqual([]);
});

test("an agent that dies over a hook is followed by one that runs it again for the same update", async () => {
  await writeFile(runFile(leader, "seconds"), "4");
  const request = await ask();
  await cluster.until("the hook to run", async () => ((await runsOf(leader)).length > 0 ? true : undefined));
  for (const pid of cluster.pids(leader, AGENT)) process.kill(pid, "SIGKILL");
  const first = leader;
  const answer = await answered(first, request);
  await untilLed();
  // An office that ended with the agent is asked for anew, as the operator does.
  const last = answer.result === "Done" ? answer : await answered(leader, await ask({ update: request.update }));
  expect(last.result).toBe("Done");
  const runs = [...(await runsOf(first)), ...(leader === first ? [] : await runsOf(leader))];
  expect(runs.length).toBe(2);
  for (const run of runs) expect(run).toContain(request.update);
});

test("a leader that hands over ends its hook, and the next one can be asked", async () => {
  await writeFile(runFile(leader, "seconds"), "6");
  const request = await ask();
  await cluster.until("the hook to run", async () => ((await runsOf(leader)).length > 0 ? true : undefined));
  const old = leader;
  await cluster.want({ switchover: { id: "op-hand-over", from: old.name, to: null } });
  const { result, message } = await answered(old, request);
  expect({ result, message }).toEqual({ result: "Failed", message: "leadership passed on while it ran" });
  expect(cluster.pids(old, HOOK)).toEqual([]);
  await cluster.want({ switchover: null, hook: null });
  await cluster.until("another leader", async () => {
    const routed = await cluster.routed().catch(() => undefined);
    return routed !== undefined && routed !== old ? true : undefined;
  });
  await untilLed();
  expect((await answered(leader, await ask({ update: request.update }))).result).toBe("Done");
});
