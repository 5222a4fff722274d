/** Lists in a table of PostgreSQL, in transactions of an isolation level. */
import { Client } from "pg";
import { ConflictError, type ListSession, NotTakenError, valuesOf } from "./list-store.ts";

/** Where a server listens, and as whom to speak with it. */
export interface PostgresAddress {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

/** Levels that the server knows. */
export type Isolation = "SERIALIZABLE" | "REPEATABLE READ" | "READ COMMITTED";

const DEADLINE_MS = 2000;
/** SQLSTATE of a transaction that was rolled back because of another one, serialization_failure and deadlock_detected. */
const CONFLICTS = ["40001", "40P01"];

/** Connects, and makes the table. @throws when the server does not answer, or does not take writes. */
export async function openPostgresLists(address: PostgresAddress, isolation: Isolation): Promise<ListSession> {
  const client = new Client({ ...address, connectionTimeoutMillis: DEADLINE_MS, query_timeout: DEADLINE_MS });
  let isDoubtful = false;
  client.on("error", () => undefined); // the query under way rejects
  client.on("notice", ({ severity }) => {
    isDoubtful ||= severity === "WARNING"; // committed, and nobody else has it yet
  });
  const close = (): void => {
    client.end().catch(() => undefined);
    (client as unknown as { connection?: { stream?: { destroy(): void } } }).connection?.stream?.destroy();
  };
  try {
    await client.connect();
    await client.query("create table if not exists lists (name text primary key, held text not null)");
  } catch (error) {
    close();
    throw error;
  }
  return {
    close,
    transact: async ({ reads, appends }) => {
      let isEnding = false;
      isDoubtful = false;
      try {
        await client.query(`begin isolation level ${isolation}`);
        const { rows } = await client.query<{ name: string; held: string }>(
          "select name, held from lists where name = any($1)",
          [reads],
        );
        for (const { list, value } of appends) {
          await client.query(
            "insert into lists values ($1, $2) on conflict (name) do update set held = lists.held || ',' || excluded.held",
            [list, String(value)],
          );
        }
        isEnding = true;
        await client.query("commit");
        if (isDoubtful) throw new Error("committed with a warning");
        const held = new Map(rows.map(({ name, held: text }) => [name, valuesOf(text)] as const));
        return new Map(reads.map((list) => [list, held.get(list) ?? []] as const));
      } catch (error) {
        const code = error instanceof Error && "code" in error ? String(error.code) : "";
        if (CONFLICTS.includes(code)) {
          await client.query("rollback");
          throw new ConflictError(String(error), { cause: error });
        }
        if (isEnding) throw error;
        throw new NotTakenError(String(error), { cause: error }); // it was not asked to commit
      }
    },
  };
}
