/** What the operator notes down about a revision of the members' pods, on the ControllerRevision that keeps its template. */
import * as z from "zod";
import { HookName } from "./agent-wire.ts";

/** What one of the Engine's hooks last answered about the update to a revision. */
export const HookNote = z.object({
  /** Of the request that was answered; it says when that was made. */
  id: z.string(),
  /** Refused: the hook itself said no. Failed: it could not say. */
  result: z.enum(["Done", "Refused", "Failed"]),
  message: z.string(),
  /** Whether a person had consented to a change that cannot be taken back. */
  consent: z.boolean(),
});
export type HookNote = z.infer<typeof HookNote>;

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
  /** Version of the engine; empty where an earlier operator noted the revision down. */
  version: z.string().default(""),
  /** Answers of the Engine's hooks about this try of the revision. */
  hooks: z.partialRecord(HookName, HookNote).default({}),
  /** A budget burned already when the last step was taken, and still does: that is not the revision's fault. */
  burnsSinceBefore: z.literal(true).optional(),
  /** Why a hook says that the change cannot be taken back; empty when none does. */
  irreversible: z.string().default(""),
});
export type RevisionNote = z.infer<typeof RevisionNote>;
