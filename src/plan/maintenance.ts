// When maintenance windows are open. Time in, time out: nothing here looks at a clock.
import { Cron } from "croner";
import type { MaintenanceWindow } from "../api/objectives.ts";

const MINUTE_MS = 60_000;

/** A window and when it opens. */
export interface Opening {
  readonly window: MaintenanceWindow;
  readonly atMs: number;
}

/** Whether the window is open at `nowMs`: it opened less than its duration ago. */
export function isOpen(window: MaintenanceWindow, nowMs: number): boolean {
  const opened = nextRun(window, nowMs - window.durationMinutes * MINUTE_MS);
  return opened !== undefined && opened <= nowMs;
}

/** The window that opens first after `nowMs`; undefined when there is none. */
export function nextOpening(windows: readonly MaintenanceWindow[], nowMs: number): Opening | undefined {
  const openings = windows.flatMap((window) => {
    const atMs = nextRun(window, nowMs);
    return atMs === undefined ? [] : { window, atMs };
  });
  return openings.toSorted((a, b) => a.atMs - b.atMs || (a.window.name < b.window.name ? -1 : 1))[0];
}

const ANY_MS = Date.UTC(2026, 0, 1); // whether a schedule ever comes true does not depend on when one asks

/** What is wrong with a window that the API server could not see, with the fix; undefined when nothing is. */
export function windowProblem(window: MaintenanceWindow): string | undefined {
  const field = `spec.maintenanceWindows (${window.name})`;
  if (!isTimeZone(window.timeZone)) {
    return `${field}.timeZone ${window.timeZone} is not known. Use an IANA name such as Europe/Paris.`;
  }
  try {
    if (nextRun(window, ANY_MS) !== undefined) return undefined;
  } catch {
    return `${field}.cron '${window.cron}' is not a schedule. Write minute, hour, day of month, month and day of week, for example '0 3 * * 6'; ranges go upwards.`;
  }
  return `${field}.cron '${window.cron}' never comes true, because no such day exists. Correct day and month.`;
}

function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions().timeZone !== "";
  } catch {
    return false;
  }
}

/** The first opening after `afterMs`. */
function nextRun({ cron, timeZone }: MaintenanceWindow, afterMs: number): number | undefined {
  return new Cron(cron, { timezone: timeZone, mode: "5-part", paused: true }).nextRun(new Date(afterMs))?.getTime();
}
