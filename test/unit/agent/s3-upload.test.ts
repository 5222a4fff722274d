/** Into how many parts of which length a body is cut. */
import { expect, test } from "vitest";
import { partBytes } from "../../../src/agent/backup/s3-upload.ts";

const MIB = 1024 * 1024;

test("parts are as long as S3 wants them, begin small, and hold 429 GiB together", () => {
  const lengths = Array.from({ length: 10_000 }, (_, index) => partBytes(index + 1));
  expect(lengths[0]).toBe(8 * MIB);
  expect(lengths[999]).toBe(8 * MIB);
  expect(lengths[1000]).toBe(16 * MIB);
  expect(lengths.at(-1)).toBe(80 * MIB);
  expect(Math.floor(lengths.reduce((sum, length) => sum + length, 0) / (1024 * MIB))).toBe(429);
});
