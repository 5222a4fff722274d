/** How the agent's watches behave when the API server comes back: soon again, whatever it asks of ordinary clients. */

/** A member that hears a second late leads a second late; three watches of one pod are no storm. */
export const WATCH_TIMING = { maxBackoffMs: 1000 } as const;
