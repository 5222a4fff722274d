/** The certificate that a member speaks with, followed while the operator renews it: nothing is started anew for that. */
import { createSecureContext } from "node:tls";
import { type PeerIdentity, readPeerIdentity } from "./peers.ts";

/** It is renewed once a year, so a look at three small files needs no haste. */
const LOOK_EVERY_MS = 10_000;

/** What the keeper needs. */
export interface CertificateKeeperOptions {
  /** Folder that the peer Secret is mounted in. */
  readonly folder: string;
  readonly nowMs: () => number;
  /** Another one is there, whole, and is to be used from now on. */
  readonly renewed: (identity: PeerIdentity) => void;
  /** What is there cannot be used; the former one stays in use. */
  readonly refused: (error: unknown) => void;
}

/** Keeps the certificate of one member. */
export class CertificateKeeper {
  readonly #options: CertificateKeeperOptions;
  #identity: PeerIdentity;
  #notBeforeMs: number;

  /** @throws {Error} when there is no certificate that can be used. */
  constructor(options: CertificateKeeperOptions) {
    this.#options = options;
    this.#identity = usable(options.folder);
    this.#notBeforeMs = options.nowMs() + LOOK_EVERY_MS;
  }

  /** The one in use. */
  get identity(): PeerIdentity {
    return this.#identity;
  }

  /** Looks whether it was renewed. Called again and again. */
  apply(): void {
    const { folder, nowMs, renewed, refused } = this.#options;
    if (nowMs() < this.#notBeforeMs) return;
    this.#notBeforeMs = nowMs() + LOOK_EVERY_MS;
    try {
      const found = usable(folder);
      if (isSame(found, this.#identity)) return;
      this.#identity = found;
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

function isSame(one: PeerIdentity, other: PeerIdentity): boolean {
  return one.ca.equals(other.ca) && one.cert.equals(other.cert) && one.key.equals(other.key);
}
