import { once } from "node:events";
import { readFileSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import type { EngineExit } from "../../src/agent/init-client.ts";
import {
  descendants,
  eventually,
  type InitOptions,
  InitUnderTest,
  isAlive,
  type Mode,
  processState,
} from "./harness.ts";

const SIGINT = 2;
const SIGKILL = 9;
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

  describe("lines", () => {
    test("HELLO tells that nothing runs and nothing is armed", async () => {
      const { client } = await started();
      expect(await client.hello()).toMatchObject({
        engine: "stopped",
        pid: null,
        id: null,
        deadlineNs: null,
        agentRestarts: 0,
        fenced: 0,
      });
    });

    test("NOW is CLOCK_BOOTTIME and does not go back", async () => {
      const { client } = await started();
      const uptimeBefore = Number(readFileSync("/proc/uptime", "latin1").split(" ")[0]);
      const [first, next] = [await client.nowNs(), await client.nowNs()];
      expect(next).toBeGreaterThanOrEqual(first);
      expect(Number(first) / 1e9).toBeGreaterThanOrEqual(uptimeBefore);
      expect(Number(first) / 1e9).toBeLessThan(uptimeBefore + 60);
    });

    test("START hands over arguments and environment byte by byte, in a session of its own", async () => {
      const { client } = await started();
      const exited = once(client, "exited");
      const argv = [
        "/bin/sh",
        "-c",
        `[ "$1" = 'a "b" é\n' ] && [ -z "$2" ] && [ "$GREETING" = 'x=y z' ] && [ -z "$QUORATE_INIT_FD" ] && [ ! -e /proc/self/fd/3 ] && exit 42`,
        "sh",
        'a "b" é\n',
        "",
      ];
      await client.start({ id: "args", argv, env: { GREETING: "x=y z" } });
      expect(await exited).toEqual([{ id: "args", code: 42, signal: null }]);
    });

    test("ENV lasts for one START", async () => {
      const { client } = await started();
      const exits: EngineExit[] = [];
      client.on("exited", (exit) => exits.push(exit));
      for (const env of [{ MARK: "1" }, {}]) {
        const gone = once(client, "gone");
        await client.start({ id: "env", argv: shell('exit "${MARK:-7}"'), env });
        await gone;
      }
      expect(exits.map((exit) => exit.code)).toEqual([1, 7]);
    });

    test("the running engine leads its session and shows in STATE", async () => {
      const { agent, client, pid } = await engineOf("exec sleep 300");
      const state = await client.hello();
      expect(state).toMatchObject({ engine: "running", id: "e1" });
      expect(init.hostPid(state.pid ?? 0)).toBe(pid);
      const sessions = [pid, agent.pid, init.pid].map((each) => processState(each)?.session);
      expect(new Set(sessions).size).toBe(3);
    });

    test("a program that cannot be executed exits 127", async () => {
      const { client } = await started();
      const [exited] = await Promise.all([once(client, "exited"), client.start({ id: "no", argv: ["/nowhere"] })]);
      expect(exited).toEqual([{ id: "no", code: 127, signal: null }]);
      await init.logged("exec-failed");
    });

    test("START is refused while an engine process lives, and allowed after GONE", async () => {
      const { client } = await engineOf("exec sleep 300");
      await expect(client.start({ id: "e2", argv: ["true"] })).rejects.toThrow("START: an engine process lives");
      await client.kill();
      await client.start({ id: "e2", argv: ["sleep", "300"] });
      expect(await client.hello()).toMatchObject({ engine: "running", id: "e2" });
    });

    test("SIGNAL reaches the main process only, and is refused when none runs", async () => {
      const { client, pid } = await engineOf("trap 'exit 9' USR1; while :; do sleep 0.02; done");
      await eventually("the trap is set", () => descendants(pid).length > 0);
      const exited = once(client, "exited");
      await client.signal(10);
      expect(await exited).toEqual([{ id: "e1", code: 9, signal: null }]);
      await expect(client.signal(10)).rejects.toThrow("SIGNAL: no engine runs");
    });

    test("EXITED tells the signal, then GONE", async () => {
      const { client, pid } = await engineOf("exec sleep 300");
      const events: unknown[] = [];
      client.on("exited", (exit) => events.push(exit)).on("gone", (id) => events.push(id));
      process.kill(pid, "SIGSEGV");
      await eventually("GONE", () => events.length === 2);
      expect(events).toEqual([{ id: "e1", code: null, signal: 11 }, "e1"]);
      expect(await client.hello()).toMatchObject({ engine: "stopped", pid: null, id: null });
    });
  });

  describe("the end of an engine", () => {
    test("EXITED when the main process ends, GONE only when its children are dead too", async () => {
      const { client, pid } = await engineOf("setsid sleep 300 & sleep 300 & wait");
      const children = await eventually("two children", () => {
        const found = descendants(pid);
        return found.length === 2 && found.every(isAlive) ? found : null;
      });
      let gone = false;
      client.once("gone", () => (gone = true));
      const exited = once(client, "exited");
      process.kill(pid, "SIGKILL");
      expect(await exited).toEqual([{ id: "e1", code: null, signal: SIGKILL }]);
      expect(await client.hello()).toMatchObject({ engine: "gone-partial", pid: null, id: "e1" });
      await expect(client.start({ id: "e2", argv: ["true"] })).rejects.toThrow("an engine process lives");
      await expect(client.disarm()).rejects.toThrow("an engine process lives");
      process.kill(children[0] ?? 0, "SIGKILL");
      await eventually("the first child reaped", () => processState(children[0] ?? 0) === null);
      expect(await client.hello()).toMatchObject({ engine: "gone-partial" });
      expect(gone).toBe(false);
      process.kill(children[1] ?? 0, "SIGKILL");
      await eventually("GONE", () => gone);
      expect(await client.hello()).toMatchObject({ engine: "stopped" });
    });

    test("orphans are reaped: no zombie is left", async () => {
      const { pid } = await engineOf(
        "for i in 1 2 3 4 5 6 7 8 9 10; do (sleep 0.05 & sleep 0.1 &) ; done; exec sleep 300",
      );
      await eventually("orphans ended", () => descendants(pid).length === 0);
      await eventually("only agent and engine left", () => descendants(init.pid).length === 2);
      expect(isAlive(pid)).toBe(true);
    });

    test("STOP asks first, and kills everything after the grace", async () => {
      const { client, pid } = await engineOf(
        "trap '' TERM; setsid sh -c 'trap \"\" TERM; sleep 301; sleep 302' & while :; do sleep 0.05; done",
      );
      await eventually("child", () => descendants(pid).length >= 2);
      const all = [pid, ...descendants(pid)];
      const exited = once(client, "exited");
      await client.stop(SIGTERM, 300);
      expect(await exited).toEqual([{ id: "e1", code: null, signal: SIGKILL }]);
      expect(all.filter(isAlive)).toEqual([]);
      expect(await client.hello()).toMatchObject({ engine: "stopped" });
    });

    test("STOP of an engine that obeys needs no kill", async () => {
      const { client, pid } = await engineOf("trap 'exit 0' INT; while :; do sleep 0.02; done");
      await eventually("the trap is set", () => descendants(pid).length > 0);
      const exited = once(client, "exited");
      await client.stop(SIGINT, 60_000);
      expect(await exited).toEqual([{ id: "e1", code: 0, signal: null }]);
    });

    test("STOP and KILL without an engine answer GONE", async () => {
      const { client } = await started();
      await client.stop(SIGTERM, 1000);
      await client.kill();
      expect(await client.hello()).toMatchObject({ engine: "stopped" });
    });

    test("each STOP and KILL gets its GONE, also with a START right behind it", async () => {
      const { agent } = await started();
      let answers = "";
      agent.lines.setEncoding("latin1").on("data", (chunk: string) => (answers += chunk));
      agent.lines.write(`KILL\nSTART early 0 ${Buffer.from("true").toString("base64")}\n`);
      await eventually("three answers", () => answers.split("\n").length > 3);
      expect(answers).toBe("OK KILL\nERR START an engine process lives\nGONE -\n");
    });

    test("KILL leaves the agent and its children alone, and catches an engine that forks as fast as it can", async () => {
      const { agent, client, pid } = await engineOf(
        "f() { setsid sh -c 'sleep 0.01; sleep 300' & }; while :; do f; done",
      );
      const action = await agent.spawn(["sleep", "300"]);
      const detached = await agent.spawn(["sleep", "300"], true);
      await eventually("many processes", () => descendants(init.pid).length > 40);
      await client.kill();
      expect(isAlive(pid)).toBe(false);
      expect([agent.pid, action, detached].filter(isAlive)).toHaveLength(3);
      await eventually("nothing else left", () => descendants(init.pid).length === 3);
    });

    test("a stopped engine is killed too", async () => {
      const { client, pid } = await engineOf("exec sleep 300");
      process.kill(pid, "SIGSTOP");
      await client.stop(SIGTERM, 100);
      expect(isAlive(pid)).toBe(false);
    });
  });
});
