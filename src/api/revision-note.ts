/** What the operator notes down about a revision of the members' pods, on the ControllerRevision that keeps its template. */
import { z } from "zod";

/** What became of a revision. Kept apart from status, which may be lost. */
export const RevisionNote = z.object({
  /** Trying until every member ran it; Good from then on, and the one to go back to; Failed is not tried again. */
  state: z.enum(["Trying", "Good", "Failed"]),
  /** When it was first wanted, or wanted again. */
  startedAt: z.string(),
  /** How often it failed; an override names the failure that it is about. */
  failures: z.int().min(0),
  /** Why it failed last. */
  reason: z.string(),
  /** How far a person let a canary go. */
  promoted: z.enum(["None", "Half", "All"]),
});
export type RevisionNote = z.infer<typeof RevisionNote>;
