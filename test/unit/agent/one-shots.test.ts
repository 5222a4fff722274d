import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { HookRequest, Intent } from "../../../src/api/agent-wire.ts";
import { type Acts, type OneShotOutcome, OneShots } from "../../../src/agent/one-shots.ts";
import { writeStateFile } from "../../../src/agent/state-file.ts";

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
  return { members: names, restart: null, rebuild: null, hook: null, ...requests } as unknown as Intent;
}

const acts: Acts = {
  answered: () => undefined,
  restart: () => Promise.resolve(void done.push("restart")),
  rebuild: () => Promise.resolve(void done.push("rebuild")),
  hook: ({ action }) => {
    done.push(action);
    return Promise.resolve({ result: "Done", message: "" });
  },
  task: ({ action }) => {
    done.push(action);
    return Promise.resolve({ result: "Done", message: `${action} came to its end` });
  },
};
const RESTART = asking({ restart: { id: "op/orders-1", member: "orders-1" } });

test("a restart is Done only once the engine was stopped", async () => {
  const oneShots = await agent();
  const seen: (string | undefined)[] = [];
  await oneShots.take(RESTART, false, {
    ...acts,
    answered: () => void seen.push(`${oneShots.answers.restart?.result} ${done.join()} ${oneShots.isBusy}`),
  });
  expect(seen).toEqual(["Running  true", "Done restart true"]);
  expect(oneShots.isBusy).toBe(false);
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

function asked(id: string, change: object = {}): Intent {
  return asking({ hook: { id, action: "beforeUpdate", member: "orders-1", ...change } as unknown as HookRequest });
}

test("a hook is run once, also by the next agent, and its answer is kept in its own words", async () => {
  const refuses: Acts = { ...acts, hook: () => Promise.resolve({ result: "Refused", message: "no way back" }) };
  await (await agent()).take(asked("before-update-3.1"), true, refuses);
  const next = await agent();
  await next.take(asked("before-update-3.1"), true, acts);
  expect(done).toEqual([]);
  expect(next.answers.hook).toEqual({ id: "before-update-3.1", result: "Refused", message: "no way back" });
});

test("a hook that the agent before died over is run again", async () => {
  const dying = await agent();
  const died = dying.take(asked("before-update-3.1"), true, {
    ...acts,
    hook: () => Promise.reject(new Error("killed")),
  });
  await expect(died).rejects.toThrow("killed");
  expect(dying.answers.hook).toMatchObject({ result: "Running" });
  await (await agent()).take(asked("before-update-3.1"), true, acts);
  expect(done).toEqual(["beforeUpdate"]);
});

test("a hook that ends after another was asked for does not take that one's place", async () => {
  const oneShots = await agent();
  let end: (outcome: OneShotOutcome) => void = () => undefined;
  const first = oneShots.take(asked("before-update-3.1"), true, {
    ...acts,
    hook: () => new Promise((resolve) => (end = resolve)),
  });
  await expect.poll(() => oneShots.answers.hook?.result).toBe("Running");
  await oneShots.take(asked("after-update-3.2", { action: "afterUpdate" }), true, acts);
  end({ result: "Failed", message: "leadership passed on while it ran" });
  await first;
  expect(oneShots.answers.hook).toMatchObject({ id: "after-update-3.2", result: "Done" });
});

test("answers that an earlier agent wrote, which knew no hooks, still count", async () => {
  await writeStateFile(join(folder, "answers.json"), {
    restart: { id: "op/orders-1", result: "Done", message: "" },
    rebuild: null,
  });
  await (await agent()).take(RESTART, false, acts);
  expect(done).toEqual([]);
});

describe("tasks", () => {
  const BACKUP = asking({ task: { id: "op2/orders-1", action: "backup", member: "orders-1", path: "shop/orders/1" } });

  test("are carried out by leaders, too, and answered at their beginning and end", async () => {
    const oneShots = await agent();
    const seen: (string | undefined)[] = [];
    await oneShots.take(BACKUP, true, { ...acts, answered: () => void seen.push(oneShots.answers.task?.message) });
    expect(seen).toEqual(["backup runs on orders-1", "backup came to its end"]);
    await (await agent()).take(BACKUP, true, acts);
    expect(done).toEqual(["backup"]);
  });

  test("are another member's business when it is asked for", async () => {
    const task = { id: "op/orders-0", action: "verify", member: "orders-0" } as const;
    await (await agent()).take(asking({ task }), false, acts);
    expect(done).toEqual([]);
  });

  test.each([
    ["nothing", {}],
    ["another one", { task: { id: "op3/orders-2", action: "repair", member: "orders-2" } as const }],
  ])("end when %s is asked for instead, and hold up no other request meanwhile", async (_what, instead) => {
    const oneShots = await agent();
    let signal: AbortSignal | undefined;
    const running = oneShots.take(BACKUP, false, {
      ...acts,
      task: async (_request, ended) => {
        signal = ended;
        await new Promise((resolve) => ended.addEventListener("abort", resolve, { once: true }));
        return { result: "Failed", message: "not wanted any more" };
      },
    });
    await vi.waitFor(() => expect(signal).toBeDefined());
    await oneShots.take({ ...RESTART, task: BACKUP.task }, false, acts);
    expect(done).toEqual(["restart"]);
    expect(signal?.aborted).toBe(false);
    await oneShots.take(asking(instead), false, acts);
    await running;
    expect(signal?.aborted).toBe(true);
    expect(oneShots.answers.task?.id).not.toBe("op2/orders-1");
    await oneShots.take(BACKUP, false, acts); // whoever was asked meanwhile is gone
    expect(oneShots.answers.task).toMatchObject({ id: "op2/orders-1", result: "Done" });
  });

  test("of a member that ends are not answered, and begun anew by the next agent", async () => {
    const oneShots = await agent();
    let begun: (() => void) | undefined;
    const hasBegun = new Promise<void>((resolve) => (begun = resolve));
    const running = oneShots.take(BACKUP, false, {
      ...acts,
      task: async (_request, ended) => {
        begun?.();
        await new Promise((resolve) => ended.addEventListener("abort", resolve, { once: true }));
        return { result: "Failed", message: "the server is shutting down" };
      },
    });
    await hasBegun;
    oneShots.leave();
    await running;
    expect(oneShots.answers.task).toBeNull();
    const next = await agent();
    await next.take(BACKUP, false, acts);
    expect(next.answers.task).toMatchObject({ result: "Done" });
  });
});
