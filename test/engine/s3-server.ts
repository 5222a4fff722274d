/** A real S3 server on a free port of this host, which checks every signature and keeps its objects in a temporary folder. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { S3Options } from "../../src/agent/backup/s3-client.ts";
import type { S3Credentials } from "../../src/agent/backup/s3-signature.ts";
import { claimPort } from "../../src/conformance/ports.ts";
import { binary } from "../api/harness.ts";
import { HostAuthority } from "./host-authority.ts";

const START_DEADLINE_MS = 60_000;
const BUCKET = "backups";
const REGION = "us-east-1";
const CREDENTIALS: S3Credentials = { accessKeyId: "quorate", secretAccessKey: "of-quorate/in+tests" };

/** How to start a server. */
export interface S3ServerOptions {
  /** Serves HTTPS, by a certificate for `localhost` of an authority of its own. */
  readonly tls?: boolean;
  /** Address that it listens at; 127.0.0.1 when absent. */
  readonly host?: string;
}

/** A server with one empty bucket. */
export interface S3Server {
  /** `http://127.0.0.1:port`, or `https://localhost:port`. */
  readonly endpoint: string;
  readonly bucket: string;
  readonly region: string;
  /** All rights. */
  readonly credentials: S3Credentials;
  /** The authority in PEM of a server with TLS. */
  readonly ca: string | undefined;
  /** Where the objects of the bucket are, as files named by their keys. */
  readonly folder: string;
  /** What `s3Store` takes. */
  readonly options: S3Options;
  /** What was asked so far: a line each, with method, path and status. */
  requests(): readonly string[];
  /** Ends the server and removes all that it kept. */
  stop(): Promise<void>;
}

const live = new Set<ChildProcess>();
// A test run that is interrupted must not leave servers behind.
process.once("exit", () => {
  for (const child of live) child.kill("SIGKILL");
});

/** Starts a server, and waits until it listens. @throws with its log when it does not. */
export async function startS3Server({ tls = false, host = "127.0.0.1" }: S3ServerOptions = {}): Promise<S3Server> {
  const root = mkdtempSync(join(tmpdir(), "quorate-s3-"));
  const authority = tls ? new HostAuthority("localhost") : undefined;
  const folder = join(root, "objects", BUCKET); // to this server a folder is a bucket
  mkdirSync(folder, { recursive: true });
  const port = await claimPort();
  const logFile = join(root, "log");
  const log = openSync(logFile, "a");
  const certificate =
    authority === undefined
      ? []
      : ["--cert", join(authority.folder, "tls.crt"), "--key", join(authority.folder, "tls.key")];
  const child = spawn(
    binary("versitygw"),
    ["--port", `${host}:${port}`, "--keep-alive", ...certificate, "posix", join(root, "objects")],
    {
      stdio: ["ignore", log, log],
      env: {
        ...process.env,
        ROOT_ACCESS_KEY: CREDENTIALS.accessKeyId,
        ROOT_SECRET_KEY: CREDENTIALS.secretAccessKey,
        VGW_REGION: REGION,
      },
    },
  );
  closeSync(log);
  live.add(child);
  const stop = async (): Promise<void> => {
    if (live.delete(child) && child.exitCode === null && child.signalCode === null) {
      child.kill("SIGKILL");
      await once(child, "exit");
    }
    rmSync(root, { recursive: true, force: true });
    authority?.remove();
  };
  try {
    await untilListening(child, { host, port }, logFile);
  } catch (error) {
    await stop();
    throw error;
  }
  const endpoint = authority === undefined ? `http://${host}:${port}` : `https://localhost:${port}`;
  const ca = authority?.read("ca.crt");
  const shared = { endpoint, bucket: BUCKET, region: REGION };
  return {
    ...shared,
    credentials: CREDENTIALS,
    ca,
    folder,
    options: { ...shared, credentials: () => Promise.resolve(CREDENTIALS), ...(ca === undefined ? {} : { ca }) },
    requests: () => requestsIn(readFileSync(logFile, "utf8")),
    stop,
  };
}

interface Address {
  readonly host: string;
  readonly port: number;
}

async function untilListening(child: ChildProcess, address: Address, logFile: string): Promise<void> {
  const giveUpAt = Date.now() + START_DEADLINE_MS;
  while (!(await listens(address))) {
    if (child.exitCode !== null || Date.now() > giveUpAt)
      throw new Error(`the S3 server does not listen:\n${readFileSync(logFile, "utf8").slice(-2000)}`);
    await pause(20);
  }
}

function listens({ host, port }: Address): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, host, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

/** Of its log what it says of requests: time | vgw | status | how long | from | method | path | error | query. */
function requestsIn(log: string): readonly string[] {
  return log
    .split("\n")
    .map((line) => line.split("|").map((field) => field.trim()))
    .filter(([, name]) => name === "vgw")
    .map(([, , status, , , method, path, , query = ""]) => `${method} ${path}${query && `?${query}`} ${status}`);
}
