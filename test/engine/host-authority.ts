/** An authority of members on this host, and the certificate that they show: what the operator would put into the peer Secret. */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const NEW_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

/** A folder as members mount it: ca.crt, tls.crt and tls.key, readable for nobody but the user `nobody`. */
export class HostAuthority {
  readonly folder: string;

  /** @param host - The name that the certificate is made for. */
  constructor(host: string) {
    this.folder = mkdtempSync(join(tmpdir(), "quorate-peer-"));
    chmodSync(this.folder, 0o755);
    writeFileSync(join(this.folder, "ext"), `subjectAltName=DNS:${host}\nextendedKeyUsage=serverAuth,clientAuth\n`);
    this.#makeAuthority();
    this.#bring(this.read("own.crt"));
    this.issue();
  }

  read(file: string): string {
    return readFileSync(join(this.folder, file), "utf8");
  }

  /** A new certificate, of the authority that signs at the time. */
  issue(): void {
    this.#openssl(`req ${NEW_KEY} -subj "/CN=quorate member" -keyout new.key -out new.csr`);
    this.#openssl("x509 -req -in new.csr -CA own.crt -CAkey own.key -CAcreateserial -days 2 -extfile ext -out new.crt");
    for (const [from, to] of [
      ["new.key", "tls.key"],
      ["new.crt", "tls.crt"],
    ] as const)
      renameSync(join(this.folder, from), join(this.folder, to));
    this.#give();
  }

  /** Gives clients an authority of their own, as the operator does where an Engine asks for it. */
  admitClients(): void {
    this.#openssl(`req -x509 ${NEW_KEY} -days 2 -subj "/CN=clients" -keyout clients.key -out clients-ca.crt`);
    this.issueClient("nobody", "quorate nobody");
  }

  /** A client's certificate, `<file>.crt` and `<file>.key` in the folder. */
  issueClient(file: string, name: string): void {
    writeFileSync(join(this.folder, "client-ext"), "extendedKeyUsage=clientAuth\n");
    this.#openssl(`req ${NEW_KEY} -subj "/CN=${name}" -keyout ${file}.key -out ${file}.csr`);
    this.#openssl(
      `x509 -req -in ${file}.csr -CA clients-ca.crt -CAkey clients.key -CAcreateserial -days 2 -extfile client-ext -out ${file}.crt`,
    );
    this.#give();
  }

  /** Another authority is believed beside the one that signs; it signs from the next `issue` on. */
  announce(): void {
    const former = this.read("own.crt");
    this.#makeAuthority();
    this.#bring(`${former}${this.read("own.crt")}`);
  }

  /** The authority that signs is the only one that is believed. */
  settle(): void {
    this.#bring(this.read("own.crt"));
  }

  remove(): void {
    rmSync(this.folder, { recursive: true });
  }

  #makeAuthority(): void {
    this.#openssl(`req -x509 ${NEW_KEY} -days 2 -subj "/CN=authority ${Date.now()}" -keyout own.key -out own.crt`);
  }

  #bring(authorities: string): void {
    writeFileSync(join(this.folder, "ca.crt"), authorities);
    this.#give();
  }

  #give(): void {
    if (process.getuid?.() === 0) execFileSync("chown", ["-R", "nobody", this.folder]);
  }

  #openssl(command: string): void {
    execFileSync("sh", ["-c", `openssl ${command}`], { cwd: this.folder, stdio: "pipe" });
  }
}
