// The append workload with a store in memory, and what its client of Redis makes of answers.
import { once } from "node:events";
import { type AddressInfo, createServer, type Server } from "node:net";
import { afterEach, describe, expect, it, vi } from "vitest";
import { AppendClients } from "../../../hack/append/append-clients.ts";
import { check } from "../../../hack/append/check.ts";
import { ConflictError, NotTakenError } from "../../../hack/append/list-store.ts";
import { openRedisLists } from "../../../hack/append/redis-lists.ts";

describe("a long workload", () => {
  it("reads all its lists at last, never more at once than an engine takes", async () => {
    const held = new Map<string, readonly number[]>();
    const sizes: number[] = [];
    let calls = 0;
    const clients = new AppendClients({
      prefix: "long",
      clients: 8,
      pauseMs: 0,
      random: Math.random,
      open: () =>
        Promise.resolve({
          close: () => undefined,
          transact: ({ reads, appends }) => {
            sizes.push(reads.length);
            if (++calls % 10 === 0) return Promise.reject(new ConflictError("now and then"));
            const seen = new Map(reads.map((list) => [list, held.get(list) ?? []] as const));
            for (const { list, value } of appends) held.set(list, [...(held.get(list) ?? []), value]);
            return Promise.resolve(seen);
          },
        }),
    });
    clients.start();
    await vi.waitUntil(() => held.size > 130, { timeout: 30_000, interval: 20 });
    const history = await clients.finish();
    expect(Math.max(...sizes)).toBeLessThan(128);
    const read = new Set(history.filter(({ client }) => client === 8).flatMap(({ reads }) => [...reads.keys()]));
    expect([...held.keys()].filter((list) => !read.has(list))).toEqual(["long-end"]);
    expect(check(history)).toEqual([]);
  });
});

describe("a transaction of Redis", () => {
  let server: Server | undefined;
  afterEach(() => server?.close());

  /** A session with a server that gives these answers, and OK to whatever else it is asked. */
  async function sessionWith(answers: Readonly<Record<string, string>>) {
    server = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.on("data", (data) => {
        const [command = ""] = data.toString().trim().split(" ");
        socket.write(answers[command] ?? "+OK\r\n");
      });
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    return openRedisLists({ host: "127.0.0.1", port }, "password", 2);
  }
  const request = { reads: ["x", "y"], appends: [{ list: "x", value: 3 }] };
  const GOOD = "*5\r\n*2\r\n$1\r\n1\r\n$1\r\n2\r\n$3\r\nend\r\n*0\r\n$3\r\nend\r\n:3\r\n";

  const outcomeWith = async (answers: Readonly<Record<string, string>>): Promise<unknown> => {
    const session = await sessionWith(answers);
    try {
      return await session.transact(request).catch((error: unknown) => error);
    } finally {
      session.close();
    }
  };

  it("gives what was read, once all followers have confirmed", async () => {
    expect(await outcomeWith({ EXEC: GOOD, WAIT: ":2\r\n" })).toEqual(
      new Map([
        ["x", [1, 2]],
        ["y", []],
      ]),
    );
  });

  it("was not taken when a command of it was refused", async () => {
    expect(await outcomeWith({ RPUSH: "-READONLY\r\n" })).toBeInstanceOf(NotTakenError);
  });

  it.each<[string, Readonly<Record<string, string>>]>([
    ["too few followers confirmed", { EXEC: GOOD, WAIT: ":1\r\n" }],
    ["an append of it failed", { EXEC: GOOD.replace(":3", "-WRONGTYPE"), WAIT: ":2\r\n" }],
    ["a read of it failed", { EXEC: GOOD.replace("*0", "-WRONGTYPE"), WAIT: ":2\r\n" }],
    ["it was not carried out", { EXEC: "-EXECABORT\r\n", WAIT: ":2\r\n" }],
  ])("is not known when %s", async (_, answers) => {
    const outcome = await outcomeWith(answers);
    expect(outcome).toBeInstanceOf(Error);
    expect(outcome).not.toBeInstanceOf(NotTakenError);
  });
});
