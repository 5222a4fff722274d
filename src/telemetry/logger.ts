// Logs as JSON lines. Constant messages, variable fields; nothing secret, no bodies, no headers, whatever is thrown.
import { type DestinationStream, type Logger, pino } from "pino";
import { OperatorError } from "../errors.ts";

export type { Logger } from "pino";

/** Fields that say what a line is about; the same words everywhere, so that lines of operator and agents can be joined. */
export interface LogContext {
  readonly cluster?: string;
  readonly namespace?: string;
  readonly member?: string;
  readonly node?: string;
  readonly epoch?: number;
}

export interface LoggerOptions {
  /** `operator`, `agent`, … */
  readonly program: string;
  readonly version: string;
  readonly level?: "debug" | "info" | "warn" | "error";
  /** Default: standard output. */
  readonly destination?: DestinationStream;
}

/** Fields whose values are never written, whatever they are: nothing else may be called so. */
export const SECRET_FIELDS = [
  "authorization",
  "body",
  "data",
  "headers",
  "key",
  "password",
  "secret",
  "stringData",
  "token",
];

/** Creates the root logger of a program. */
export function createLogger(options: LoggerOptions): Logger {
  const settings = {
    level: options.level ?? "info",
    base: { program: options.program, version: options.version },
    messageKey: "message",
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { error: describeError, err: describeError },
    redact: { paths: SECRET_FIELDS.flatMap((field) => [field, `*.${field}`, `*.*.${field}`]), censor: "[redacted]" },
  };
  return options.destination === undefined ? pino(settings) : pino(settings, options.destination);
}

/** A logger whose lines carry `context`. */
export function withContext(logger: Logger, context: LogContext): Logger {
  return logger.child(context);
}

/** What a log line says of an error. */
export interface ErrorDescription {
  readonly type: string;
  readonly message: string;
  readonly reason?: string;
  readonly object?: string;
  readonly code?: string | number;
  /** Only for errors that are not thrown on purpose: those are bugs, and only the stack finds them. */
  readonly stack?: string;
  readonly cause?: ErrorDescription;
}

const DEEPEST_CAUSE = 4;

/**
 * Describes anything that was thrown by a fixed set of fields. Other properties of an error are never read, because HTTP clients
 * keep requests, answers and headers there; client-node's ApiException puts them even into its message.
 */
export function describeError(error: unknown, depth = 0): ErrorDescription {
  if (!(error instanceof Error))
    return { type: typeof error, message: typeof error === "string" ? error : "not an Error" };
  const code = fieldOf(error, "code");
  const known = code === undefined ? {} : { code };
  if (error.constructor.name === "ApiException") return { type: "ApiException", message: "HTTP error", ...known };
  const cause =
    error.cause === undefined || depth >= DEEPEST_CAUSE ? {} : { cause: describeError(error.cause, depth + 1) };
  const { name: type, message, stack } = error;
  if (error instanceof OperatorError) {
    const object = error.object === undefined ? {} : { object: error.object };
    return { type, message, reason: error.reason, ...object, ...known, ...cause };
  }
  const reason = fieldOf(error, "reason");
  return {
    type,
    message,
    ...(reason === undefined ? {} : { reason: String(reason) }),
    ...known,
    ...(depth > 0 || stack === undefined ? {} : { stack }),
    ...cause,
  };
}

function fieldOf(error: Error, field: "code" | "reason"): string | number | undefined {
  const value: unknown = field in error ? Reflect.get(error, field) : undefined;
  return typeof value === "string" || typeof value === "number" ? value : undefined;
}
