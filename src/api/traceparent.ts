// The trace of one change of a ClusterSpec, as operator and agents name it to each other: W3C's traceparent, whose trace id begins
// with the seconds since 1970 at which the change was made.

const FORM = /^00-(?<seconds>[0-9a-f]{8})[0-9a-f]{24}-[0-9a-f]{16}-01$/;
/** A failover next week is no part of the change before it. */
const CHANGE_LASTS_MS = 60 * 60 * 1000;

/** A traceparent. @param rest - 24 hexadecimal digits that complete the trace id. @param span - 16 of them: the span of the change itself. */
export function formatTraceparent(changedMs: number, rest: string, span: string): string {
  const seconds = Math.floor(changedMs / 1000) % 2 ** 32;
  return `00-${seconds.toString(16).padStart(8, "0")}${rest}-${span}-01`;
}

/** `traceparent` while what happens still counts as a part of its change; undefined later, and for what is no traceparent of ours. */
export function whileChanging(traceparent: string | undefined, nowMs: number): string | undefined {
  const seconds = FORM.exec(traceparent ?? "")?.groups?.["seconds"];
  if (seconds === undefined) return undefined;
  return nowMs - Number.parseInt(seconds, 16) * 1000 < CHANGE_LASTS_MS ? traceparent : undefined;
}
