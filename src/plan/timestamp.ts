// Times as the API stores them.

/** RFC 3339 in whole seconds, as metav1.Time is stored; more would never compare equal. */
export function timestamp(epochMs: number): string {
  return `${new Date(epochMs).toISOString().slice(0, 19)}Z`;
}
