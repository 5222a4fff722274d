// The authority of one cluster and the certificate its members share. Both live in Secrets; nothing is kept in memory.
import { isIP } from "node:net";
// oxlint-disable-next-line import/no-unassigned-import -- it has no exports; x509's decorators need it loaded before them
import "reflect-metadata";
import {
  BasicConstraintsExtension,
  type Extension,
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
/** Life of a client's: shorter, because it is handed out. */
const CLIENT_DAYS = 365;
const BACKDATED_MS = 300_000; // clocks of nodes differ

/** Common name of every member's certificate. Engines may give whoever has it all rights: no client's is ever made for it. */
const MEMBER_NAME = "quorate member";
/** Common name of a client's certificate that is no account's. */
const NOBODY_NAME = "quorate nobody";
/** What accounts are called, of an Engine and of users: never with a blank. */
const ACCOUNT = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;

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

/** A certificate, its key, and when it and the authority that signed it end. */
export interface Issued extends KeyPair {
  readonly notAfter: Date;
  readonly authorityNotAfter: Date;
}

/**
 * Signs a certificate for all members of one cluster, server and client side, valid for three years.
 *
 * @param hosts - DNS names, wildcards allowed, and IP addresses.
 */
export function issueCertificate(authority: KeyPair, hosts: readonly string[], now: Date): Promise<Issued> {
  return sign(authority, { commonName: MEMBER_NAME, days: LEAF_DAYS, now }, [
    new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
    new SubjectAlternativeNameExtension(hosts.map((value) => ({ type: isIP(value) === 0 ? "dns" : "ip", value }))),
  ]);
}

/**
 * Signs a client's certificate, valid for a year: it opens connections and takes none.
 *
 * @param account - The common name, by which engines know who it is; undefined for nobody.
 * @throws {Error} for a name that no account can have, such as that of the members.
 */
export async function issueClientCertificate(
  authority: KeyPair,
  account: string | undefined,
  now: Date,
): Promise<Issued> {
  if (account !== undefined && !ACCOUNT.test(account)) throw new Error(`"${account}" is no name of an account`);
  const commonName = account ?? NOBODY_NAME;
  return sign(authority, { commonName, days: CLIENT_DAYS, now }, [
    new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth]),
  ]);
}

interface Subject {
  readonly commonName: string;
  readonly days: number;
  readonly now: Date;
}

async function sign(authority: KeyPair, subject: Subject, extensions: readonly Extension[]): Promise<Issued> {
  const { commonName, days, now } = subject;
  const issuer = new X509Certificate(authority.certificate);
  const signingKey = await crypto.subtle.importKey("pkcs8", PemConverter.decodeFirst(authority.key), ALGORITHM, false, [
    "sign",
  ]);
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const notAfter = new Date(Math.min(now.getTime() + days * DAY_MS, issuer.notAfter.getTime()));
  const certificate = await X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: `CN=${commonName}`,
    issuer: issuer.subject,
    notBefore: new Date(now.getTime() - BACKDATED_MS),
    notAfter,
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    signingKey,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      ...extensions,
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
