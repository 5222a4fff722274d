/** TLS for clients of a real etcd: whoever shows a certificate of the clients' authority is the account of its name, and no more. */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { connect } from "node:tls";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { printedCommands } from "../../hack/scenario/documentation.ts";
import { PeerServer, readPeerIdentity } from "../../src/agent/peers.ts";
import { HostCluster } from "../../src/conformance/host-cluster.ts";
import type { HostMember } from "../../src/conformance/host-member.ts";
import { userOf } from "../../src/conformance/host-place.ts";
import { claimPorts, secondPort } from "../../src/conformance/ports.ts";
import { binary } from "../api/harness.ts";
import { HostAuthority } from "./host-authority.ts";
import { shippedSpec } from "./host-cluster.ts";

const PASSWORDS = { root: "of-root", app: "of-app", shop: "of-shop" } as const;
const HOST = "orders-rw.shop.svc";
/** Where the server listens: scripts of the member have 127.0.0.1 to themselves. */
const LISTEN = "127.0.0.2";
const NEVER_IN =
  /tls: certificate required|certificate signed by unknown authority|bad certificate|broken pipe|reset by peer|deadline exceeded/;

/** What whoever has not logged in is told. */
const NOBODY = /permission denied|user name is empty|user name not found/;

let authority: HostAuthority;
let stranger: HostAuthority;
let cluster: HostCluster;
let member: HostMember;
let memberPort: number;

const untilItLeads = (): Promise<unknown> =>
  vi.waitUntil(
    () =>
      member.observe().then(
        ({ writable }) => writable,
        () => false,
      ),
    { timeout: 60_000, interval: 100 },
  );

async function restart(parameters = ""): Promise<void> {
  writeFileSync(member.parametersFile, parameters);
  await member.stop();
  member.spawnServer();
  await untilItLeads();
}

/** What the server answers to a client; what it refuses comes back as its words. */
function etcdctl(...args: readonly string[]): string {
  const all = ["--dial-timeout=2s", "--command-timeout=3s", ...args];
  const { stdout, stderr } = spawnSync(binary("etcdctl"), all, { encoding: "utf8" });
  const lines = (stdout + stderr).split("\n").filter((line) => !line.startsWith('{"level":"info"'));
  return lines.join("\n").trim();
}

/** Over TLS, with the certificate `<name>.crt` of a folder. */
function asBearer(name: string, command: readonly string[], folder = authority.folder, port = member.tlsPort): string {
  const own = name === "" ? [] : [`--cert=${join(folder, `${name}.crt`)}`, `--key=${join(folder, `${name}.key`)}`];
  const server = [`--endpoints=https://${LISTEN}:${port}`, `--cacert=${join(authority.folder, "ca.crt")}`];
  return etcdctl(...server, ...own, ...command);
}

/** Without TLS. */
const inTheClear = (user: string, ...command: readonly string[]): string =>
  etcdctl(`--endpoints=http://${LISTEN}:${member.port}`, `--user=${user}`, ...command);

/** What is answered over HTTP to whoever sends no header but these. */
function post(path: string, body: object, headers: Record<string, string> = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const call = request({ host: LISTEN, port: member.port, method: "POST", path, headers }, (response) => {
      text(response).then(resolve, reject);
    });
    call.on("error", reject);
    call.end(JSON.stringify(body));
  });
}

/** How a TLS connection with a client's certificate ends: in data, or in the words with which it was refused. */
function knock(port: number, host: string, name: string): Promise<string> {
  const file = (of: string) => readFileSync(join(authority.folder, of));
  return new Promise((resolve) => {
    const own = { cert: file(`${name}.crt`), key: file(`${name}.key`), ca: file("ca.crt") };
    const socket = connect({ port, host, servername: HOST, ...own });
    socket.on("secureConnect", () => socket.write("GET /version HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"));
    socket.on("data", (data) => (resolve(data.toString()), socket.destroy()));
    socket.on("error", (error) => resolve(error.message));
    socket.on("close", () => resolve("closed"));
  });
}

beforeAll(async () => {
  authority = new HostAuthority(`${HOST},IP:${LISTEN}`);
  stranger = new HostAuthority(HOST);
  for (const one of [authority, stranger]) one.admitClients();
  for (const [file, name] of [
    ["app", "app"],
    ["shop", "shop"],
    ["gone", "gone"],
  ] as const)
    authority.issueClient(file, name);
  stranger.issueClient("app", "app");
  const [port = 0, ofMembers = 0] = await claimPorts(2);
  memberPort = ofMembers;
  cluster = new HostCluster([port], {
    spec: shippedSpec("etcd"),
    user: userOf("nobody"),
    passwords: PASSWORDS,
    programs: { etcd: binary("etcd"), etcdctl: binary("etcdctl") },
    tlsPortOf: secondPort,
    context: {
      QUORATE_PEER_DIR: authority.folder,
      QUORATE_MEMBER_PORT: String(memberPort),
      QUORATE_LISTEN_HOST: LISTEN,
      QUORATE_OWN_HOST: LISTEN,
      QUORATE_GROUP: "",
    },
  });
  member = cluster.member(0);
  await member.run("initialize");
  member.spawnServer();
  await untilItLeads();
  const list = join(cluster.root, "accounts");
  writeFileSync(list, "app\tapp\tapp\nshop\tgoods\tshop\n", { mode: 0o644 });
  await member.run("makeAccounts", { QUORATE_ACCOUNTS_FILE: list, QUORATE_EPOCH: "5" });
});
afterAll(async () => {
  await cluster.close();
  for (const one of [authority, stranger]) one.remove();
});

describe("a client with a certificate", () => {
  it("is the account of its name, without a password", () => {
    expect(asBearer("app", ["put", "anywhere", "x"])).toBe("OK");
    expect(asBearer("shop", ["put", "goods/1", "y"])).toBe("OK");
    expect(asBearer("shop", ["get", "anywhere"])).toContain("permission denied");
    expect(asBearer("shop", ["get", "--prefix", ""])).toContain("permission denied");
    expect(asBearer("shop", ["watch", "anywhere"])).toMatch(/permission denied/);
    for (const account of ["app", "shop"]) {
      expect(asBearer(account, ["user", "list"])).toContain("permission denied");
      expect(asBearer(account, ["snapshot", "save", "/dev/null"])).toMatch(/permission denied/i);
      expect(asBearer(account, ["auth", "disable"])).toContain("permission denied");
    }
  });

  it("does what documentation prints", async () => {
    const printed = (await printedCommands()).filter(({ command }) => /^etcdctl .*--cert=/.test(command));
    expect(printed).not.toEqual([]);
    for (const { command } of printed) {
      const [program = "", ...args] = command
        .replaceAll("https://settings-rw:2378", `https://${LISTEN}:${member.tlsPort}`)
        .replaceAll("/bindings/settings/tls", join(authority.folder, "app"))
        .replaceAll("/bindings/settings", authority.folder)
        .split(/\s+/);
      expect([program, etcdctl(...args)]).toEqual(["etcdctl", "OK"]);
    }
  });

  it("is whom it logs in as, where it logs in", () => {
    expect(asBearer("app", ["--user=shop:of-shop", "get", "anywhere"])).toContain("permission denied");
    expect(asBearer("shop", ["--user=root:of-root", "user", "list"])).toContain("quorate member");
    expect(asBearer("shop", ["--user=root:wrong", "get", "goods/1"])).toContain("authentication failed");
  });

  it("may do nothing when its account is gone", () => {
    expect(asBearer("gone", ["get", "goods/1"])).toContain("permission denied");
    expect(asBearer("nobody", ["get", "goods/1"])).toContain("permission denied");
  });

  it("is refused without one, and with one of a stranger", () => {
    expect(asBearer("", ["--user=app:of-app", "get", "anywhere"])).toMatch(NEVER_IN);
    expect(asBearer("app", ["get", "anywhere"], stranger.folder)).toMatch(NEVER_IN);
  });

  it("is not let in where members meet, nor where agents do", async () => {
    expect(await knock(memberPort, LISTEN, "tls"), "a member is").toContain("HTTP/1.1 200");
    expect(await knock(memberPort, LISTEN, "app")).not.toContain("HTTP");
    expect(member.logEnd).toMatch(/rejected connection on peer endpoint.*signed by unknown authority/);
    const identity = readPeerIdentity(authority.folder);
    const listener = await new PeerServer(identity, () => Promise.resolve({})).listen(0, LISTEN);
    expect(await knock(listener.port, LISTEN, "tls"), "an agent is").toContain("404");
    expect(await knock(listener.port, LISTEN, "app")).not.toContain("HTTP");
    await listener.close();
  });
});

describe("a client without TLS", () => {
  it("is served as before", () => {
    expect(inTheClear("app:of-app", "get", "anywhere")).toBe("anywhere\nx");
    expect(inTheClear("shop:of-shop", "get", "anywhere")).toContain("permission denied");
  });

  it("has by way of HTTP the rights of whom it logs in as, and none else, whichever listener that is passed on to", {
    timeout: 180_000,
  }, async () => {
    const key = (name: string) => ({ key: Buffer.from(name).toString("base64") });
    for (let start = 0; start < 8; start++) {
      await restart();
      // Without the header Accept: what the server passes on to itself is marked by it, and by nothing else.
      expect(await post("/v3/auth/user/list", {})).toMatch(NOBODY);
      expect(await post("/v3/kv/range", key("anywhere"))).toMatch(NOBODY);
      const login = await post("/v3/auth/authenticate", { name: "shop", password: "of-shop" });
      const { token } = JSON.parse(login) as { readonly token: string };
      expect(await post("/v3/kv/range", key("goods/1"), { authorization: token })).toContain('"value":"eQ=="');
      expect(await post("/v3/kv/range", key("anywhere"), { authorization: token })).toContain("permission denied");
    }
  });
});

describe("with client-tls-only", () => {
  it("nobody is served in the clear but the scripts of the member", async () => {
    await restart("client-tls-only\ttrue\n");
    expect(inTheClear("app:of-app", "get", "anywhere")).toMatch(/connection refused|deadline exceeded/);
    expect(asBearer("app", ["get", "anywhere"])).toBe("anywhere\nx");
    expect(asBearer("app", ["member", "list"])).toContain(`https://${LISTEN}:${member.tlsPort}`);
    expect(await member.run("countRequests")).toMatchObject({ stdout: expect.stringContaining('"served":') });
    await member.run("takePasswords", { QUORATE_EPOCH: "6" });
    await member.run("probeWrite", { QUORATE_EPOCH: "6" });
  });

  it("takes nothing but true and false", async () => {
    writeFileSync(member.parametersFile, "client-tls-only\tyes\n");
    await member.stop();
    member.spawnServer();
    await vi.waitUntil(() => !member.running, { timeout: 30_000 });
    expect(member.logEnd).toContain('parameter client-tls-only is "yes": set it to true or false');
    await restart();
    expect(inTheClear("app:of-app", "get", "anywhere")).toBe("anywhere\nx");
  });
});
