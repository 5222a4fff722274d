// The members' certificates, made with openssl and brought to each as the kubelet does.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, copyFile, mkdir, mkdtemp, rename, symlink, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";

const NEW_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

/** What members have mounted; the last three where clients have certificates. */
const FILES = ["ca.crt", "tls.crt", "tls.key", "clients-ca.crt", "nobody.crt", "nobody.key"];

/** Who the certificate is for, and whose it is. */
interface Bearer {
  /** Folder of the whole cluster; that of a member is in it, under its name. */
  readonly folder: string;
  readonly user: { readonly uid: number; readonly gid: number };
  /** Name that it carries, beside 127.0.0.1. */
  readonly name: string;
}

/** An authority with the certificate that all members share, in the folder `peer` of the cluster. */
export class PeerCertificates {
  readonly #bearer: Bearer;

  constructor(bearer: Bearer) {
    this.#bearer = bearer;
  }

  get #folder(): string {
    return join(this.#bearer.folder, "peer");
  }

  /** Makes an authority and the first certificate. @param hasClients - Makes one of clients, too, and nobody's certificate. */
  async begin(hasClients: boolean): Promise<void> {
    await mkdir(this.#folder);
    const names = `subjectAltName=DNS:${this.#bearer.name},IP:127.0.0.1`;
    await writeFile(join(this.#folder, "ext"), `${names}\nextendedKeyUsage=serverAuth,clientAuth\n`);
    this.#openssl(`req -x509 ${NEW_KEY} -days 2 -subj /CN=authority -keyout ca.key -out ca.crt`);
    this.issue();
    if (!hasClients) return;
    await writeFile(join(this.#folder, "client-ext"), "extendedKeyUsage=clientAuth\n");
    this.#openssl(`req -x509 ${NEW_KEY} -days 2 -subj /CN=clients -keyout clients-ca.key -out clients-ca.crt`);
    this.#openssl(`req ${NEW_KEY} -subj "/CN=quorate nobody" -keyout nobody.key -out nobody.csr`);
    const signed = "-CA clients-ca.crt -CAkey clients-ca.key -CAcreateserial -days 2 -extfile client-ext";
    this.#openssl(`x509 -req -in nobody.csr ${signed} -out nobody.crt`);
  }

  /** Makes another certificate of the same authority. */
  issue(): void {
    this.#openssl(`req ${NEW_KEY} -subj "/CN=quorate member" -keyout tls.key -out tls.csr`);
    this.#openssl("x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out tls.crt");
  }

  /** Brings what is there to a member. All files change at one moment, by a link to their folder: so the kubelet does it. */
  async bring(member: string): Promise<void> {
    const folder = join(this.#bearer.folder, member, "peer");
    const version = await mkdtemp(join(folder, "..version-"));
    await chmod(version, 0o755);
    for (const file of FILES.filter((one) => existsSync(join(this.#folder, one)))) {
      await copyFile(join(this.#folder, file), join(version, file));
      if (!existsSync(join(folder, file))) await symlink(join("..data", file), join(folder, file));
    }
    const { uid, gid } = this.#bearer.user;
    execFileSync("chown", ["-R", `${uid}:${gid}`, version]);
    await symlink(basename(version), join(folder, "..next"));
    await rename(join(folder, "..next"), join(folder, "..data"));
  }

  #openssl(command: string): void {
    execFileSync("sh", ["-c", `openssl ${command}`], { cwd: this.#folder, stdio: "pipe" });
  }
}
