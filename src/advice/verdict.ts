// How advice is worded.
import type { Advice, Setting } from "./advice.ts";

type Subject = Advice["subject"];

/** It is right as it is. */
export const keep = (subject: Subject, found: string): Advice => ({ subject, verdict: "Keep", found, settings: [] });

/** What was seen says nothing; `found` says what is missing. */
export const unknown = (subject: Subject, found: string): Advice => ({
  subject,
  verdict: "Unknown",
  found,
  settings: [],
});

/** Something else would be better. */
export function advise(
  subject: Subject,
  verdict: "Raise" | "Lower" | "Change",
  found: string,
  settings: readonly Setting[],
): Advice {
  return { subject, verdict, found, settings };
}
