// The benchmark of scale, on five clusters: it comes to its end, and both operators do the same work in it.
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Figure } from "../../bench/figures.ts";

const ROOT = join(import.meta.dirname, "../..");
const SUBJECTS = ["quorate", "go"];

interface ScaleFigure extends Figure {
  /** Objects of each kind, over all clusters. */
  readonly kinds?: Readonly<Record<string, number>>;
}

let folder: string;
let figures: readonly ScaleFigure[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quorate-scale-"));
  const sizes = { CLUSTERS: "5", CHANGES: "5", REST_SECONDS: "10", SUBJECTS: SUBJECTS.join(",") };
  const env = { ...process.env, ...sizes, RESULTS: folder };
  await promisify(execFile)(process.execPath, [join(ROOT, "bench/scale.ts")], { env, maxBuffer: 16 << 20 });
  const lines = (await readFile(join(folder, "scale.jsonl"), "utf8")).trim().split("\n");
  figures = lines.map((line) => JSON.parse(line) as ScaleFigure);
});

afterAll(() => rm(folder, { recursive: true, force: true }));

function figure(subject: string, metric: string): ScaleFigure {
  const found = figures.find((one) => one.subject === subject && one.metric === metric);
  if (found === undefined) throw new Error(`no figure ${metric} of ${subject}`);
  return found;
}

test.each(SUBJECTS)("%s writes nothing at rest, and nothing when it starts anew", (subject) => {
  expect(figure(subject, "writes_at_rest").max).toBe(0);
  expect(figure(subject, "restart_writes").max).toBe(0);
});

test.each(SUBJECTS)("%s answers every change of a spec", (subject) => {
  expect(figure(subject, "spec_to_first_write").n).toBe(5);
  expect(figure(subject, "spec_to_status").n).toBe(5);
});

test("both make the same objects", () => {
  const [ours, theirs] = SUBJECTS.map((subject) => {
    const { events: _, ...kinds } = figure(subject, "create_objects_per_cluster").kinds ?? {}; // of its own accord
    return kinds;
  });
  expect(Object.keys(ours ?? {}).length).toBeGreaterThan(10);
  expect(theirs).toEqual(ours);
});
