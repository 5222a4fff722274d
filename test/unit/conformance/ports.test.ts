import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { claimPort, claimPorts } from "../../../src/conformance/ports.ts";

const MODULE = join(import.meta.dirname, "../../../src/conformance/ports.ts");
const CLAIM = `import { claimPorts } from ${JSON.stringify(MODULE)}; process.stdout.write(JSON.stringify(await claimPorts(2000)));`;

test("no connection of this machine gets a claimed port as its own end", async () => {
  const [lowest = 0] = readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8").split(/\s+/u).map(Number);
  for (const port of await claimPorts(20)) expect(port).toBeLessThan(lowest);
});

test("a claimed port can be listened on", async () => {
  const port = await claimPort();
  const server = createServer();
  await expect(new Promise((resolve) => server.listen(port, "127.0.0.1", () => resolve(true)))).resolves.toBe(true);
  server.close();
});

test("what a process has claimed, another does not get", async () => {
  const ours = await claimPorts(2000);
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", CLAIM]);
  const theirs = JSON.parse(stdout) as number[];
  expect(theirs).toHaveLength(2000);
  expect(new Set([...ours, ...theirs]).size).toBe(4000);
});
