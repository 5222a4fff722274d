/** Log lines of several members, in the order of time. Pure. */

/** One line of a container's output. */
export interface LogLine {
  readonly member: string;
  /** RFC 3339 with nanoseconds, as the kubelet wrote it. */
  readonly time: string;
  readonly text: string;
}

/** Cuts a stream of text into lines; a line that is not complete waits for the rest, and comes at the end in any case. */
export async function* linesOf(member: string, chunks: AsyncIterable<string>): AsyncGenerator<LogLine, void, void> {
  let rest = "";
  for await (const chunk of chunks) {
    const parts = (rest + chunk).split("\n");
    rest = parts.pop() ?? "";
    for (const part of parts) yield toLine(member, part);
  }
  if (rest !== "") yield toLine(member, rest);
}

function toLine(member: string, line: string): LogLine {
  const space = line.indexOf(" ");
  return space < 0
    ? { member, time: line, text: "" }
    : { member, time: line.slice(0, space), text: line.slice(space + 1) };
}

/** All lines by time; lines of one time keep the order in which they were given. */
export function merged(lines: readonly LogLine[]): readonly LogLine[] {
  // Kubelets write as many digits as needed; without the Z a shorter time sorts before those that it begins.
  const key = ({ time }: LogLine) => time.replace(/Z$/, "");
  return lines.toSorted((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0));
}
