import { spawn } from "node:child_process";
import { once } from "node:events";
import { afterEach, describe, expect, test } from "vitest";
import {
  descendants,
  eventually,
  type InitOptions,
  InitUnderTest,
  isAlive,
  killIfAlive,
  type Mode,
  processState,
  residentBytes,
} from "./harness.ts";

const second = 1_000_000_000n;
const SIGTERM = 15;
const shell = (script: string): string[] => ["/bin/sh", "-c", script];

describe.each<Mode>(["host", "pid-one"])("quorate-init as %s", (mode) => {
  let init: InitUnderTest;
  afterEach(() => init.close());

  async function started(options: InitOptions = {}) {
    init = await InitUnderTest.start({ mode, ...options });
    const agent = await init.nextAgent();
    return { agent, client: agent.client };
  }

  /** Starts an engine and returns its main pid as the host knows it. */
  async function engineOf(script: string, id = "e1") {
    const { agent, client } = await started();
    const pid = init.hostPid(await client.start({ id, argv: shell(script) }));
    return { agent, client, pid };
  }

  /** Kills every agent as soon as it appears, until the work is done. */
  async function withoutAgents<T>(spared: readonly number[], work: () => Promise<T>): Promise<T> {
    const killAgents = () => {
      const children = descendants(init.pid).filter(
        (pid) => !spared.includes(pid) && processState(pid)?.parent === init.pid,
      );
      children.filter(isAlive).forEach(killIfAlive);
    };
    const killer = setInterval(killAgents, 20);
    try {
      return await work();
    } finally {
      clearInterval(killer);
    }
  }

  describe("the fence", () => {
    test("SIGSTOP of the agent alone: fenced at the deadline, never before, and a new agent is told", async () => {
      const { agent, client, pid } = await engineOf("setsid sleep 300 & exec sleep 300");
      await eventually("child", () => descendants(pid).length === 1);
      const children = descendants(pid);
      const deadline = (await client.nowNs()) + 2n * second;
      await client.fence(deadline);
      process.kill(agent.pid, "SIGSTOP");
      const fenced = await init.logged("fenced");
      expect(BigInt(fenced.ns)).toBeGreaterThanOrEqual(deadline);
      expect([pid, agent.pid, ...children].filter(isAlive)).toEqual([]);
      const next = await init.nextAgent();
      expect(await next.client.hello()).toMatchObject({
        engine: "stopped",
        id: null,
        deadlineNs: null,
        fenced: 1,
        agentRestarts: 1,
      });
      await next.client.start({ id: "again", argv: ["sleep", "300"] });
    });

    test("an extended deadline keeps the engine alive, and the last one holds", async () => {
      const { client, pid } = await engineOf("exec sleep 300");
      let deadline = 0n;
      for (let round = 0; round < 8; round++) {
        deadline = (await client.nowNs()) + 2n * second;
        await client.fence(deadline);
        expect((await client.hello()).deadlineNs).toBe(deadline);
        await new Promise((resolve) => setTimeout(resolve, 300));
      }
      expect(isAlive(pid)).toBe(true);
      expect(init.log.some((line) => line.event === "fenced")).toBe(false);
      const fenced = await init.logged("fenced");
      expect(BigInt(fenced.ns)).toBeGreaterThanOrEqual(deadline);
      expect(isAlive(pid)).toBe(false);
    });

    test("it moves only later, never into the past, and not absurdly far", async () => {
      const { client } = await started();
      const now = await client.nowNs();
      await expect(client.fence(now)).rejects.toThrow("FENCE: in the past");
      expect((await client.hello()).deadlineNs).toBeNull();
      await expect(client.fence(now * 1000n)).rejects.toThrow("FENCE: too far ahead");
      await client.fence(now + 60n * second);
      await expect(client.fence(now + 59n * second)).rejects.toThrow("earlier than the current deadline");
      await expect(client.fence(now - 1n)).rejects.toThrow("FENCE: earlier");
      await client.fence(now + 60n * second);
      expect((await client.hello()).deadlineNs).toBe(now + 60n * second);
      await client.disarm();
      await client.fence(now + 30n * second);
      expect((await client.hello()).deadlineNs).toBe(now + 30n * second);
    });

    test("DISARM is refused while the engine lives; the deadline holds even so", async () => {
      const { client, pid } = await engineOf("exec sleep 300");
      await client.fence((await client.nowNs()) + 2n * second);
      await expect(client.disarm()).rejects.toThrow("DISARM: an engine process lives");
      await init.logged("fenced");
      expect(isAlive(pid)).toBe(false);
    });

    test("DISARM after GONE: the old deadline does nothing", async () => {
      const { client } = await engineOf("exec sleep 300");
      await client.fence((await client.nowNs()) + 3n * second);
      await client.kill();
      await client.disarm();
      await new Promise((resolve) => setTimeout(resolve, 3500));
      expect(await client.hello()).toMatchObject({ fenced: 0, deadlineNs: null });
    });

    test("it fires while no agent lives", async () => {
      const { client, pid } = await engineOf("exec sleep 300");
      await client.fence((await client.nowNs()) + 2n * second);
      await withoutAgents([pid], () => init.logged("fenced"));
      expect(isAlive(pid)).toBe(false);
    });

    test("it kills an engine that forks as fast as it can", async () => {
      const { client } = await engineOf("f() { setsid sh -c 'sleep 0.01; sleep 300' & }; while :; do f; done");
      await client.fence((await client.nowNs()) + 2n * second);
      await init.logged("fenced");
      const next = await init.nextAgent();
      expect(await next.client.hello()).toMatchObject({ engine: "stopped", fenced: 1 });
      await eventually("only the agent left", () => descendants(init.pid).every((pid) => pid === next.pid));
    });
  });

  describe("the agent's death", () => {
    test.each(["SIGKILL", "SIGSEGV"] as const)(
      "by %s leaves the engine untouched, and the new agent gets STATE",
      async (signal) => {
        const { agent, client, pid } = await engineOf("exec sleep 300");
        const deadline = (await client.nowNs()) + 100n * second;
        await client.fence(deadline);
        process.kill(agent.pid, signal);
        const next = await init.nextAgent();
        expect(next.pid).not.toBe(agent.pid);
        const state = await next.client.hello();
        expect(state).toMatchObject({ engine: "running", id: "e1", agentRestarts: 1, deadlineNs: deadline, fenced: 0 });
        expect(init.hostPid(state.pid ?? 0)).toBe(pid);
        await next.client.stop(SIGTERM, 1000);
      },
    );

    test("its last words count", async () => {
      const { agent, client, pid } = await engineOf("exec sleep 300");
      expect(isAlive(pid)).toBe(true);
      process.kill(init.pid, "SIGSTOP"); // so that the line and the death are seen together
      client.kill().catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, 100));
      process.kill(agent.pid, "SIGKILL");
      process.kill(init.pid, "SIGCONT");
      await eventually("the engine's death", () => !isAlive(pid));
    });

    test("its children die with it; those in a session of their own count as the engine's", async () => {
      const { agent } = await started();
      const action = await agent.spawn(["sleep", "300"]);
      const detached = await agent.spawn(["sleep", "300"], true);
      process.kill(agent.pid, "SIGKILL");
      const { client } = await init.nextAgent();
      await eventually("the action's death", () => !isAlive(action));
      expect(isAlive(detached)).toBe(true);
      expect(await client.hello()).toMatchObject({ engine: "gone-partial", id: null });
      await expect(client.start({ id: "e", argv: ["true"] })).rejects.toThrow("an engine process lives");
      await client.kill();
      expect(isAlive(detached)).toBe(false);
    });

    test("an agent that closes its end is replaced, the engine untouched", async () => {
      const { agent, pid } = await engineOf("exec sleep 300");
      agent.order({ do: "hang-up" });
      const next = await init.nextAgent();
      expect(await next.client.hello()).toMatchObject({ engine: "running", agentRestarts: 1 });
      expect([isAlive(agent.pid), isAlive(pid)]).toEqual([false, true]);
    });

    test("exit 0 without SIGTERM is a death like any other", async () => {
      const { agent } = await started();
      agent.order({ do: "exit", code: 0 });
      expect(await (await init.nextAgent()).client.hello()).toMatchObject({ agentRestarts: 1 });
    });

    test("an agent that cannot start is tried again with growing delays", async () => {
      init = await InitUnderTest.start({ mode, agent: ["/bin/sh", "-c", "exit 5"] });
      const fourth = await init.logged("agent-start", 4);
      const starts = init.log.filter((line) => line.event === "agent-start").map((line) => line.ns);
      expect(fourth.ns - (starts[0] ?? 0)).toBeGreaterThan(290e6); // 0 + 100 + 200 ms
      expect(init.log.find((line) => line.event === "agent-exit")).toMatchObject({ code: 5 });
    });
  });

  describe("the end of the container", () => {
    test("SIGTERM reaches the agent as TERM, each time; it stops the engine and exits 0; init exits 0", async () => {
      const { agent, client } = await engineOf("exec sleep 300");
      for (const signal of ["SIGTERM", "SIGTERM", "SIGINT"] as const) {
        const term = once(client, "term");
        init.signal(signal);
        await term;
      }
      await client.stop(SIGTERM, 5000);
      agent.order({ do: "exit", code: 0 });
      expect(await init.exit()).toBe(0);
    });

    test("exit 0 with the engine alive is no end: the next agent gets TERM after STATE", async () => {
      const { agent, client, pid } = await engineOf("exec sleep 300");
      const term = once(client, "term");
      init.signal("SIGTERM");
      await term;
      agent.order({ do: "exit", code: 0 });
      const next = await init.nextAgent();
      const again = once(next.client, "term");
      expect(await next.client.hello()).toMatchObject({ engine: "running" });
      await again;
      expect(isAlive(pid)).toBe(true);
      await next.client.kill();
      next.order({ do: "exit", code: 0 });
      expect(await init.exit()).toBe(0);
    });

    test("without an agent for long the engine is asked, then killed within the grace", async () => {
      init = await InitUnderTest.start({ mode, options: ["--grace-ms", "6000"] });
      const { client } = await init.nextAgent();
      const pid = init.hostPid(
        await client.start({ id: "e", argv: shell("trap '' TERM; while :; do sleep 0.05; done") }),
      );
      await client.hello();
      init.signal("SIGTERM");
      const { code } = await withoutAgents([pid], async () => {
        await init.logged("stop-without-agent");
        return { code: await init.exit() };
      });
      expect(code).toBe(143);
      expect(isAlive(pid)).toBe(false);
    });

    test("a fence during termination ends the container", async () => {
      const { agent, client, pid } = await engineOf("exec sleep 300");
      await client.hello();
      await client.fence((await client.nowNs()) + 2n * second);
      process.kill(agent.pid, "SIGSTOP");
      init.signal("SIGTERM");
      expect(await init.exit()).toBe(143);
      expect([agent.pid, pid].filter(isAlive)).toEqual([]);
    });

    test("the port accepts while init lives, and a refusal after SIGKILL proves that the engine is dead", async () => {
      const { agent, client } = await started({ options: ["--port", "0"] });
      // Half a gigabyte to give back: it is not dead at once, and init's own files close before that.
      const argv = shell("head -c 500000000 /dev/zero | tail -c 500000000 | sleep 300");
      const pid = init.hostPid(await client.start({ id: "e", argv }));
      await eventually("the engine's memory", () => descendants(pid).some((each) => residentBytes(each) > 500e6));
      const engine = [pid, ...descendants(pid)];
      expect([await init.port(), await init.port()]).toEqual(["accepted", "accepted"]);
      init.signal("SIGKILL");
      if (mode === "host") engine.forEach(killIfAlive); // there the kernel kills two only
      while ((await init.port()) !== "refused");
      expect(engine.filter(isAlive)).toEqual([]);
      await eventually("the agent's death", () => !isAlive(agent.pid));
    });
  });

  test("processes of others are out of reach", async () => {
    const bystander = spawn("sleep", ["300"], { detached: true });
    try {
      const { client } = await engineOf("exec sleep 300");
      await client.kill();
      await client.fence((await client.nowNs()) + second / 5n);
      await init.logged("fenced");
      expect(isAlive(bystander.pid ?? 0)).toBe(true);
    } finally {
      bystander.kill("SIGKILL");
    }
  });
});
