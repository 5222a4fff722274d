import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable, Writable } from "node:stream";
import { text as textOf } from "node:stream/consumers";
import { describe, expect, test } from "vitest";
import { expand } from "../../../src/agent/engine/context.ts";
import { ActionError } from "../../../src/agent/engine/driver.ts";
import { driverOf } from "./driver-of.ts";

describe("engine actions", () => {
  test("get their context in the environment and in their arguments", async () => {
    const driver = driverOf({
      seal: { exec: ["/bin/sh", "-c", 'echo "$0 $QUORATE_MEMBER $QUORATE_EPOCH"', "$(QUORATE_MEMBER)"] },
    });
    const { stdout } = await driver.run("seal", { QUORATE_EPOCH: "7" });
    expect(stdout.trim()).toBe("orders-0 orders-0 7");
  });

  test("fail with the exit code and the end of what they complained about", async () => {
    const driver = driverOf({ rejoin: { exec: ["/bin/sh", "-c", "echo cannot rewind >&2; exit 3"] } });
    await expect(driver.run("rejoin")).rejects.toMatchObject({
      code: 3,
      message: "action rejoin failed: cannot rewind",
    });
  });

  test("are known to be under way, but for those that only look", async () => {
    const slow = { exec: ["/bin/sh", "-c", "sleep 0.05; echo {}"] };
    const driver = driverOf({ seal: slow, observe: slow });
    const sealing = driver.run("seal");
    expect(driver.isActing).toBe(true);
    await sealing;
    const looking = driver.run("observe");
    expect(driver.isActing).toBe(false);
    await looking;
    await expect(driver.run("moveSlots")).rejects.toThrow("does not declare it");
    expect(driver.isActing).toBe(false);
  });

  test("statements say by their errors that trying again cannot help", async () => {
    const sessions = [{ name: "shell", command: ["/bin/sh"], markerStatement: "echo $(MARKER); echo $(MARKER) >&2" }];
    const statement = (text: string): object => ({
      session: "shell",
      statement: `echo '${text}' >&2`,
      impossibleText: "diverged:",
    });
    const codeOf = async (text: string): Promise<unknown> => {
      const driver = driverOf({ follow: statement(text) }, sessions);
      const error = await driver.run("follow").catch((failure: unknown) => failure);
      driver.closeSessions();
      return error instanceof ActionError ? error.code : error;
    };
    expect(await codeOf("ERROR:  diverged: a tail")).toBe(3);
    expect(await codeOf("ERROR:  no such table")).toBe(1);
  });

  test("of a session see what was amended, as programs do, once what was asked before has ended", async () => {
    const sessions = [{ name: "shell", command: ["/bin/sh"], markerStatement: "echo $(MARKER); echo $(MARKER) >&2" }];
    const shows = (command: string): object => ({
      session: "shell",
      statement: `${command}; echo "$QUORATE_SHARD_PEERS $$"`,
    });
    const driver = driverOf({ seal: shows("sleep 0.2"), follow: shows("true") }, sessions);
    driver.amend({ QUORATE_SHARD_PEERS: "a" });
    const slow = driver.run("seal");
    driver.amend({ QUORATE_SHARD_PEERS: "a,b" });
    const [of, ofNext] = [(await slow).stdout, (await driver.run("follow")).stdout];
    expect(of).toMatch(/^a \d+$/);
    expect(ofNext).toMatch(/^a,b \d+$/);
    driver.amend({ QUORATE_SHARD_PEERS: "a,b" });
    expect((await driver.run("follow")).stdout).toBe(ofNext); // the same process: nothing has changed
    driver.closeSessions();
  });

  test("end with what they started when their time is over or they are not wanted any more", async () => {
    const sleeper = { exec: ["/bin/sh", "-c", "sleep 300 & wait"], timeoutSeconds: 1 };
    await expect(driverOf({ clone: sleeper }).run("clone")).rejects.toMatchObject({ code: 124 });
    const stop = new AbortController();
    const running = driverOf({ clone: { ...sleeper, timeoutSeconds: 60 } }).run("clone", {}, stop.signal);
    setTimeout(() => stop.abort(), 100);
    await expect(running).rejects.toMatchObject({ code: 125 });
  });

  test.each([
    ["nothing", "", /printed no JSON/],
    ["text", "hello", /printed no JSON/],
    ["a position that is no number", '{"writable":false,"position":{"history":"1","value":"-5"}}', /position\.value/],
    ["no position", '{"writable":true}', /position/],
  ])("are not believed when observe prints %s", async (_, text, message) => {
    const driver = driverOf({ observe: { exec: ["/bin/echo", text] } });
    await expect(driver.observe()).rejects.toThrow(message);
    await expect(driver.observe()).rejects.toBeInstanceOf(ActionError);
  });
});

describe("context variables in a statement", () => {
  test("are replaced", () => {
    expect(
      expand(
        "ack $(QUORATE_SYNC_ACK) of $(QUORATE_SYNC_NAMES)",
        { QUORATE_SYNC_ACK: "1", QUORATE_SYNC_NAMES: "a-0,a-1" },
        true,
      ),
    ).toBe("ack 1 of a-0,a-1");
  });

  test.each(["a'b", 'a"b', "a b", "a;b", "a\nb", "a\\b"])("never hold %j, which could end a literal", (value) => {
    expect(() => expand("x $(QUORATE_LEADER_HOST)", { QUORATE_LEADER_HOST: value }, true)).toThrow(/may not/);
  });

  test("must be known", () => {
    expect(() => expand("$(QUORATE_TYPO)", {}, false)).toThrow(/QUORATE_TYPO/);
  });
});

describe("actions whose data goes through pipes", () => {
  const echo = driverOf({
    backup: { exec: ["/bin/sh", "-c", "seq 1 200000; echo done >&2; exit $QUORATE_CODE"] },
    restore: { exec: ["/bin/sh", "-c", "cat >$QUORATE_FILE && wc -l <$QUORATE_FILE"], timeoutSeconds: 5 },
  });

  test("give all that they print to the output, and end it when they succeeded", async () => {
    const output = new PassThrough();
    const kept = textOf(output);
    await echo.run("backup", { QUORATE_CODE: "0" }, undefined, { output });
    expect((await kept).split("\n")).toHaveLength(200_001);
  });

  test("break the output off when they fail, however much they printed", async () => {
    const output = new PassThrough();
    const kept = textOf(output).catch((error: unknown) => error);
    await expect(echo.run("backup", { QUORATE_CODE: "7" }, undefined, { output })).rejects.toMatchObject({ code: 7 });
    expect(await kept).toBeInstanceOf(Error);
  });

  test("end when their output cannot be kept", async () => {
    const output = new Writable({ write: (_chunk, _encoding, done) => done(new Error("the store is full")) });
    await expect(echo.run("backup", { QUORATE_CODE: "0" }, undefined, { output })).rejects.toMatchObject({
      code: 126,
      message: /its output could not be kept: the store is full/,
    });
  });

  test("read their input to its end", async () => {
    const folder = mkdtempSync(join(tmpdir(), "quorate-driver-"));
    const input = Readable.from(["a\n", "b\n"]);
    const { stdout } = await echo.run("restore", { QUORATE_FILE: join(folder, "restored") }, undefined, { input });
    expect(stdout.trim()).toBe("2");
    rmSync(folder, { recursive: true });
  });

  test("never see the end of an input that breaks", async () => {
    const folder = mkdtempSync(join(tmpdir(), "quorate-driver-"));
    const input = Readable.from(
      (function* () {
        yield "a\n";
        throw new Error("another hash");
      })(),
    );
    const restoring = echo.run("restore", { QUORATE_FILE: join(folder, "restored") }, undefined, { input });
    await expect(restoring).rejects.toMatchObject({ code: 126, message: /its input broke: another hash/ });
    rmSync(folder, { recursive: true });
  });
});
