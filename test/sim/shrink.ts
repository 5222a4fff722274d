// From a schedule that fails to a shorter one that still does, and to what people read.
import { describeFault, type Fault } from "./faults.ts";
import type { Outcome, Schedule } from "./run-schedule.ts";
import type { ScenarioStep } from "./scenarios.ts";

/** Runs and judges one schedule. */
export type Judge = (schedule: Schedule) => Promise<Outcome>;

/** A schedule from which nothing can be taken away, and how it fails. */
export interface Shrunk {
  readonly schedule: Schedule;
  readonly outcome: Outcome;
}

/** Takes faults away, and shortens those that last, while the same oracle is still broken. */
export async function shrink(schedule: Schedule, outcome: Outcome, judge: Judge): Promise<Shrunk> {
  let best: Shrunk = { schedule, outcome };
  for (let isShorter = true; isShorter; ) {
    isShorter = false;
    // What is compared with a reference must stay the same story.
    const isCompared = outcome.violation?.oracle.startsWith("D") === true;
    for (const shorter of shorterOf(best.schedule, isCompared)) {
      const tried = await judge(shorter);
      if (tried.violation?.oracle !== outcome.violation?.oracle) continue;
      best = { schedule: shorter, outcome: tried };
      isShorter = true;
      break;
    }
  }
  return best;
}

function* shorterOf(schedule: Schedule, keepsSteps: boolean): Generator<Schedule> {
  const { faults, scenario } = schedule;
  for (let at = 0; at < faults.length; at += 1) yield { ...schedule, faults: faults.toSpliced(at, 1) };
  if (!keepsSteps && scenario.steps.length > 1)
    yield { ...schedule, scenario: { ...scenario, steps: scenario.steps.slice(0, -1) } };
  for (const [at, fault] of faults.entries()) {
    const milder = milderOf(fault);
    if (milder !== undefined) yield { ...schedule, faults: faults.with(at, milder) };
  }
}

const SHORTEST_MS = 1_000;

function milderOf(fault: Fault): Fault | undefined {
  if ("forMs" in fault && fault.forMs >= 2 * SHORTEST_MS) return { ...fault, forMs: Math.floor(fault.forMs / 2) };
  if (fault.kind === "Refuse" && fault.times > 1) return { ...fault, times: 1 };
  return undefined;
}

const LINES = 60;

/** A failing schedule as a timeline: what was asked, what went wrong, and what happened last. */
export function timelineOf({ schedule: { scenario, seed, faults }, outcome: { violation, trace } }: Shrunk): string {
  const steps = scenario.steps.map(({ forMs }: ScenarioStep) => `${forMs / 1000} s`).join(", ");
  return [
    `scenario ${scenario.name} (steps of ${steps === "" ? "none" : steps}), seed ${seed}`,
    ...faults.map((fault) => `  ⚡ ${describeFault(fault)}`),
    `  ✗ ${violation?.oracle ?? ""}: ${violation?.what ?? ""}`,
    "",
    ...trace.filter((line, at) => at >= trace.length - LINES || line.includes("⚡") || line.includes("user")),
  ].join("\n");
}
