import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { load } from "js-yaml";
import { describe, expect, it } from "vitest";
import { assembleEngine } from "../../engines/assemble.ts";
import { Engine } from "../../src/api/engine.ts";

const folderOf = (name: string): string => fileURLToPath(new URL(`../../engines/${name}`, import.meta.url));
const specOf = (name: string) => Engine.parse(load(readFileSync(`${folderOf(name)}.yaml`, "utf8"))).spec;

describe.each(["postgres", "etcd", "redis", "rabbitmq", "galera"])("engines/%s.yaml", (name) => {
  const spec = specOf(name);

  it("is what its folder makes of it", () => {
    expect(readFileSync(`${folderOf(name)}.yaml`, "utf8")).toBe(assembleEngine(folderOf(name)));
  });

  it("lets users change no fixed parameter", () => {
    const { fixed, reloadable, defaults } = spec.parameters;
    expect(reloadable.filter((parameter) => fixed.includes(parameter))).toEqual([]);
    expect(Object.keys(defaults).filter((parameter) => fixed.includes(parameter))).toEqual([]);
    expect(fixed).toEqual(fixed.toSorted());
  });

  it("has scripts that bash can read", () => {
    for (const [file, text] of Object.entries(spec.files)) {
      if (/\.(sql|erl)$/.test(file)) continue;
      const { status, stderr } = spawnSync("bash", ["-n"], { input: text, encoding: "utf8" });
      expect({ file, status, stderr }).toEqual({ file, status: 0, stderr: "" });
    }
  });

  it("runs only files that it brings along", () => {
    const referred = JSON.stringify([spec.start, spec.sessions, spec.actions]).matchAll(
      /\$\(QUORATE_ENGINE_DIR\)\/([\w.-]+)/g,
    );
    const missing = [...referred].map((match) => match[1] ?? "").filter((file) => !(file in spec.files));
    expect(missing).toEqual([]);
  });
});

describe("what an engine sets itself, it declares as fixed", () => {
  it("postgres: or computes as a default", () => {
    const spec = specOf("postgres");
    const [, after = ""] = (spec.files["parameters.sh"] ?? "").split("include 'postgresql.parameters.conf'");
    const names = [...after.matchAll(/^([a-z_]+) = /gm)].map((match) => match[1]);
    expect(names.length).toBeGreaterThan(20);
    expect(names.filter((name) => name !== undefined && !spec.parameters.fixed.includes(name))).toEqual([]);
  });

  it("redis: all that it writes into the server's configuration", () => {
    const spec = specOf("redis");
    const scripts = ["configure", "slots.sh"].map((file) => spec.files[file] ?? "").join("\n");
    const parts = [...scripts.matchAll(/<<CONF\n([^]*?)^CONF$/gm)].map(([, text = ""]) => text);
    const names = parts.flatMap((part) => [...part.matchAll(/^([a-z-]+) /gm)].map((match) => match[1] ?? ""));
    expect(names).toEqual(expect.arrayContaining(["masterauth", "replicaof", "cluster-port"]));
    expect(names.filter((name) => !spec.parameters.fixed.includes(name))).toEqual([]);
  });

  it("galera: all that it writes into the configurations of server and provider", () => {
    const spec = specOf("galera");
    const script = spec.files["configuration.sh"] ?? "";
    const [, server = ""] = /<<CONF\n([^]*?)^CONF$/m.exec(script) ?? [];
    const variables = [...server.matchAll(/^([a-z-]+)(?==|$)/gm)].map(([, name = ""]) => name.replaceAll("-", "_"));
    const options = [...script.matchAll(/[";]([a-z]+\.[a-z_]+)=/g)].map(([, name = ""]) => name);
    expect(variables).toEqual(expect.arrayContaining(["datadir", "skip_name_resolve", "wsrep_cluster_address"]));
    expect(options).toEqual(expect.arrayContaining(["gmcast.listen_addr", "socket.ssl_key", "pc.recovery"]));
    expect([...variables, ...options].filter((name) => !spec.parameters.fixed.includes(name))).toEqual([]);
  });

  it("etcd: every flag of its scripts", () => {
    const spec = specOf("etcd");
    const servers = ["lib.sh", "start", "initialize", "recover"].map((file) => spec.files[file] ?? "").join("\n");
    const after = servers.slice(servers.indexOf("ARGUMENTS=("));
    const flags = [...after.matchAll(/(?<=^|[\s("])--([a-z-]+)/gm)].map((match) => match[1] ?? "");
    const ofTheClient = ["interactive", "no-password", "prefix", "consistency"];
    expect(flags).toContain("force-new-cluster");
    expect(flags.filter((flag) => !spec.parameters.fixed.includes(flag) && !ofTheClient.includes(flag))).toEqual([]);
  });

  it("rabbitmq: all that it writes into the broker's configuration", () => {
    const spec = specOf("rabbitmq");
    const names = [...(spec.files["lib.sh"] ?? "").matchAll(/^(?: *say ")?([a-z_.0-9]+) = /gm)].map(
      ([, name]) => name ?? "",
    );
    expect(names).toEqual(expect.arrayContaining(["listeners.tcp", "listeners.ssl.1", "cluster_partition_handling"]));
    expect(names.filter((name) => !spec.parameters.fixed.includes(name))).toEqual([]);
  });
});
