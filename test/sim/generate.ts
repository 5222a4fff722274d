// Schedules: every fault of a kind at every place of a scenario, or drawn from a seed.
import type { Fault, WatchFault, WriteFault } from "./faults.ts";
import type { Reference } from "./compare.ts";
import type { Schedule } from "./run-schedule.ts";
import type { Scenario } from "./scenarios.ts";
import { randomOf } from "./scheduler.ts";

const OPERATOR = "operator";
const KINDS = ["ClusterSpec", "Pod", "StatefulSet", "PersistentVolumeClaim", "ConfigMap", "ControllerRevision", "Node"];
/** Faults of writes that are tried at every write. */
export const WRITE_FAULTS = ["CrashBefore", "CrashAfter", "LoseAnswer", "Ghost", "Refuse"] as const;

/** P1, P4, P5: each of `kinds` at every write that the scenario makes, one a schedule. */
export function* atEveryWrite(
  scenario: Scenario,
  reference: Reference,
  kinds: readonly WriteFault["kind"][] = WRITE_FAULTS,
): Generator<Schedule> {
  for (const kind of kinds) {
    for (let write = 1; write <= reference.writes; write += 1) {
      yield { scenario, seed: write, faults: [writeFault(kind, write, write)] };
    }
  }
}

/** P3, P5, P6: one of `kinds` at every change that the operator is sent, one a schedule. */
export function* atEveryEvent(
  scenario: Scenario,
  reference: Reference,
  kinds: readonly WatchFault["kind"][],
): Generator<Schedule> {
  for (const kind of kinds) {
    for (const [of, count] of reference.events) {
      for (let event = 1; event <= count; event += 1) {
        const at = { actor: OPERATOR, of, event };
        yield {
          scenario,
          seed: event,
          faults: [kind === "HoldWatch" ? { kind, ...at, forMs: 30_000 } : { kind, ...at }],
        };
      }
    }
  }
}

function writeFault(kind: WriteFault["kind"], write: number, draw: number): WriteFault {
  const at = { actor: OPERATOR, write };
  const code = ([409, 429, 500, 503] as const)[draw % 4] ?? 500;
  switch (kind) {
    case "Refuse":
      return { kind, ...at, code, times: 1 + (draw % 3) };
    case "Ghost":
    case "Slow":
      return { kind, ...at, delayMs: 200 + (draw % 7) * 5_000 };
    default:
      return { kind, ...at };
  }
}

/** One schedule of a seed: a scenario with one to three things that go wrong. */
export function randomSchedule(seed: number, scenario: Scenario, reference: Reference): Schedule {
  const random = randomOf(seed);
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)] as T;
  const upTo = (most: number): number => Math.floor(random() * most);
  const write = (): Fault => writeFault(pick([...WRITE_FAULTS, "Slow"]), 1 + upTo(reference.writes), upTo(100));
  const watch = (): Fault => {
    const of = pick(KINDS);
    const at = { actor: OPERATOR, of, event: 1 + upTo(Math.max(1, reference.events.get(of) ?? 1)) };
    const kind = pick(["HoldWatch", "SilenceWatch", "BreakWatch", "ForgetVersions"] as const);
    return kind === "HoldWatch" ? { kind, ...at, forMs: 1_000 + upTo(60_000) } : { kind, ...at };
  };
  const timed = (): Fault => {
    const atMs = upTo(120_000);
    const forMs = 1_000 + upTo(40_000);
    return pick<() => Fault>([
      () => ({ kind: "Cut", a: OPERATOR, b: "api", atMs, forMs, oneWay: random() < 0.4 }),
      () => ({ kind: "Cut", a: "leader", b: "others", atMs, forMs, oneWay: random() < 0.2 }),
      () => ({ kind: "Cut", a: "leader", b: "api", atMs, forMs }),
      () => ({ kind: "Pause", actor: OPERATOR, atMs, forMs }),
      () => ({ kind: "Crash", actor: OPERATOR, atMs }),
      () => ({ kind: "Crash", actor: "leader", atMs }),
      () => ({ kind: "SecondOperator", atMs, forMs }),
      () => ({ kind: "Deaf", atMs, forMs }),
      () => ({ kind: "ChangeSpec", atMs, patch: pick(CHANGES) }),
    ])();
  };
  const skew = (): Fault => ({
    kind: "Skew",
    actor: OPERATOR,
    rate: 0.99 + random() * 0.02,
    aheadMs: upTo(20_000) - 10_000,
  });
  const faults = Array.from({ length: 1 + upTo(3) }, () => pick([write, write, watch, watch, timed, timed, skew])());
  return { scenario, seed, faults };
}

/** P10: what users change in the middle of anything. */
const CHANGES: readonly object[] = [
  { members: 5 },
  { members: 3 },
  { members: 2 },
  { engine: { version: "2" } },
  { engine: { version: "1", image: null } },
  { parameters: { verbosity: "7" } },
  { resources: { requests: { memory: "2Gi" } } },
  { paused: true },
  { stopped: true },
  { deletionProtection: true },
];
