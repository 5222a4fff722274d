/** The client of shards against servers that are played: it goes where it is sent, and counts what is gone. */
import { createServer, type Server, type Socket } from "node:net";
import { afterEach, expect, test } from "vitest";
import { RedisConnection } from "../../../hack/scenario/redis-connection.ts";
import { readOwners, ShardClient, slotOf } from "../../../hack/scenario/shard-client.ts";

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** A server that answers each line; sockets are handed over so that a test can end them. */
async function serve(answer: (line: string) => string, onConnect?: (socket: Socket) => void): Promise<string> {
  const server = createServer((socket) => {
    onConnect?.(socket);
    socket.on("error", () => undefined).setEncoding("utf8");
    socket.on("data", (text: string) => {
      for (const line of text.split("\r\n").filter((one) => one !== "")) {
        socket.write(line.startsWith("AUTH") ? "+OK\r\n" : answer(line));
      }
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return `127.0.0.1:${address.port}`;
}

const bulk = (text: string): string => `$${text.length}\r\n${text}\r\n`;

test("slots are those that servers compute", () => {
  // The check value of CRC-16/XMODEM is 31c3; the other is from Redis's own documentation of CLUSTER KEYSLOT.
  expect(slotOf("123456789")).toBe(0x31_c3 % 16_384);
  expect(slotOf("somekey")).toBe(11_058);
});

test("owners are read from CLUSTER NODES; slots on their way are their former owner's", () => {
  const text = [
    "a1 10.0.0.1:6379@16379 myself,master - 0 0 1 connected 0-2 5 [7->-b2]",
    "b2 10.0.0.2:6379@16379,host master - 0 0 2 connected 3-4",
    "c3 10.0.0.3:6379@16379 slave a1 0 0 1 connected",
  ].join("\n");
  const [one, two] = ["10.0.0.1:6379", "10.0.0.2:6379"];
  expect([...readOwners(text)]).toEqual([one, one, one, two, two, one]);
});

test("answers that come in pieces, of many lines and of many elements, are read to their end", async () => {
  const sockets: Socket[] = [];
  const address = await serve(
    (line) => (line === "ARRAY" ? `*2\r\n${bulk("host")}${bulk("6379")}` : "$9\r\none\r\n"),
    (socket) => sockets.push(socket),
  );
  const [host = "", port = ""] = address.split(":");
  const connection = await RedisConnection.open({ host, port: Number(port) }, "x");
  expect(await connection.ask("ARRAY")).toBe("host\n6379");
  const answer = connection.ask("BULK");
  setTimeout(() => sockets[0]?.write("four\r\n"), 50);
  expect(await answer).toBe("one\r\nfour");
  connection.end();
});

test("a key is written where its slot is, was, or is on its way to, and counted as lost when it is gone", async () => {
  const kept = new Map<string, string>();
  let isAsking = false;
  const importer = await serve((line) => {
    const [command, key = "", value = ""] = line.split(" ");
    if (command === "ASKING") isAsking = true;
    else if (!isAsking) return "-CLUSTERDOWN not yet\r\n";
    if (command === "SET") kept.set(key, value);
    return command === "EXISTS" ? `:${kept.has(key) ? 1 : 0}\r\n` : "+OK\r\n";
  });
  const former = await serve((line) => `-ASK ${slotOf(line.split(" ")[1] ?? "")} ${importer}\r\n`);
  const entry: string = await serve((line) =>
    line === "CLUSTER NODES"
      ? bulk(`a1 ${entry}@1 myself,master - 0 0 1 connected 0-16383`)
      : `-MOVED ${slotOf(line.split(" ")[1] ?? "")} ${former}\r\n`,
  );
  const client = new ShardClient({ members: () => Promise.resolve([entry]), password: "x" });
  client.start();
  await expect.poll(() => client.acked).toBeGreaterThan(2);
  const [first = ""] = kept.keys();
  kept.delete(first);
  const verdict = await client.finish();
  expect(verdict).toMatchObject({ lost: 1, unknown: 0 });
  expect(verdict.acked).toBe(kept.size + 1);
  expect(client.takeLatenciesMs()).toHaveLength(verdict.acked);
});
