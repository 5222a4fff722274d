import { Writable } from "node:stream";
import { describe, expect, test } from "vitest";
import { ClusterSpec } from "../../../src/api/cluster-spec.ts";
import type { OperationStatus } from "../../../src/api/cluster-operation.ts";
import { openLiveLine } from "../../../src/cli/commands/live-line.ts";
import { PLAIN } from "../../../src/cli/palette.ts";
import { clusterProgress, operationProgress, progressBar, progressLine } from "../../../src/cli/progress.ts";

function cluster(status?: object): ClusterSpec {
  return ClusterSpec.parse({
    apiVersion: "quorate.io/v1alpha1",
    kind: "ClusterSpec",
    metadata: { name: "orders", namespace: "shop", generation: 3 },
    spec: { engine: { name: "postgres" } },
    ...(status === undefined ? {} : { status }),
  });
}

describe("a bar", () => {
  test.each([
    [0, 3, 0],
    [1, 3, 8],
    [3, 3, 24],
    [4, 3, 24],
    [-1, 3, 0],
    [0, 0, 0],
  ])("of %d of %d has %d full places", (done, total, full) => {
    expect(progressBar({ done, total }, PLAIN)).toBe("█".repeat(full) + "░".repeat(24 - full));
  });

  test("goes with the count, and the time of what it may take", () => {
    const times = { elapsedMs: 83_000, limitMs: 300_000 };
    const bar = `${"█".repeat(16)}${"░".repeat(8)}`;
    expect(progressLine({ done: 2, total: 3, what: "members restarted" }, times, PLAIN)).toBe(
      `${bar} 2/3 members restarted, 1m23s of 5m`,
    );
  });
});

describe("a cluster's way", () => {
  const rollout = { revision: "h2", phase: "Progressing", updated: ["orders-2"] };
  test.each([
    { why: "nothing is known yet", status: undefined, expected: { done: 0, total: 0, what: "members ready" } },
    {
      why: "members come up",
      status: { readyMembers: 1, desiredMembers: 3 },
      expected: { done: 1, total: 3, what: "members ready" },
    },
    {
      why: "it is rolled",
      status: { readyMembers: 3, desiredMembers: 3, rollout },
      expected: { done: 1, total: 3, what: "members at revision h2" },
    },
    {
      why: "a canary bakes",
      status: { readyMembers: 3, desiredMembers: 3, rollout: { ...rollout, phase: "Baking", step: "1/3" } },
      expected: { done: 1, total: 3, what: "members at revision h2 (step 1/3)" },
    },
    {
      why: "the roll is over and a member is not ready",
      status: { readyMembers: 2, desiredMembers: 3, rollout: { ...rollout, phase: "Complete" } },
      expected: { done: 2, total: 3, what: "members ready" },
    },
    {
      why: "its shards come up",
      status: {
        shards: [
          { name: "orders-s0", ready: true, slots: "0-1" },
          { name: "orders-s1", ready: false, slots: "2-3" },
        ],
      },
      expected: { done: 1, total: 2, what: "shards ready" },
    },
  ])("when $why", ({ status, expected }) => {
    expect(clusterProgress(cluster(status))).toEqual(expected);
  });
});

describe("an operation's way", () => {
  const cases: readonly (readonly [status: OperationStatus, expected: string])[] = [
    [{}, "0/2 steps"],
    [{ phase: "Pending", message: "waits for another operation" }, "0/2 steps"],
    [{ phase: "Running", message: "orders-0 hands over to orders-1" }, "1/2 steps"],
    [{ phase: "Done", message: "orders-1 leads" }, "2/2 steps"],
    [{ phase: "Refused", message: "3/4 is no member" }, "1/2 steps"],
    [{ phase: "Running", message: "1/3 restarted, orders-1 is next" }, "1/3 members restarted"],
    [{ phase: "Running", message: "0/5 defragmented, waits for orders-1" }, "0/5 members defragmented"],
    [{ phase: "Running", message: "7/12 members replaced" }, "7/12 members replaced"],
  ];
  test.each(cases)("%o", (status, expected) => {
    const { done, total, what } = operationProgress(status);
    expect(`${done}/${total} ${what}`).toBe(expected);
  });
});

/** A terminal, or a pipe, that keeps what it gets. */
class Screen extends Writable {
  readonly isTTY: boolean;
  readonly columns = 30;
  text = "";

  constructor(isTTY: boolean) {
    super();
    this.isTTY = isTTY;
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

describe("a live line", () => {
  function told(isTTY: boolean): string {
    const screen = new Screen(isTTY);
    const line = openLiveLine(screen, (word) => `5s ${word}`);
    line.tell("Pending", "bar 0/2");
    line.tell("Running", "bar 1/2");
    line.tell("Running", "bar 1/2, and later, and more than fits");
    line.end();
    return screen.text;
  }

  test("is no line where nobody looks: every new word is one", () => {
    expect(told(false)).toBe("5s Pending\n5s Running\n");
  });

  test("is drawn over on a terminal, cut to its width, and taken away at the end", () => {
    const text = told(true);
    expect(text).toContain("bar 0/2");
    expect(text).toContain("bar 1/2, and later, and more …".slice(0, 29));
    expect(text).not.toContain("than fits");
    expect(visible(text)).toEqual(["5s Pending", "5s Running"]);
  });
});

/** What a terminal shows after all of it: lines are erased, and the cursor goes up. */
function visible(text: string): string[] {
  const lines = [""];
  let row = 0;
  for (const [token] of text.replaceAll("\u001B", "^").matchAll(/\^\[[?]?\d*[A-Za-z]|\n|[^^\n]+/g)) {
    const [, count = "1", code] = /^\^\[[?]?(\d*)([A-Za-z])$/.exec(token) ?? [];
    if (token === "\n") row += 1;
    else if (code === "A") row = Math.max(0, row - Number(count === "" ? 1 : count));
    else if (code === "K") lines[row] = "";
    else if (code === "J") lines.splice(row);
    else if (code === undefined) lines[row] = (lines[row] ?? "") + token;
    lines[row] ??= "";
  }
  return lines.filter((line) => line !== "");
}
