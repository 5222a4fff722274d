import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hasServer, PostgresCluster } from "./host-cluster.ts";
import { claimPorts } from "../../src/conformance/ports.ts";

const ports = await claimPorts(1);

describe.skipIf(!hasServer)("one member's configuration", () => {
  const cluster = new PostgresCluster(ports);
  const member = cluster.member(0);
  const setParameters = (parameters: Record<string, string>): void =>
    writeFileSync(
      member.parametersFile,
      Object.entries(parameters)
        .map(([name, value]) => `${name}\t${value}\n`)
        .join(""),
    );
  const setting = async (name: string): Promise<string> => {
    const client = await cluster.connect(member, "postgres", "postgres");
    try {
      return (await client.query("SELECT current_setting($1) AS value", [name])).rows[0].value;
    } finally {
      await client.end();
    }
  };

  beforeAll(() => member.run("initialize"));
  afterAll(() => cluster.close());

  it("initialises once, with checksums", async () => {
    expect((await member.run("initialize")).stdout).toBe("already initialised\n");
    await member.start();
    expect(await setting("data_checksums")).toBe("on");
    expect(await setting("server_encoding")).toBe("UTF8");
  });

  it("never comes up writable, whatever the server was and however it ended", async () => {
    expect(await member.observe()).toMatchObject({ writable: false, syncSet: { names: [], ack: 1 } });
    await cluster.promote(member, []);
    expect(await member.observe()).toMatchObject({ writable: true, syncSet: { names: [], ack: 0 } });
    await member.kill();
    expect(await member.start()).toMatchObject({ writable: false, syncSet: { names: [], ack: 1 } });
    await cluster.promote(member, []);
    await member.killMain();
    // Started past configure, it does not start.
    member.spawnServer();
    await expect.poll(() => member.running).toBe(false);
    expect(member.log).toContain("configure has not run");
    await member.start();
    await member.stop();
  });

  it("takes a user's value as a value", async () => {
    const hostile = "x' \\ ''\"; $(id) `id` # include 'y'";
    setParameters({ "myapp.note": hostile, work_mem: "6MB", shared_buffers: "48MB" });
    await member.start();
    expect(await setting("myapp.note")).toBe(hostile);
    expect(await setting("work_mem")).toBe("6MB");
    expect(await setting("shared_buffers")).toBe("48MB");
    await member.stop();
  });

  it("refuses what is not a parameter, is not the user's, or what the server does not know", async () => {
    for (const [parameters, reason] of [
      [{ fsync: "off" }, "parameter fsync is set by quorate"],
      [{ include: "/etc/passwd" }, "files cannot be included"],
      [{ "x=1\\nfsync": "off" }, "not a parameter's name"],
      [{ work_mem: "lots" }, 'invalid value for parameter "work_mem"'],
      [{ no_such: "1" }, 'unrecognized configuration parameter "no_such"'],
    ] as const) {
      setParameters(parameters);
      await expect(member.run("configure")).rejects.toThrow(reason);
    }
    setParameters({});
  });

  it("reload puts parameters in force, names what needs a restart, and undoes what is refused", async () => {
    await member.start();
    setParameters({ work_mem: "7MB", shared_buffers: "56MB" });
    expect((await member.run("reload")).stdout).toBe("needs a restart: shared_buffers\n");
    expect(await setting("work_mem")).toBe("7MB");
    setParameters({ work_mem: "plenty" });
    await expect(member.run("reload")).rejects.toMatchObject({ code: 3, message: expect.stringContaining("work_mem") });
    setParameters({ fsync: "off" });
    await expect(member.run("reload")).rejects.toMatchObject({ code: 3 });
    expect(await setting("work_mem")).toBe("7MB");
    expect(readFileSync(join(member.dataDir, "postgresql.parameters.conf"), "utf8")).toContain("7MB");
    await member.stop();
  });

  it("raises what a follower must have, and does not lower it below what the log was written with", async () => {
    setParameters({ max_connections: "150" });
    await member.start();
    await cluster.promote(member, []);
    expect(await setting("max_connections")).toBe("150");
    await member.stop();
    setParameters({ max_connections: "20" });
    await member.start();
    expect(await setting("max_connections")).toBe("150");
    await member.stop();
  });

  it("a stale pid file is no obstacle, a living server is", async () => {
    // The pid of a process that lives in this container but is no server.
    writeFileSync(join(member.dataDir, "postmaster.pid"), `${process.pid}\n${member.dataDir}\n`);
    await member.start();
    await expect(member.run("configure")).rejects.toThrow("another process still uses");
    expect(existsSync(join(member.dataDir, "postmaster.pid"))).toBe(true);
    await member.stop();
  });
});
