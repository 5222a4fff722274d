// Certificates for tests of what agents say to each other.
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** The name that every member's certificate carries. */
export const PEER_NAME = "peer.orders-members.ns.svc";

/** A folder in `parent` with an authority, and a certificate for all members of one cluster, as the operator makes them. */
export function makeIdentity(parent: string, name: string): string {
  const folder = join(parent, name);
  const sh = (command: string): void => void execFileSync("sh", ["-c", command], { cwd: folder, stdio: "ignore" });
  mkdirSync(folder);
  writeFileSync(
    join(folder, "ext"),
    "subjectAltName=DNS:*.orders-members.ns.svc\nextendedKeyUsage=serverAuth,clientAuth\n",
  );
  sh(
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.crt",
  );
  sh(
    "openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=member -keyout tls.key -out tls.csr",
  );
  sh("openssl x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out tls.crt");
  return folder;
}
