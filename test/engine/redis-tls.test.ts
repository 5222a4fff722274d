/** Redis' own port for clients with TLS, on a real server: who it is can be checked, and a renewed certificate is shown without a restart. */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type TLSSocket } from "node:tls";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { HostCluster } from "../../src/conformance/host-cluster.ts";
import type { HostMember } from "../../src/conformance/host-member.ts";
import { userOf } from "../../src/conformance/host-member.ts";
import { claimPorts } from "../../src/conformance/ports.ts";
import { shippedSpec } from "./host-cluster.ts";
import { hasRedis, REDIS_PROGRAMS } from "./host-redis.ts";

const HOST = "orders-rw.shop.svc";
const PASSWORDS = { quorate: "of-quorate", app: "of-app" } as const;
const NEW_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

describe.skipIf(!hasRedis)("redis with TLS", () => {
  let peerDir: string;
  let cluster: HostCluster;
  let server: HostMember;
  let tlsPort: number;

  const openssl = (command: string): void =>
    void execFileSync("sh", ["-c", `openssl ${command}`], { cwd: peerDir, stdio: "pipe" });

  function issue(): void {
    openssl(`req ${NEW_KEY} -subj "/CN=quorate member" -keyout tls.key -out tls.csr`);
    openssl("x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out tls.crt");
    execFileSync("chown", ["-R", "nobody", peerDir]);
  }

  beforeEach(async () => {
    peerDir = mkdtempSync(join(tmpdir(), "quorate-peer-"));
    chmodSync(peerDir, 0o755);
    writeFileSync(join(peerDir, "ext"), `subjectAltName=DNS:${HOST}\nextendedKeyUsage=serverAuth,clientAuth\n`);
    openssl(`req -x509 ${NEW_KEY} -days 2 -subj /CN=authority -keyout ca.key -out ca.crt`);
    issue();
    const [port = 0, own = 0] = await claimPorts(2);
    tlsPort = own;
    const context = { QUORATE_PEER_DIR: peerDir, QUORATE_TLS_PORT: String(tlsPort) };
    const software = {
      spec: shippedSpec("redis"),
      user: userOf("nobody"),
      passwords: PASSWORDS,
      programs: REDIS_PROGRAMS,
    };
    cluster = new HostCluster([port], { ...software, context });
    server = cluster.member(0);
    await cluster.form(0);
  });
  afterEach(async () => {
    await cluster.close();
    rmSync(peerDir, { recursive: true });
  });

  /** Connects as a client that believes nobody but the cluster's authority, and knows whom it wants. */
  function client(servername: string = HOST): Promise<TLSSocket> {
    const ca = readFileSync(join(peerDir, "ca.crt"));
    return new Promise((resolve, reject) => {
      const socket = connect({ host: "127.0.0.1", port: tlsPort, servername, ca }, () => resolve(socket));
      socket.once("error", reject);
    });
  }

  /** What the server answers to a command, after the account has logged in. */
  function ask(socket: TLSSocket, command: string): Promise<string> {
    return new Promise((resolve) => {
      let text = "";
      const receive = (chunk: Buffer): void => {
        text += chunk.toString();
        if (text.split("\r\n").length < 3) return;
        socket.off("data", receive);
        resolve(text);
      };
      socket.on("data", receive);
      socket.write(`AUTH app ${PASSWORDS.app}\r\n${command}\r\n`);
    });
  }

  it("serves clients that check its name and authority, beside those without TLS", async () => {
    const socket = await client();
    expect(await ask(socket, "SET k v")).toBe("+OK\r\n+OK\r\n");
    socket.destroy();
    const env = { ...process.env, REDISCLI_AUTH: PASSWORDS.app };
    const args = ["-p", String(server.port), "--user", "app", "get", "k"];
    expect(execFileSync(REDIS_PROGRAMS["redis-cli"], args, { env, encoding: "utf8" }).trim()).toBe("v");
  });

  it("is refused by a client that wants another", async () => {
    await expect(client("orders-rw.other.svc")).rejects.toThrow("does not match");
  });

  it("shows a renewed certificate after a reload, to which open connections are nothing", async () => {
    const before = await client();
    const shown = before.getPeerX509Certificate()?.fingerprint256;
    issue();
    await server.run("reload");
    const after = await client();
    expect(after.getPeerX509Certificate()?.fingerprint256).not.toBe(shown);
    expect(await ask(before, "PING")).toBe("+OK\r\n+PONG\r\n");
    for (const socket of [before, after]) socket.destroy();
  });
});
