/** The certificate that members of a group show each other, in a folder as members mount it: what the operator makes for a cluster. */
import { chmodSync, chownSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { KeyPair } from "../act/certificates.ts";
import type { HostPlace } from "./host-place.ts";

/** Where members are reached. */
export const LOCALHOST = "127.0.0.1";

/** A folder with ca.crt, tls.crt and tls.key, readable for the engine's user. */
export class PeerFolder {
  readonly path: string;
  readonly #user: HostPlace["user"];
  readonly #authority: KeyPair;

  private constructor(user: HostPlace["user"], authority: KeyPair) {
    this.path = mkdtempSync(join(tmpdir(), "quorate-peer-"));
    chmodSync(this.path, 0o755);
    this.#user = user;
    this.#authority = authority;
    this.#write("ca.crt", authority.certificate);
  }

  /** Makes an authority and a first certificate. */
  static async create(user: HostPlace["user"]): Promise<PeerFolder> {
    // Read when it is needed: most of what the command line does needs no certificate.
    const { createAuthority } = await import("../act/certificates.ts");
    const folder = new PeerFolder(user, await createAuthority("host", new Date()));
    await folder.renew();
    return folder;
  }

  /** Another certificate of the same authority. */
  async renew(): Promise<void> {
    const { issueCertificate } = await import("../act/certificates.ts");
    const { certificate, key } = await issueCertificate(this.#authority, [LOCALHOST], new Date());
    this.#write("tls.key", key);
    this.#write("tls.crt", certificate);
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }

  #write(file: string, text: string): void {
    const path = join(this.path, file);
    writeFileSync(`${path}.new`, text, { mode: 0o400 });
    if (process.getuid?.() === 0) chownSync(`${path}.new`, this.#user.uid, this.#user.gid);
    renameSync(`${path}.new`, path);
  }
}
