import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Intent } from "../../../src/api/agent-wire.ts";
import { type Acts, OneShots } from "../../../src/agent/one-shots.ts";

let folder: string;
let done: string[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "quorate-one-shots-"));
  done = [];
});
afterEach(() => rm(folder, { recursive: true }));

async function agent(): Promise<OneShots> {
  const oneShots = new OneShots("orders-1", join(folder, "answers.json"));
  await oneShots.load();
  return oneShots;
}

function asking(requests: Partial<Intent>, members = 3): Intent {
  const names = Array.from({ length: members }, (_, at) => ({ name: `orders-${at}` }));
  return { members: names, restart: null, rebuild: null, ...requests } as unknown as Intent;
}

const acts: Acts = {
  answered: () => undefined,
  restart: () => Promise.resolve(void done.push("restart")),
  rebuild: () => Promise.resolve(void done.push("rebuild")),
};
const RESTART = asking({ restart: { id: "op/orders-1", member: "orders-1" } });

test("a restart is Done only once the engine was stopped", async () => {
  const oneShots = await agent();
  const seen: (string | undefined)[] = [];
  await oneShots.take(RESTART, false, {
    ...acts,
    answered: () => void seen.push(`${oneShots.answers.restart?.result} ${done.join()}`),
  });
  expect(seen).toEqual(["Running ", "Done restart"]);
});

test("a request is carried out once, also by the next agent", async () => {
  await (await agent()).take(RESTART, false, acts);
  const next = await agent();
  await next.take(RESTART, false, acts);
  expect(done).toEqual(["restart"]);
  expect(next.answers.restart).toMatchObject({ id: "op/orders-1", result: "Done" });
});

test("a restart that the agent before died over is done again", async () => {
  const dying = await agent();
  const died = dying.take(RESTART, false, { ...acts, restart: () => Promise.reject(new Error("killed")) });
  await expect(died).rejects.toThrow("killed");
  await (await agent()).take(RESTART, false, acts);
  expect(done).toEqual(["restart"]);
});

test.each([
  ["a leader with followers refuses", 3, "Refused", []],
  ["the only member restarts in place", 1, "Done", ["restart"]],
])("%s", async (_why, members, result, acted) => {
  const oneShots = await agent();
  await oneShots.take(asking({ restart: { id: "op/orders-1", member: "orders-1" } }, members), true, acts);
  expect(oneShots.answers.restart).toMatchObject({ result });
  expect(done).toEqual(acted);
});

test("what is asked of another member is left to it", async () => {
  const oneShots = await agent();
  await oneShots.take(asking({ rebuild: { id: "op", member: "orders-2" } }), false, acts);
  expect(oneShots.answers.rebuild).toBeNull();
});
