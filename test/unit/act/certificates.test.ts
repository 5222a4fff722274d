import { X509Certificate } from "node:crypto";
import { createServer, connect } from "node:tls";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { createAuthority, issueCertificate, type KeyPair } from "../../../src/act/certificates.ts";

const HOSTS = ["*.orders-members.shop.svc", "*.orders-members.shop.svc.cluster.local"];
const DAY_MS = 86_400_000;

test("members trust each other by name, and nobody else's authority", async () => {
  const now = new Date();
  const authority = await createAuthority("orders", now);
  const leaf = await issueCertificate(authority, HOSTS, now);
  const stranger = await createAuthority("orders", now);
  const certificate = new X509Certificate(leaf.certificate);
  expect(certificate.checkIssued(new X509Certificate(authority.certificate))).toBe(true);
  expect(certificate.verify(new X509Certificate(stranger.certificate).publicKey)).toBe(false);
  expect(certificate.checkHost("orders-0-0.orders-members.shop.svc")).toBeDefined();
  expect(certificate.checkHost("orders-0-0.orders-members.other.svc")).toBeUndefined();
});

test("a certificate is for addresses, too", async () => {
  const now = new Date();
  const leaf = await issueCertificate(await createAuthority("orders", now), ["127.0.0.1", "::1", "localhost"], now);
  const certificate = new X509Certificate(leaf.certificate);
  expect(certificate.checkIP("127.0.0.1")).toBe("127.0.0.1");
  expect(certificate.checkIP("127.0.0.2")).toBeUndefined();
  expect(certificate.checkHost("localhost")).toBe("localhost");
});

test("a certificate outlives an operator that is away for years, and its authority outlives it", async () => {
  const now = new Date("2030-01-01T00:00:00Z");
  const authority = await createAuthority("orders", now);
  const leaf = await issueCertificate(authority, HOSTS, now);
  expect(leaf.notAfter.getTime() - now.getTime()).toBe(3 * 365 * DAY_MS);
  expect(Date.parse(new X509Certificate(authority.certificate).validTo)).toBeGreaterThan(leaf.notAfter.getTime());
});

test("both sides of a TLS connection accept it", async () => {
  const now = new Date();
  const authority = await createAuthority("orders", now);
  expect(await greet(await issueCertificate(authority, HOSTS, now), authority.certificate)).toBe("hello");
});

test("while one authority follows another, the work of either is accepted by who trusts both", async () => {
  const now = new Date();
  const authorities = [await createAuthority("orders", now), await createAuthority("orders", now)];
  const trusted = authorities.map(({ certificate }) => certificate);
  for (const ca of [trusted, trusted.toReversed()]) {
    for (const authority of authorities) {
      expect(await greet(await issueCertificate(authority, HOSTS, now), ca.join("\n"))).toBe("hello");
    }
  }
});

/** What a client hears from a server when both show this certificate. @param ca - Whom both trust. */
async function greet({ key, certificate: cert }: KeyPair, ca: string): Promise<string> {
  const server = createServer({ key, cert, ca, requestCert: true, rejectUnauthorized: true }, (socket) =>
    socket.end("hello"),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const servername = "orders-1-0.orders-members.shop.svc";
  const heard = await new Promise<string>((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", key, cert, ca, servername }, () => undefined);
    socket.setEncoding("utf8");
    socket.once("data", (text: string) => resolve(text));
    socket.once("error", reject);
  });
  server.close();
  return heard;
}
