/**
 * Runs the suites that are named, or all but the long ones (EVERYTHING=1: those, too), each whatever became of the others, and
 * prints the sum last: `N passed, N failed`.
 * Cheap ones come first, so that a mistake shows early. Most of them wait more than they compute, so several lanes run
 * beside each other; the tests on the lab share the machine only with what yields, the long ones with nothing.
 */
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";

/** One suite: what to run first, and which vitest project. */
interface Suite {
  readonly name: string;
  readonly before: readonly (readonly string[])[];
  /** Vitest projects, run as one; none for a suite that is only its steps, each of which counts as one test. */
  readonly projects?: readonly string[];
  /** Runs only when it is asked for, by its name or with everything. */
  readonly isLong?: boolean;
  /** Computes all the time and measures none: runs in what its neighbours leave of the processors, and only in that. */
  readonly isYielding?: boolean;
}

/** What runs one after the other is a lane; the lanes of a stage run beside each other. */
type Lane = readonly Suite[];

const LINT: Suite = {
  name: "lint",
  before: [
    ["make", "-s", "lint"],
    ["make", "-s", "typecheck"],
    ["make", "-s", "verify"],
  ],
};
const UNIT: Suite = { name: "unit", before: [], projects: ["unit"] };
const INIT: Suite = { name: "init", before: [["make", "-s", "init", "init-sanitized"]], projects: ["init"] };
const MODEL: Suite = { name: "model", before: [], projects: ["model"], isYielding: true };
const SIM: Suite = { name: "sim", before: [], projects: ["sim"], isYielding: true };
/** What the suites after it need, made or installed once: two lanes would install beside each other, or build the same twice. */
const TOOLS: Suite = {
  name: "tools",
  before: [
    ["hack/lab/lab", "build"],
    ["hack/lab/lab", "build-checkers"],
    ["hack/host-postgres"],
    ["hack/host-prometheus"],
    ["hack/host-redis"],
    ["hack/host-mariadb"],
    ["hack/host-rabbitmq"],
    ["hack/host-browser"],
  ],
};
const API: Suite = { name: "api", before: [], projects: ["api", "api-rights"] };
/** The operator with an API server that is overloaded in every way, and beside tools that apply for ten minutes. */
const API_LONG: Suite = { name: "api-long", before: [], projects: ["api-long"], isLong: true };
const ENGINE: Suite = { name: "engine", before: [], projects: ["engine"] };
/** Every built-in Engine against every rule of the contract. */
const CONFORMANCE: Suite = { name: "conformance", before: [], projects: ["conformance"] };
/** Engines that break a rule, accounts of slow starters, slots that move, and a broker that is killed. */
const ENGINE_LONG: Suite = { name: "engine-long", before: [], projects: ["engine-long"], isLong: true };
const PROMETHEUS: Suite = { name: "prometheus", before: [], projects: ["prometheus"] };
/** All faults at once, for hours, and their ends; each fault in a maintenance window. */
const PROMETHEUS_LONG: Suite = { name: "prometheus-long", before: [], projects: ["prometheus-long"], isLong: true };
const MEMBERS: Suite = {
  name: "members",
  before: [["make", "-s", "bundle"]],
  projects: ["members"],
};
const COLLECTOR = ["hack/lab/lab", "build-collector"];
/** Groups whose sizes change, hooks, rolls, alerts and traces: minutes each. */
const MEMBERS_LONG: Suite = {
  name: "members-long",
  before: [["make", "-s", "bundle"], COLLECTOR],
  projects: ["members-long"],
  isLong: true,
};
/** Both operators of the benchmark of scale, on few clusters: minutes. */
const BENCH_LONG: Suite = {
  name: "bench-long",
  before: [["make", "-s", "scale-subjects"]],
  projects: ["bench-long"],
  isLong: true,
};
/** What is shipped, file by file. */
const IMAGES: Suite = { name: "images", before: [["make", "-s", "sbom"]], projects: ["images"] };
/** A release, packed twice. */
const IMAGES_LONG: Suite = { name: "images-long", before: [], projects: ["images-long"], isLong: true };
const LAB_BEFORE: Suite["before"] = [
  ["make", "-s", "images"],
  ["hack/lab/lab", "up"],
];
/** Made and started while the lane beside it is still at work; the lab's suites find it there. */
const LAB_UP: Suite = { name: "lab-up", before: LAB_BEFORE };
const LAB: Suite = { name: "lab", before: LAB_BEFORE, projects: ["lab"] };
/** Changes, sizes, installations and outages that take minutes each. */
const LAB_LONG: Suite = {
  name: "lab-long",
  before: [
    ...LAB_BEFORE,
    COLLECTOR,
    ["hack/lab/lab", "build-policies"],
    ["hack/host-prometheus"],
    ["hack/host-browser"],
  ],
  projects: ["lab-long"],
  isLong: true,
};

const STAGES: readonly (readonly Lane[])[] = [
  [[LINT, UNIT], [INIT], [SIM]],
  [[TOOLS]],
  // The members' tests are about time: beside them run what mostly waits.
  [
    [MEMBERS, ENGINE, ENGINE_LONG, PROMETHEUS_LONG, MEMBERS_LONG, IMAGES, IMAGES_LONG, LAB_UP],
    [API, PROMETHEUS, CONFORMANCE, API_LONG, BENCH_LONG],
  ],
  // The lab waits for most of its time, and asserts none of it: the model has what it leaves.
  [[LAB], [MODEL]],
  [[LAB_LONG]],
];

/** How many tests of a suite passed and failed. */
interface Count {
  passed: number;
  failed: number;
}

/** What is read of vitest's report. */
interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly success: boolean;
  readonly testResults: readonly FileReport[];
}

interface FileReport {
  readonly name: string;
  readonly status: string;
  readonly message: string;
  readonly assertionResults: readonly {
    readonly fullName: string;
    readonly status: string;
    readonly failureMessages: readonly string[] | null;
  }[];
}

/** A line for each test of a file that failed, or for the file if it could not be loaded or set up. */
function failuresOf(suite: string, { name, status, message, assertionResults }: FileReport): string[] {
  const firstLine = (text = ""): string => text.split("\n", 1)[0]?.slice(0, 200) ?? "";
  const failed = assertionResults.filter((test) => test.status === "failed");
  if (failed.length === 0) return status === "failed" ? [`${suite}: ${basename(name)}: ${firstLine(message)}`] : [];
  return failed.map((test) => `${suite}: ${basename(name)}: ${test.fullName}: ${firstLine(test.failureMessages?.[0])}`);
}

/** Where a suite's output goes: to the terminal as it comes, or together once the suite has ended. */
type Output = (text: string) => void;

function run(argv: readonly string[], output: Output): Promise<boolean> {
  const [program = "", ...args] = argv;
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", output);
    child.on("error", (error) => {
      output(`${program}: ${error.message}\n`);
      resolve(false);
    });
    child.on("close", (code) => resolve(code === 0));
  });
}

async function runProjects({ name, projects = [], isYielding }: Suite, folder: string, output: Output): Promise<Count> {
  const report = join(folder, `${name}.json`);
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  const priority = isYielding === true ? ["chrt", "--idle", "0"] : [];
  const chosen = projects.flatMap((project) => ["--project", project]);
  const ok = await run([...priority, "vitest", "run", ...chosen, ...reporters], output);
  try {
    const result = JSON.parse(await readFile(report, "utf8")) as Report;
    failures.push(...result.testResults.flatMap((file) => failuresOf(name, file)));
    // A file that could not even be loaded has no failed test and still is a failure.
    const failed = result.numFailedTests === 0 && !(ok && result.success) ? 1 : result.numFailedTests;
    return { passed: result.numPassedTests, failed };
  } catch {
    return { passed: 0, failed: 1 };
  }
}

async function runSuite(suite: Suite, folder: string, output: Output): Promise<Count> {
  const count: Count = { passed: 0, failed: 0 };
  for (const step of suite.before) {
    if (await run(step, output)) count.passed += suite.projects === undefined ? 1 : 0;
    else {
      output(`${suite.name}: ${step.join(" ")} failed\n`);
      count.failed++;
    }
  }
  if (suite.projects !== undefined && count.failed === 0) {
    const tests = await runProjects(suite, folder, output);
    count.passed += tests.passed;
    count.failed += tests.failed;
  }
  return count;
}

/** Runs the suites of a lane. @param isAlone - Nothing runs beside it, so its output can be shown as it comes. */
async function runLane(lane: Lane, folder: string, isAlone: boolean): Promise<void> {
  for (const suite of lane) {
    const title = `\n\u001b[1m== ${suite.name}\u001b[0m\n`;
    let text = title;
    const output: Output = isAlone ? (part) => void process.stdout.write(part) : (part) => void (text += part);
    process.stdout.write(isAlone ? title : `${suite.name} …\n`);
    const startMs = performance.now();
    const count = await runSuite(suite, folder, output);
    if (!isAlone) process.stdout.write(text);
    total.passed += count.passed;
    total.failed += count.failed;
    rows.push(
      `${suite.name.padEnd(10)} ${String(count.passed).padStart(5)} passed ${String(count.failed).padStart(4)} failed ` +
        `${((performance.now() - startMs) / 1000).toFixed(0).padStart(5)} s`,
    );
  }
}

const wanted = process.argv.slice(2);
const isEverything = process.env["EVERYTHING"] === "1";
const isWanted = ({ name, isLong }: Suite): boolean =>
  wanted.length === 0 ? isLong !== true || isEverything : wanted.includes(name);
const folder = await mkdtemp(join(tmpdir(), "quorate-test-"));
// The suites start the same few programs hundreds of times: each is compiled once.
process.env["NODE_COMPILE_CACHE"] ??= join(folder, "compiled");
const total: Count = { passed: 0, failed: 0 };
const rows: string[] = [];
/** What failed, by name: said once more at the end, which is all that some readers of a long run see. */
const failures: string[] = [];
for (const stage of STAGES) {
  const lanes = stage.map((lane) => lane.filter(isWanted)).filter((lane) => lane.length > 0);
  await Promise.all(lanes.map((lane) => runLane(lane, folder, lanes.length === 1)));
}
if (
  [LAB_UP, LAB, LAB_LONG].some(isWanted) &&
  !(await run(["hack/lab/lab", "down"], (text) => void process.stdout.write(text)))
) {
  total.failed++;
}
await rm(folder, { recursive: true });
process.stdout.write(`\n${[...rows, "", ...failures].join("\n")}\n\n${total.passed} passed, ${total.failed} failed\n`);
process.exitCode = total.failed === 0 ? 0 : 1;
