// From the text of a watch to its events, one JSON object a line.
import { RetryableError } from "../errors.ts";
import type { Selection, WatchEvent } from "./api.ts";
import { ApiStatusError, fromApiError } from "./api-error.ts";
import { describeRef, type KubeObject, type Stored } from "./object.ts";

const LONGEST_LINE = 16 << 20; // the store refuses objects over 1.5 MB; this only bounds what a broken peer can make us keep
const INITIAL_EVENTS_END = "k8s.io/initial-events-end";

/**
 * Parses a watch. Ends when the text ends at a line's end.
 *
 * @throws {RetryableError} `WatchBroken` on a line that is no event, or one that is cut off: skipping it would lose a change.
 * @throws {OperatorError} for an ERROR line, by its Status; `isGone` tells that the version to start from was too old.
 */
export async function* parseWatch<T extends KubeObject>(
  text: AsyncIterable<string>,
  selection: Selection,
): AsyncGenerator<WatchEvent<T>, void, void> {
  const object = describeRef(selection);
  let pieces: string[] = []; // of a line whose end has not come yet
  let length = 0;
  for await (const chunk of text) {
    const lines = chunk.split("\n");
    const rest = lines.pop() ?? "";
    for (const line of lines) {
      const whole = pieces.length === 0 ? line : pieces.join("") + line;
      pieces = [];
      length = 0;
      if (whole !== "") yield parseEvent<T>(whole, object);
    }
    if (rest !== "") pieces.push(rest);
    length += rest.length;
    if (length > LONGEST_LINE) throw broken("a line is too long", object);
  }
  if (pieces.length > 0) throw broken("it ended within a line", object);
}

function parseEvent<T extends KubeObject>(line: string, object: string): WatchEvent<T> {
  let event: unknown;
  try {
    event = JSON.parse(line);
  } catch {
    throw broken("a line is no JSON", object);
  }
  if (!isRawEvent<T>(event)) throw broken("a line is no event", object);
  switch (event.type) {
    case "ADDED":
    case "MODIFIED":
    case "DELETED":
      return { type: event.type, object: event.object };
    case "BOOKMARK": {
      const { resourceVersion, annotations } = event.object.metadata;
      return { type: "BOOKMARK", resourceVersion, initialEventsEnd: annotations?.[INITIAL_EVENTS_END] === "true" };
    }
    case "ERROR":
      throw fromApiError(new ApiStatusError(event.object.code ?? 500, event.object), object, false);
    default:
      throw broken("a line is of an unknown type", object);
  }
}

type RawEvent<T extends KubeObject> =
  | { readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK"; readonly object: Stored<T> }
  | { readonly type: "ERROR"; readonly object: { readonly code?: number } };

function isRawEvent<T extends KubeObject>(value: unknown): value is RawEvent<T> {
  if (typeof value !== "object" || value === null || !("type" in value) || !("object" in value)) return false;
  const { type, object } = value;
  if (typeof object !== "object" || object === null) return false;
  if (type === "ERROR") return true;
  const metadata: unknown = "metadata" in object ? object.metadata : undefined;
  return typeof metadata === "object" && metadata !== null && "resourceVersion" in metadata;
}

function broken(why: string, object: string): RetryableError {
  return new RetryableError(`The watch broke: ${why}`, { reason: "WatchBroken", object });
}
