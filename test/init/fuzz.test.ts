import { afterEach, expect, test } from "vitest";
import { built, eventually, InitUnderTest } from "./harness.ts";

/** Mulberry32: a small seeded generator, so that a failure repeats. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const lineCount = 10_000;
const verbs = ["HELLO", "NOW", "START", "FENCE", "DISARM", "SIGNAL", "STOP", "KILL", "hello", "", "STARTX", "FENCE\t1"];
const words = [
  "-1",
  "0",
  "1",
  "9",
  "64",
  "65",
  "99999999999999999999",
  "9223372036854775807",
  "0x10",
  " ",
  "=",
  "====",
  "dHJ1ZQ==",
  "QT1i",
  "L2Jpbi90cnVl",
  "A",
  "AAAA",
  "e1",
  "-",
  "%n%s%n",
  "\u0000",
  "\u00ff\u00fe",
  "x".repeat(65),
  "y".repeat(3000),
];

function randomLine(below: (limit: number) => number): string {
  if (below(500) === 0) return "z".repeat(65_530 + below(12)); // around the longest line
  if (below(10) === 0) return String.fromCharCode(...Array.from({ length: below(80) }, () => (11 + below(245)) & 0xff));
  const count = below(5);
  return [verbs[below(verbs.length)], ...Array.from({ length: count }, () => words[below(words.length)])].join(" ");
}

let init: InitUnderTest;
afterEach(() => init.close());

test("10,000 random lines in random pieces get one answer each, under address and undefined-behaviour sanitizers", async () => {
  init = await InitUnderTest.start({ binary: built("dist/quorate-init-sanitized") });
  const agent = await init.nextAgent();
  const below = generator(20_260_101);
  const all = Buffer.from(Array.from({ length: lineCount }, () => `${randomLine(below)}\n`).join(""), "latin1");
  let answers = 0;
  let partial = "";
  agent.lines.setEncoding("latin1").on("data", (chunk: string) => {
    const lines = (partial + chunk).split("\n");
    partial = lines.pop() ?? "";
    answers += lines.filter((line) => /^(OK|ERR|STATE|NOW|STARTED) /.test(line)).length;
  });
  for (let at = 0; at < all.length; ) {
    const size = 1 + below(4000);
    if (!agent.lines.write(all.subarray(at, at + size)))
      await new Promise((resolve) => agent.lines.once("drain", resolve));
    at += size;
  }
  await eventually("an answer to each line", () => answers >= lineCount, 50_000);
  agent.lines.write("KILL\nHELLO\n");
  await eventually("two more", () => answers >= lineCount + 2);
  expect(answers).toBe(lineCount + 2);
  expect(init.agents).toBe(1);
  init.signal("SIGTERM");
  agent.order({ do: "exit", code: 0 });
  expect(await init.exit()).toBe(0); // the leak check, too, ran at this exit
});
