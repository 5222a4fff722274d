// The authority of one cluster and the certificate its members share. Both live in Secrets; nothing is kept in memory.
import { isIP } from "node:net";
// oxlint-disable-next-line import/no-unassigned-import -- it has no exports; x509's decorators need it loaded before them
import "reflect-metadata";
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const DAY_MS = 86_400_000;
const AUTHORITY_DAYS = 3650;
/** Life of the members' certificate: long, so that an operator that is away for months hurts nobody. */
const LEAF_DAYS = 3 * 365;
const BACKDATED_MS = 300_000; // clocks of nodes differ

/** A certificate and its key, as PEM. */
export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
}

/**
 * Makes a new authority for one cluster, valid for ten years. Each has a name of its own: while two are trusted, OpenSSL looks for
 * the one that signed by its name, and takes any that has it.
 */
export async function createAuthority(cluster: string, now: Date): Promise<KeyPair> {
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: `CN=quorate ${cluster}, OU=${serialNumber()}`,
    notBefore: new Date(now.getTime() - BACKDATED_MS),
    notAfter: new Date(now.getTime() + AUTHORITY_DAYS * DAY_MS),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    ],
  });
  return { certificate: certificate.toString("pem"), key: await exportKey(keys.privateKey) };
}

/**
 * Signs a certificate for all members of one cluster, server and client side, valid for three years.
 *
 * @param hosts - DNS names, wildcards allowed, and IP addresses.
 */
export async function issueCertificate(
  authority: KeyPair,
  hosts: readonly string[],
  now: Date,
): Promise<KeyPair & { readonly notAfter: Date; readonly authorityNotAfter: Date }> {
  const issuer = new X509Certificate(authority.certificate);
  const signingKey = await crypto.subtle.importKey("pkcs8", PemConverter.decodeFirst(authority.key), ALGORITHM, false, [
    "sign",
  ]);
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const notAfter = new Date(Math.min(now.getTime() + LEAF_DAYS * DAY_MS, issuer.notAfter.getTime()));
  const certificate = await X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: "CN=quorate member",
    issuer: issuer.subject,
    notBefore: new Date(now.getTime() - BACKDATED_MS),
    notAfter,
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    signingKey,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
      new SubjectAlternativeNameExtension(hosts.map((value) => ({ type: isIP(value) === 0 ? "dns" : "ip", value }))),
    ],
  });
  return {
    certificate: certificate.toString("pem"),
    key: await exportKey(keys.privateKey),
    notAfter,
    authorityNotAfter: issuer.notAfter,
  };
}

function serialNumber(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `01${Buffer.from(bytes).toString("hex")}`; // positive whatever the first random bit
}

async function exportKey(key: Parameters<typeof crypto.subtle.exportKey>[1]): Promise<string> {
  return PemConverter.encode(await crypto.subtle.exportKey("pkcs8", key), "PRIVATE KEY");
}
