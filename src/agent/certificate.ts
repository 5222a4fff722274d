/**
 * The certificate that a member speaks with, and the authorities that it believes, followed while the operator renews them: nothing
 * is started anew for that.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import * as z from "zod";
import type { Identification } from "../api/authority-note.ts";
import type { EngineSpec } from "../api/engine.ts";
import { fingerprint } from "../fingerprint.ts";
import { type PeerIdentity, readPeerIdentity } from "./peers.ts";
import { readStateFile, writeStateFile } from "./state-file.ts";

/** It is renewed once a year, so a look at three small files needs no haste. */
const LOOK_EVERY_MS = 10_000;

/** What the keeper needs. */
export interface CertificateKeeperOptions {
  /** Folder that the peer Secret is mounted in. */
  readonly folder: string;
  /** When the engine reads the authorities. */
  readonly readsAuthority: EngineSpec["readsAuthority"];
  /** File that remembers which ones the engine read, if it reads them at its start alone. */
  readonly stateFile: string;
  readonly nowMs: () => number;
  /** Another one is there, whole, and is to be used from now on. */
  readonly renewed: (identity: PeerIdentity) => void;
  /** What is there cannot be used; the former one stays in use. */
  readonly refused: (error: unknown) => void;
}

/** Whose certificates of clients the engine admits; only where clients have some. Agents never trust them. */
const CLIENTS_AUTHORITY = "clients-ca.crt";

const StartedWith = z.object({ trusts: z.string() });

/** Keeps the certificate of one member. */
export class CertificateKeeper {
  readonly #options: CertificateKeeperOptions;
  #identity: PeerIdentity;
  #clients: Buffer;
  #notBeforeMs: number;
  #engineStartedWith: string | undefined;
  #inForce: Identification | undefined;

  /** @throws {Error} when there is no certificate that can be used. */
  constructor(options: CertificateKeeperOptions) {
    this.#options = options;
    this.#identity = usable(options.folder);
    this.#clients = clientAuthorities(options.folder);
    this.#notBeforeMs = options.nowMs() + LOOK_EVERY_MS;
  }

  /** The one in use. */
  get identity(): PeerIdentity {
    return this.#identity;
  }

  /** What agent and engine both go by; undefined while that is not known. */
  get inForce(): Identification | undefined {
    return this.#inForce;
  }

  /** Looks whether it was renewed. Called again and again. */
  apply(): void {
    if (this.#options.nowMs() >= this.#notBeforeMs) this.#look();
  }

  /** Notes what an engine that is about to start will read. One that outlives this agent goes on with that. */
  async engineStarts(): Promise<void> {
    if (this.#options.readsAuthority !== "Start") return;
    this.#look();
    const trusts = this.#trusts(this.#identity);
    await writeStateFile(this.#options.stateFile, { trusts });
    this.#engineStartedWith = trusts;
  }

  /** The running engine read `identity`, as far as it reads it while it runs. @returns whether that puts another one in force. */
  async engineRead(identity: PeerIdentity): Promise<boolean> {
    const shows = fingerprint(identity.cert);
    const trusts = this.#options.readsAuthority === "Start" ? await this.#startedWith() : this.#trusts(identity);
    if (this.#inForce?.shows === shows && this.#inForce.trusts === trusts) return false;
    this.#inForce = { trusts, shows };
    return true;
  }

  #trusts({ ca }: PeerIdentity): string {
    return fingerprint(Buffer.concat([ca, this.#clients]));
  }

  async #startedWith(): Promise<string> {
    this.#engineStartedWith ??= StartedWith.safeParse(await readStateFile(this.#options.stateFile)).data?.trusts;
    return this.#engineStartedWith ?? ""; // it was started by an agent that took no notes
  }

  #look(): void {
    const { folder, nowMs, renewed, refused } = this.#options;
    this.#notBeforeMs = nowMs() + LOOK_EVERY_MS;
    try {
      const found = usable(folder);
      const clients = clientAuthorities(folder);
      if (isSame(found, this.#identity) && clients.equals(this.#clients)) return;
      this.#identity = found;
      this.#clients = clients;
    } catch (error) {
      return refused(error);
    }
    renewed(this.#identity);
  }
}

/** The files are replaced one after the other as seen from here: a key beside another certificate is no identity. */
function usable(folder: string): PeerIdentity {
  const identity = readPeerIdentity(folder);
  createSecureContext({ ...identity });
  return identity;
}

function clientAuthorities(folder: string): Buffer {
  const file = join(folder, CLIENTS_AUTHORITY);
  return existsSync(file) ? readFileSync(file) : Buffer.alloc(0);
}

function isSame(one: PeerIdentity, other: PeerIdentity): boolean {
  return one.ca.equals(other.ca) && one.cert.equals(other.cert) && one.key.equals(other.key);
}
