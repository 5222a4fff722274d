/** Lists of Redis: reads and appends in one MULTI, acknowledged once followers have confirmed it. */
import { DEADLINE_MS, type RedisAddress, RedisConnection } from "../scenario/redis-connection.ts";
import { type ListSession, NotTakenError } from "./list-store.ts";

/** Stands in the answer of EXEC behind each list: elements of its elements come as one line each. */
const END = "end";

/** Connects. @param followers - How many must have confirmed a transaction (WAIT). @throws when the server does not answer. */
export async function openRedisLists(address: RedisAddress, password: string, followers: number): Promise<ListSession> {
  const connection = await RedisConnection.open(address, password);
  return {
    close: () => connection.end(),
    transact: async ({ reads, appends }) => {
      await queue(connection, "MULTI");
      for (const list of reads) {
        await queue(connection, `LRANGE ${list} 0 -1`);
        await queue(connection, `ECHO ${END}`);
      }
      for (const { list, value } of appends) await queue(connection, `RPUSH ${list} ${value}`);
      const seen = readsOf((await connection.ask("EXEC")).split("\n"), reads, appends.length);
      const confirmed = Number(await connection.ask(`WAIT ${followers} ${DEADLINE_MS / 2}`));
      // What it saw is worth as little as what it added: both may be gone with this leader.
      if (confirmed < followers) throw new Error(`${confirmed} followers confirmed`);
      return seen;
    },
  };
}

/**
 * @param lines - What EXEC gave: the elements of each list and END, then a number for each append.
 * @throws when it is anything else: a command may fail although the transaction is carried out.
 */
function readsOf(lines: readonly string[], lists: readonly string[], appends: number): Map<string, readonly number[]> {
  const reads = new Map<string, readonly number[]>();
  let from = 0;
  for (const list of lists) {
    const end = lines.indexOf(END, from);
    if (end < 0) throw new Error(`no answer for ${list}`);
    const elements = lines.slice(from, end).filter((line) => line !== ""); // nothing is a line, too
    reads.set(list, numbersOf(elements));
    from = end + 1;
  }
  if (numbersOf(lines.slice(from)).length !== appends) throw new Error("an append has no answer");
  return reads;
}

function numbersOf(lines: readonly string[]): number[] {
  const wrong = lines.find((line) => !/^\d+$/.test(line));
  if (wrong !== undefined) throw new Error(`no number: ${wrong.slice(0, 100)}`);
  return lines.map(Number);
}

/** A command that is refused is not queued, and until EXEC nothing happens. */
async function queue(connection: RedisConnection, command: string): Promise<void> {
  try {
    await connection.ask(command);
  } catch (error) {
    throw new NotTakenError(String(error), { cause: error });
  }
}
