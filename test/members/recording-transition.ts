/** The protocol's transition as real agents call it, and what each call was given and gave: takes the place of `transition.ts` in a bundle. */
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { serialize } from "node:v8";
import type { Event } from "../../src/agent/protocol/exchange.ts";
import type { State } from "../../src/agent/protocol/state.ts";
import { type Transition, transition as decide } from "../../src/agent/protocol/transition.ts";

/** One call, with the process that made it. */
export interface Step {
  readonly boot: string;
  readonly before: State;
  readonly event: Event;
  readonly made: Transition;
}

let boot: string | undefined; // not as it is loaded: a snapshot would hold its maker's

/** Decides as production does. Each step is on its way to the file before any effect of it begins. */
export function transition(before: State, event: Event): Transition {
  const made = decide(before, event);
  boot ??= `${process.pid}-${Date.now()}`;
  const step: Step = { boot, before, event, made };
  appendFileSync(join(process.env["QUORATE_RUN_DIR"] ?? "/run", "protocol"), `${serialize(step).toString("base64")}\n`);
  return made;
}
