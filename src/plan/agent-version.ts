// Versions of agents, as they report them.

/** A version that can be compared. */
export type AgentVersion = readonly [major: number, minor: number, patch: number];

/** Reads a version. @returns undefined when it is none, as of a program that is being worked on. */
export function parseVersion(text: string): AgentVersion | undefined {
  const [, major, minor, patch] = /^(\d+)\.(\d+)\.(\d+)/.exec(text) ?? [];
  return major === undefined ? undefined : [Number(major), Number(minor), Number(patch)];
}

/** Whether the one is older than the other. */
export function isOlder(one: AgentVersion, other: AgentVersion): boolean {
  const at = one.findIndex((part, index) => part !== other[index]);
  return at >= 0 && (one[at] ?? 0) < (other[at] ?? 0);
}
