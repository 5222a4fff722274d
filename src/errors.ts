// Every error this program throws on purpose. Anything else that is thrown is a bug. Imports nothing.

/** What every deliberate error carries. */
export interface ErrorDetails {
  /** One CamelCase word; becomes a condition reason, an event reason and a metric label, so keep the set small. */
  readonly reason: string;
  /** The object concerned, as `Kind namespace/name`. Never a body, never a secret. */
  readonly object?: string;
  readonly cause?: unknown;
}

/** Base of every error this program throws on purpose. The queue looks at `retry` and at nothing else. */
export abstract class OperatorError extends Error {
  /** `backoff`: may pass by itself. `never`: wait for a change of the spec or of the program. */
  abstract readonly retry: "backoff" | "never";
  readonly reason: string;
  readonly object: string | undefined;

  constructor(message: string, details: ErrorDetails) {
    super(
      details.object === undefined ? message : `${message}: ${details.object}`,
      details.cause === undefined ? undefined : { cause: details.cause },
    );
    this.name = new.target.name;
    this.reason = details.reason;
    this.object = details.object;
  }
}

/** May pass by itself; nothing was changed by the attempt. Retried with backoff. */
export class RetryableError extends OperatorError {
  readonly retry = "backoff";
  /** The earliest time, counted from the error, at which the other side wants to be asked again. */
  readonly retryAfterMs: number | undefined;

  constructor(message: string, details: ErrorDetails & { readonly retryAfterMs?: number | undefined }) {
    super(message, details);
    this.retryAfterMs = details.retryAfterMs;
  }
}

/** Will not pass until the spec or the program changes. Reported in status, never requeued. */
export class TerminalError extends OperatorError {
  readonly retry = "never";
}

/**
 * A write whose answer was lost: it may have happened, may not, and may still happen later.
 * Read the object again before acting on either assumption; a lease in this state is neither held nor free.
 */
export class IndeterminateError extends OperatorError {
  readonly retry = "backoff";
}
