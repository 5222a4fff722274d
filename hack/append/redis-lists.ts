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
      const answers = (await connection.ask("EXEC")).split(`${END}\n`);
      const confirmed = Number(await connection.ask(`WAIT ${followers} ${DEADLINE_MS / 2}`));
      // What it saw is worth as little as what it added: both may be gone with this leader.
      if (confirmed < followers) throw new Error(`${confirmed} followers confirmed`);
      return new Map(reads.map((list, at) => [list, numbersOf(answers[at])] as const));
    },
  };
}

/** @param answer - What LRANGE gave, a line for each element. */
function numbersOf(answer = ""): number[] {
  const lines = answer.split("\n").filter((line) => line !== "");
  const numbers = lines.map(Number);
  if (numbers.some(Number.isNaN)) throw new Error(`no list: ${answer.slice(0, 100)}`);
  return numbers;
}

/** A command that is refused is not queued, and until EXEC nothing happens. */
async function queue(connection: RedisConnection, command: string): Promise<void> {
  try {
    await connection.ask(command);
  } catch (error) {
    throw new NotTakenError(String(error), { cause: error });
  }
}
