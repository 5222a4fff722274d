/**
 * Runs every suite, one after the other, each whatever became of the one before, and prints the sum last:
 * `N passed, N failed`. Suites are cheap to expensive, so that a mistake shows early.
 */
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** One suite: what to run first, and which vitest project. */
interface Suite {
  readonly name: string;
  readonly before: readonly (readonly string[])[];
  /** Vitest project; none for a suite that is only its steps, each of which counts as one test. */
  readonly project?: string;
  readonly after?: readonly string[];
}

const SUITES: readonly Suite[] = [
  {
    name: "lint",
    before: [
      ["make", "-s", "lint"],
      ["make", "-s", "typecheck"],
      ["make", "-s", "verify"],
    ],
  },
  { name: "unit", before: [], project: "unit" },
  { name: "init", before: [["make", "-s", "init", "init-sanitized"]], project: "init" },
  { name: "model", before: [], project: "model" },
  { name: "api", before: [["hack/lab/lab", "build"]], project: "api" },
  { name: "engine", before: [["hack/host-postgres"]], project: "engine" },
  { name: "members", before: [["hack/host-postgres"], ["make", "-s", "bundle"]], project: "members" },
  {
    name: "lab",
    before: [
      ["make", "-s", "images"],
      ["hack/lab/lab", "up"],
    ],
    project: "lab",
    after: ["hack/lab/lab", "down"],
  },
];

/** How many tests of a suite passed and failed. */
interface Count {
  passed: number;
  failed: number;
}

function run(argv: readonly string[]): Promise<boolean> {
  const [program = "", ...args] = argv;
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: ["ignore", "inherit", "inherit"] });
    child.on("error", () => resolve(false));
    child.on("close", (code) => resolve(code === 0));
  });
}

async function runProject(project: string, folder: string): Promise<Count> {
  const report = join(folder, `${project}.json`);
  const ok = await run([
    "vitest",
    "run",
    "--project",
    project,
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${report}`,
  ]);
  try {
    const result = JSON.parse(await readFile(report, "utf8")) as {
      numPassedTests: number;
      numFailedTests: number;
      success: boolean;
    };
    // A file that could not even be loaded has no failed test and still is a failure.
    const failed = result.numFailedTests === 0 && !(ok && result.success) ? 1 : result.numFailedTests;
    return { passed: result.numPassedTests, failed };
  } catch {
    return { passed: 0, failed: 1 };
  }
}

async function runSuite(suite: Suite, folder: string): Promise<Count> {
  const count: Count = { passed: 0, failed: 0 };
  for (const step of suite.before) {
    if (await run(step)) count.passed += suite.project === undefined ? 1 : 0;
    else {
      process.stdout.write(`${suite.name}: ${step.join(" ")} failed\n`);
      count.failed++;
    }
  }
  if (suite.project !== undefined && count.failed === 0) {
    const tests = await runProject(suite.project, folder);
    count.passed += tests.passed;
    count.failed += tests.failed;
  }
  if (suite.after !== undefined && !(await run(suite.after))) count.failed++;
  return count;
}

const wanted = process.argv.slice(2);
const folder = await mkdtemp(join(tmpdir(), "quorate-test-"));
const total: Count = { passed: 0, failed: 0 };
const rows: string[] = [];
for (const suite of SUITES.filter((one) => wanted.length === 0 || wanted.includes(one.name))) {
  process.stdout.write(`\n\u001b[1m== ${suite.name}\u001b[0m\n`);
  const startMs = performance.now();
  const count = await runSuite(suite, folder);
  total.passed += count.passed;
  total.failed += count.failed;
  rows.push(
    `${suite.name.padEnd(8)} ${String(count.passed).padStart(5)} passed ${String(count.failed).padStart(4)} failed ` +
      `${((performance.now() - startMs) / 1000).toFixed(0).padStart(5)} s`,
  );
}
await rm(folder, { recursive: true });
process.stdout.write(`\n${rows.join("\n")}\n\n${total.passed} passed, ${total.failed} failed\n`);
process.exitCode = total.failed === 0 ? 0 : 1;
