/** Lists in keys of etcd: read together, then written together if nobody has changed any of them meanwhile. */
import { authenticate, call } from "../scenario/key-client.ts";
import { ConflictError, type ListSession, NotTakenError, valuesOf } from "./list-store.ts";

interface Pair {
  readonly key: string;
  readonly value?: string;
  readonly mod_revision: string;
}

interface TransactionAnswer {
  /** Absent when it is false. */
  readonly succeeded?: boolean;
  readonly responses?: readonly { readonly response_range?: { readonly kvs?: readonly Pair[] } }[];
}

/** Logs in at a member. @param member - `host:port`. @param password - Of the account `app`. */
export async function openEtcdLists(member: string, password: string): Promise<ListSession> {
  const token = await authenticate(member, password);
  const transaction = (body: object) => call<TransactionAnswer>(member, "kv/txn", token, body);
  return {
    close: () => undefined,
    transact: async ({ reads, appends }) => {
      const lists = [...new Set([...reads, ...appends.map(({ list }) => list)])];
      const before = await readAll(transaction, lists).catch((error: unknown) => {
        throw new NotTakenError(String(error), { cause: error }); // only asked so far
      });
      const after = new Map([...before].map(([list, { values }]) => [list, Array.from(values)] as const));
      for (const { list, value } of appends) after.get(list)?.push(value);
      const changed = new Set(appends.map(({ list }) => list));
      const { succeeded } = await transaction({
        compare: lists.map((list) => ({
          key: encode(list),
          target: "MOD",
          result: "EQUAL",
          mod_revision: before.get(list)?.revision ?? "0",
        })),
        success: [...changed].map((list) => ({
          request_put: { key: encode(list), value: encode((after.get(list) ?? []).join(",")) },
        })),
      });
      if (succeeded !== true) throw new ConflictError("somebody else was quicker");
      return new Map(reads.map((list) => [list, before.get(list)?.values ?? []] as const));
    },
  };
}

interface Held {
  readonly values: readonly number[];
  /** 0: there is no such key. */
  readonly revision: string;
}

async function readAll(
  transaction: (body: object) => Promise<TransactionAnswer>,
  lists: readonly string[],
): Promise<ReadonlyMap<string, Held>> {
  const { responses = [] } = await transaction({
    success: lists.map((list) => ({ request_range: { key: encode(list) } })),
  });
  return new Map(
    lists.map((list, at) => {
      const pair = responses[at]?.response_range?.kvs?.[0];
      const text = Buffer.from(pair?.value ?? "", "base64").toString();
      return [list, { values: valuesOf(text), revision: pair?.mod_revision ?? "0" }] as const;
    }),
  );
}

function encode(text: string): string {
  return Buffer.from(text).toString("base64");
}
