import { tmpdir } from "node:os";
import { expect, test } from "vitest";
import { hasNoRoom, spaceOf } from "../../../src/agent/room.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;

test.each([
  { size: 2000 * GIB, free: 63 * MIB, wasFull: false, isFull: true },
  { size: 2000 * GIB, free: 65 * MIB, wasFull: false, isFull: false },
  { size: 2000 * GIB, free: 127 * MIB, wasFull: true, isFull: true },
  { size: 2000 * GIB, free: 129 * MIB, wasFull: true, isFull: false },
  { size: 400 * MIB, free: 19 * MIB, wasFull: false, isFull: true },
  { size: 400 * MIB, free: 21 * MIB, wasFull: false, isFull: false },
  { size: 400 * MIB, free: 0, wasFull: true, isFull: true },
])("$free of $size bytes, full before: $wasFull", ({ size, free, wasFull, isFull }) => {
  expect(hasNoRoom({ sizeBytes: size, freeBytes: free }, wasFull)).toBe(isFull);
});

test("a folder's file system says what there is, one that is not there nothing", async () => {
  const space = await spaceOf(tmpdir());
  expect(space?.freeBytes).toBeLessThanOrEqual(space?.sizeBytes ?? 0);
  expect(await spaceOf(`${tmpdir()}/not-mounted-yet`)).toBeUndefined();
});
