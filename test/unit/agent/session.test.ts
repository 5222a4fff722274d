import { afterEach, describe, expect, test } from "vitest";
import { EngineSession, SessionError } from "../../../src/agent/engine/session.ts";

/** A client that obeys: `out X`, `err X`, `mark X` (on both streams), `die`, `hang`, `flood`. */
const CLIENT = `
const lines = require("node:readline").createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const [verb, ...rest] = line.split(" ");
  const text = rest.join(" ");
  if (verb === "out") process.stdout.write(text + "\\n");
  if (verb === "err") process.stderr.write(text + "\\n");
  if (verb === "mark") { process.stdout.write(text + "\\n"); process.stderr.write(text + "\\n"); }
  if (verb === "die") process.exit(3);
  if (verb === "hang") lines.removeAllListeners("line");
  if (verb === "flood") { const wall = "x".repeat(65536) + "\\n"; for (;;) require("node:fs").writeSync(1, wall); }
});
setInterval(() => undefined, 1000);
`;

const sessions: EngineSession[] = [];
function open(): EngineSession {
  const session = new EngineSession({
    argv: [process.execPath, "-e", CLIENT],
    env: process.env,
    markerStatement: (marker) => `mark ${marker}`,
  });
  sessions.push(session);
  return session;
}

afterEach(() => {
  for (const session of sessions.splice(0)) session.close();
});

describe("a session of an engine's client", () => {
  test("hands over what a statement printed, on both streams", async () => {
    const session = open();
    expect(await session.run("out one", 5000)).toEqual({ stdout: ["one"], stderr: [] });
    expect(await session.run("err two", 5000)).toEqual({ stdout: [], stderr: ["two"] });
  });

  test("keeps the answers of statements sent at once apart and in order", async () => {
    const session = open();
    const answers = await Promise.all([1, 2, 3, 4].map((number) => session.run(`out ${number}`, 5000)));
    expect(answers.map((answer) => answer.stdout)).toEqual([["1"], ["2"], ["3"], ["4"]]);
  });

  test("fails when the client ends, and works again with the next statement", async () => {
    const session = open();
    await expect(session.run("die", 5000)).rejects.toThrow(/ended with code 3/);
    expect((await session.run("out again", 5000)).stdout).toEqual(["again"]);
  });

  test("never takes a late answer for the next statement's", async () => {
    const session = open();
    await expect(session.run("hang", 200)).rejects.toBeInstanceOf(SessionError);
    expect((await session.run("out fresh", 5000)).stdout).toEqual(["fresh"]);
  });

  test("does not let a client fill the memory", async () => {
    const session = open();
    await expect(session.run("flood", 5000)).rejects.toThrow(/too much/);
  });

  test("says why a client could not be started", async () => {
    const session = new EngineSession({ argv: ["/no/such/client"], env: {}, markerStatement: (marker) => marker });
    await expect(session.run("x", 5000)).rejects.toThrow(/ENOENT/);
  });
});
