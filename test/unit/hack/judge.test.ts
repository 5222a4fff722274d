import { describe, expect, test } from "vitest";
import { judge, type Row, type Tally } from "../../../hack/writer/judge.ts";

function tallyOf(change: Partial<Tally>): Tally {
  return {
    attempted: [1, 2, 3],
    acked: [1, 2, 3],
    warned: [],
    unknown: [],
    rejected: [],
    refused: 0,
    ackTimes: [1000, 1020, 1040],
    epochs: ["1/", "1/", "1/"],
    ...change,
  };
}

function rowsOf(...rows: [number, string][]): Row[] {
  return rows.map(([seq, timeline]) => ({ seq, timeline, epoch: "" }));
}

describe("the verdict", () => {
  test("is clean when all that was acknowledged is there, in order", () => {
    const verdict = judge(tallyOf({}), rowsOf([1, "00000001"], [2, "00000001"], [3, "00000002"]));
    expect(verdict).toMatchObject({ lost: 0, unexpected: 0, outOfOrder: 0, largestGapMs: 20 });
  });

  test("counts an acknowledged row that is missing as lost, an unknown one not", () => {
    expect(judge(tallyOf({}), rowsOf([1, "1"], [3, "1"])).lost).toBe(1);
    expect(judge(tallyOf({ acked: [1, 3], unknown: [2] }), rowsOf([1, "1"], [3, "1"])).lost).toBe(0);
  });

  test("counts a row that nobody attempted, or that was rejected", () => {
    expect(judge(tallyOf({}), rowsOf([1, "1"], [2, "1"], [3, "1"], [9, "1"])).unexpected).toBe(1);
    expect(judge(tallyOf({ acked: [1, 3], rejected: [2] }), rowsOf([1, "1"], [2, "1"], [3, "1"])).unexpected).toBe(1);
  });

  test("sees an old leader that writes after a new one", () => {
    expect(judge(tallyOf({}), rowsOf([1, "00000001"], [2, "00000002"], [3, "00000001"])).outOfOrder).toBe(1);
    expect(
      judge(tallyOf({ epochs: ["00000002/", "00000001/", "00000002/"] }), rowsOf([1, "1"], [2, "1"], [3, "1"]))
        .outOfOrder,
    ).toBe(1);
  });

  test("measures the largest gap between two acknowledgements", () => {
    const verdict = judge(tallyOf({ ackTimes: [1000, 1700, 1720] }), rowsOf([1, "1"], [2, "1"], [3, "1"]));
    expect(verdict).toMatchObject({ largestGapMs: 700, gaps: [{ atMs: 1000, ms: 700 }] });
  });
});
