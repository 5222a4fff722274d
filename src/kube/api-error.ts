// The one place where an HTTP status or a broken connection turns into a retry decision.
import { IndeterminateError, OperatorError, RetryableError, TerminalError } from "../errors.ts";

const LONGEST_MESSAGE = 2000; // a 422 of an immutable field prints two whole specs

/** What the API server said, without body and headers. Found as `cause` of the errors that KubeClient throws. */
export class ApiStatusError extends Error {
  /** HTTP status. */
  readonly code: number;
  /** `Status.reason`, such as AlreadyExists, or `Http<code>` where the answer was no Status (a proxy, an unknown path). */
  readonly reason: string;
  /** Name of the object the answer is about; absent when the path itself is unknown. */
  readonly objectName: string | undefined;
  readonly retryAfterMs: number | undefined;
  /** Reasons of the single causes, such as FieldValueInvalid or ResourceVersionTooLarge. */
  readonly causes: readonly string[];

  constructor(code: number, body: unknown, retryAfterMs?: number) {
    const status = isStatus(body) ? body : {};
    super((status.message ?? `HTTP status ${code}`).slice(0, LONGEST_MESSAGE));
    this.name = "ApiStatusError";
    this.code = code;
    this.reason = status.reason === undefined || status.reason === "" ? `Http${code}` : status.reason;
    this.objectName = status.details?.name;
    const seconds = status.details?.retryAfterSeconds;
    this.retryAfterMs = retryAfterMs ?? (seconds === undefined ? undefined : seconds * 1000);
    this.causes = (status.details?.causes ?? []).map((cause) => cause.reason ?? "");
  }
}

/** The connection failed, or the deadline passed, before an answer was complete. */
export class TransportError extends Error {
  /** errno or another code of Node, such as ECONNREFUSED; `DEADLINE` and `ABORTED` are ours. */
  readonly code: string;
  /** Whether any byte of the request may have left this machine. */
  readonly sent: boolean;

  constructor(code: string, sent: boolean) {
    super(sent ? `no answer (${code})` : `not sent (${code})`);
    this.name = "TransportError";
    this.code = code;
    this.sent = sent;
  }
}

const REFUSED = [400, 405, 406, 413, 415, 422]; // 403 and 404 are not among them: RBAC and CRDs are often applied late

/**
 * Turns what a call threw into a retry decision. Its reason is `Status.reason`, or Unreachable, Deadline, Aborted.
 *
 * @param write - Whether the call could have changed something; only then can its outcome be indeterminate.
 */
export function fromApiError(cause: unknown, object: string, write: boolean): OperatorError {
  if (cause instanceof OperatorError) return cause;
  if (cause instanceof TransportError) {
    const reason = { DEADLINE: "Deadline", ABORTED: "Aborted" }[cause.code] ?? "Unreachable";
    const details = { reason, object, cause };
    return write && cause.sent
      ? new IndeterminateError(`The answer of the API server was lost (${cause.code})`, details)
      : new RetryableError(`The API server did not answer (${cause.code})`, details);
  }
  if (!(cause instanceof ApiStatusError)) {
    return new RetryableError("The API server gave an unusable answer", { reason: "BadAnswer", object, cause });
  }
  const details = { reason: cause.reason, object, cause };
  const message = `${cause.message} (${cause.code})`;
  if (REFUSED.includes(cause.code)) return new TerminalError(message, details);
  // Timeouts of the server's store come back as 500 or 504, and a proxy's 502 or 503 may follow a request that it had passed on.
  if (write && cause.code >= 500) return new IndeterminateError(message, details);
  return new RetryableError(message, { ...details, retryAfterMs: cause.retryAfterMs });
}

/** The API server's answer behind `error`, if there was one. */
export function apiStatusOf(error: unknown): ApiStatusError | undefined {
  if (error instanceof ApiStatusError) return error;
  return error instanceof OperatorError && error.cause instanceof ApiStatusError ? error.cause : undefined;
}

/** A precondition failed: resourceVersion, uid, a field of another manager, or the name is taken. Read again and decide again. */
export function isConflict(error: unknown): boolean {
  return apiStatusOf(error)?.code === 409;
}

/** `create` met an object of that name. Also a conflict. */
export function isAlreadyExists(error: unknown): boolean {
  return isConflict(error) && apiStatusOf(error)?.reason === "AlreadyExists";
}

/** The object, its namespace or its kind is not there. */
export function isNotFound(error: unknown): boolean {
  return apiStatusOf(error)?.code === 404;
}

/** The resourceVersion or page token is too old: list again. */
export function isGone(error: unknown): boolean {
  return apiStatusOf(error)?.code === 410;
}

/** RBAC does not allow it (yet). */
export function isForbidden(error: unknown): boolean {
  return apiStatusOf(error)?.code === 403;
}

interface Status {
  readonly message?: string;
  readonly reason?: string;
  readonly details?: {
    readonly name?: string;
    readonly retryAfterSeconds?: number;
    readonly causes?: readonly { readonly reason?: string }[];
  };
}

function isStatus(body: unknown): body is Status {
  return typeof body === "object" && body !== null && "kind" in body && body.kind === "Status";
}
