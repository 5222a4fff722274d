// Certificates of two authorities in turn, in an API server of two Secrets that fails where it is told to.
import { X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";
import { beforeEach, describe, expect, test } from "vitest";
import { issueAccountCertificate, issuePeerCertificates } from "../../../src/act/peer-certificates.ts";
import type { Secret, SecretApi } from "../../../src/act/secret-object.ts";
import { randomSecrets } from "../../../src/act/secret-source.ts";
import type { AuthorityNote, AuthorityStage } from "../../../src/api/authority-note.ts";
import { readAuthorityNote } from "../../../src/build/certificate.ts";
import { fingerprint } from "../../../src/fingerprint.ts";
import type { ObjectRef } from "../../../src/kube/object.ts";

const NOW = new Date("2030-01-01T00:00:00Z");
let secrets: Map<string, Secret>;
/** Calls from here on that are carried out; the next one fails. */
let callsLeft: number;

const api = {
  get: ({ name }: ObjectRef) => call(() => secrets.get(name)),
  create: (secret: Secret) => call(() => store(secret)),
  apply: (secret: Secret) => call(() => store(secret)),
  mergePatch: ({ name }: ObjectRef, { data }: { data: Record<string, string | null> }) =>
    call(() => {
      const before = secrets.get(name);
      const merged = Object.entries({ ...before?.data, ...data }).filter(([, value]) => value !== null);
      return store({ ...(before as Secret), data: Object.fromEntries(merged) as Record<string, string> });
    }),
} as unknown as SecretApi;

async function call<T>(answer: () => T): Promise<T> {
  if (callsLeft-- <= 0) throw new Error("the API server is away");
  return answer();
}

function store(secret: Secret): Secret {
  secrets.set(secret.metadata.name ?? "", secret);
  return secret;
}

function issue(from: AuthorityStage, to: AuthorityStage, request = "leaked", hasClients = false): Promise<unknown> {
  const metadata = { name: "orders", namespace: "shop", labels: {}, ownerReferences: [] };
  const step = { metadata, hosts: ["orders-rw"], from, to, overlapMs: 3_600_000, request, hasClients };
  return issuePeerCertificates({ api, source: randomSecrets }, step, NOW, {});
}

const file = (name: string, secret = "orders-peer") =>
  Buffer.from(secrets.get(secret)?.data?.[name] ?? "", "base64").toString();
const note = (): AuthorityNote | undefined => readAuthorityNote(secrets.get("orders-peer")?.metadata.annotations);
const authorities = (name = "ca.crt"): readonly string[] =>
  file(name).match(/-----BEGIN[^]+?-----END CERTIFICATE-----/g) ?? [];
/** Which of the trusted authorities signed what members show. */
const signers = () => {
  const leaf = new X509Certificate(file("tls.crt"));
  return authorities().flatMap((pem, index) => (leaf.verify(new X509Certificate(pem).publicKey) ? [index] : []));
};

beforeEach(() => {
  secrets = new Map();
  callsLeft = Number.POSITIVE_INFINITY;
});

test("the next authority is trusted before it signs, and the former until nobody shows its work", async () => {
  await issue("Settled", "Settled", "");
  const [first] = authorities();
  expect([authorities().length, signers(), note()?.stage]).toEqual([1, [0], "Settled"]);
  await issue("Settled", "Trust");
  expect([authorities().length, signers(), note()?.stage]).toEqual([2, [0], "Trust"]);
  expect(authorities()[0]).toBe(first);
  expect(note()).toMatchObject({ signsFrom: "2030-01-01T01:00:00.000Z", request: "leaked" });
  await issue("Trust", "Sign");
  expect([authorities().length, signers(), note()?.stage]).toEqual([2, [1], "Sign"]);
  await issue("Sign", "Settled");
  expect([authorities().length, signers(), note()?.stage]).toEqual([1, [0], "Settled"]);
  expect(authorities()[0]).not.toBe(first);
  expect(Object.keys(secrets.get("orders-ca")?.data ?? {})).toEqual(["ca.crt", "ca.key"]);
  expect(note()).toMatchObject({ trusts: fingerprint(file("ca.crt")), shows: fingerprint(file("tls.crt")) });
});

test("key and certificate belong together in every stage", async () => {
  for (const [from, to] of [
    ["Settled", "Settled"],
    ["Settled", "Trust"],
    ["Trust", "Sign"],
    ["Sign", "Settled"],
  ] as const) {
    await issue(from, to);
    createSecureContext({ ca: file("ca.crt"), cert: file("tls.crt"), key: file("tls.key") });
  }
  expect(note()?.stage).toBe("Settled");
});

describe("a stage that was cut short is carried out again", () => {
  const before: Record<AuthorityStage, readonly AuthorityStage[]> = {
    Trust: [],
    Sign: ["Trust"],
    Settled: ["Trust", "Sign"],
  };
  test.each([
    ["Settled", "Trust"],
    ["Trust", "Sign"],
    ["Sign", "Settled"],
  ] as const)("%s to %s, wherever it was cut", async (from, to) => {
    for (let cut = 0; cut < 5; cut++) {
      secrets = new Map();
      callsLeft = Number.POSITIVE_INFINITY;
      await issue("Settled", "Settled", "");
      let stage: AuthorityStage = "Settled";
      for (const next of before[to]) {
        await issue(stage, next);
        stage = next;
      }
      const trusted = authorities();
      callsLeft = cut;
      await issue(from, to).catch(() => undefined);
      callsLeft = Number.POSITIVE_INFINITY;
      await issue(from, to);
      expect([note()?.stage, authorities().length]).toEqual([to, to === "Settled" ? 1 : 2]);
      // What was trusted before and what is trusted now always meet: nobody is parted from the rest.
      expect(authorities().some((pem) => trusted.includes(pem))).toBe(true);
    }
  });
});

test("one who comes late changes nothing", async () => {
  await issue("Settled", "Settled", "");
  await issue("Settled", "Trust");
  await issue("Trust", "Sign");
  const before = new Map(secrets);
  await issue("Settled", "Trust");
  await issue("Trust", "Sign");
  await issue("Settled", "Settled");
  expect(secrets).toEqual(before);
});

test("a certificate that was lost on the way is made anew for those who show either", async () => {
  await issue("Settled", "Settled", "");
  await issue("Settled", "Trust");
  await issue("Trust", "Sign");
  const trusted = authorities();
  secrets.delete("orders-peer");
  await issue("Settled", "Settled", "");
  expect([note()?.stage, authorities()]).toEqual(["Trust", trusted]);
});

describe("clients with certificates", () => {
  const settle = () => issue("Settled", "Settled", "", true);
  const certificate = async (account = "app") => {
    const of = { namespace: "shop", cluster: "orders", account, stage: note()?.stage ?? "Settled" };
    return new X509Certificate(
      (await issueAccountCertificate({ api, source: randomSecrets }, of, NOW, {})).certificate,
    );
  };
  /** Which of the authorities in a file of the members' signed it. */
  const signersOf = (leaf: X509Certificate, name: string) =>
    authorities(name).flatMap((pem, index) => (leaf.verify(new X509Certificate(pem).publicKey) ? [index] : []));

  test("have an authority of their own, which members do not trust each other by", async () => {
    await settle();
    const leaf = await certificate();
    expect(leaf.subject).toBe("CN=app");
    expect(leaf.keyUsage).toEqual(["1.3.6.1.5.5.7.3.2"]); // to connect, not to be connected to
    expect([signersOf(leaf, "ca.crt"), signersOf(leaf, "clients-ca.crt")]).toEqual([[], [0]]);
    const nobody = new X509Certificate(file("nobody.crt"));
    expect([nobody.subject, signersOf(nobody, "clients-ca.crt")]).toEqual(["CN=quorate nobody", [0]]);
    createSecureContext({ cert: file("nobody.crt"), key: file("nobody.key") });
    expect(note()).toMatchObject({ hasClients: true, trusts: fingerprint(file("ca.crt") + file("clients-ca.crt")) });
  });

  test("are known by the former authority and by the next one until both are settled", async () => {
    await settle();
    const [members, clients] = [authorities(), authorities("clients-ca.crt")];
    await issue("Settled", "Trust", "leaked", true);
    expect([authorities().length, authorities("clients-ca.crt").length]).toEqual([2, 2]);
    expect(signersOf(await certificate(), "clients-ca.crt")).toEqual([0]);
    await issue("Trust", "Sign", "leaked", true);
    expect(authorities("clients-ca.crt")[0]).toBe(clients[0]);
    expect(signersOf(await certificate(), "clients-ca.crt")).toEqual([1]);
    await issue("Sign", "Settled", "leaked", true);
    expect([authorities().length, authorities("clients-ca.crt").length]).toEqual([1, 1]);
    expect([authorities()[0], authorities("clients-ca.crt")[0]]).not.toEqual([members[0], clients[0]]);
    expect(signersOf(await certificate(), "clients-ca.crt")).toEqual([0]);
    const kept = Object.keys(secrets.get("orders-ca")?.data ?? {}).toSorted();
    expect(kept).toEqual(["ca.crt", "ca.key", "clients-ca.crt", "clients-ca.key"]);
  });

  test("can come to a cluster that has none, in whatever stage it is, and leave the members' authority as it is", async () => {
    for (const until of [0, 1, 2]) {
      secrets = new Map();
      await issue("Settled", "Settled", "");
      const stages: readonly AuthorityStage[] = ["Settled", "Trust", "Sign", "Settled"];
      for (let at = 0; at < until; at++) await issue(stages[at] ?? "Settled", stages[at + 1] ?? "Settled");
      const before = authorities();
      const stage = stages[until] ?? "Settled";
      await issue(stage, stage, "leaked", true);
      expect([note()?.stage, authorities()]).toEqual([stage, before]);
      expect(signersOf(await certificate(), "clients-ca.crt")).toHaveLength(1);
      for (let at = until; at < 3; at++) await issue(stages[at] ?? "Settled", stages[at + 1] ?? "Settled", "", true);
      expect([note()?.stage, authorities().length, authorities("clients-ca.crt").length]).toEqual(["Settled", 1, 1]);
      expect(signersOf(await certificate(), "clients-ca.crt")).toEqual([0]);
    }
  });

  test("wait for an authority, and nobody makes another in place of one that lost its key", async () => {
    await issue("Settled", "Settled", "");
    await expect(certificate()).rejects.toThrow("which is not there yet");
    await settle();
    const { ["clients-ca.key"]: _, ...data } = secrets.get("orders-ca")?.data ?? {};
    secrets.set("orders-ca", { ...(secrets.get("orders-ca") as Secret), data });
    await expect(settle()).rejects.toThrow("has lost clients-ca.crt or clients-ca.key");
  });

  test.each(["quorate member", "quorate nobody", "Root", ""])("are never known as %j", async (name) => {
    await settle();
    await expect(certificate(name)).rejects.toThrow("is no name of an account");
  });
});
