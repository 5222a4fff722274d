/** Freezes `value` and everything in it, in place. Stops at what is frozen already, so shared parts cost nothing twice. */
export function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const name in value) deepFreeze(value[name]);
  }
  return value;
}
