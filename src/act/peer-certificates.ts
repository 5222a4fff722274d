// The members' certificate and the authorities behind it. While one authority follows another, the Secret of the authority holds
// both, and everything that is issued trusts both.
import type { AuthorityNote, AuthorityStage } from "../api/authority-note.ts";
import { nameOf } from "../api/names.ts";
import { readAuthorityNote, stageTimes } from "../build/certificate.ts";
import { ANNOTATION_AUTHORITY, ANNOTATION_HOSTS, ANNOTATION_NOT_AFTER } from "../build/labels.ts";
import type { ManifestMeta } from "../build/manifest.ts";
import { RetryableError } from "../errors.ts";
import { fingerprint } from "../fingerprint.ts";
import type { CallOptions } from "../kube/api.ts";
import { isAlreadyExists } from "../kube/api-error.ts";
import type { KubeObject, ObjectRef, Stored } from "../kube/object.ts";
import type { Step } from "../plan/plan.ts";
import type { KeyPair } from "./certificates.ts";
import { FIELD_MANAGER } from "./field-manager.ts";
import { decode, encode, type Secret, SECRET, type SecretPorts } from "./secret-object.ts";

type Issue = Omit<Extract<Step, { kind: "IssueCertificates" }>, "kind" | "reason">;

/** The authority in office, and the one that is to follow it. */
interface Authorities {
  readonly current: KeyPair;
  readonly next: KeyPair | undefined;
}

/**
 * Writes the members' certificate, signed by the cluster's authority, which is made when there is none. Every stage may be
 * carried out again after it was cut short.
 *
 * @returns the certificate's Secret; as it was, when it is in another stage than the one that was to be left.
 */
export async function issuePeerCertificates(
  { api, source }: SecretPorts,
  issue: Issue,
  now: Date,
  call: CallOptions,
): Promise<Stored<KubeObject>> {
  const { metadata, hosts } = issue;
  const ref = { ...SECRET, namespace: metadata.namespace, name: nameOf.peerSecret(metadata.name) };
  const live = await api.get<Secret>(ref, call);
  const before = live === undefined ? undefined : readAuthorityNote(live.metadata.annotations);
  if (live !== undefined && (before?.stage ?? "Settled") !== issue.from) return live;
  const { current, next } = await authoritiesFor({ api, source }, issue, now, call);
  // A next one that nobody asked for is left of a Secret that was lost: members may go by it, so it is trusted from here on.
  const stage: AuthorityStage = next === undefined ? "Settled" : issue.to === "Sign" ? "Sign" : "Trust";
  const leaf = await source.issueCertificate(stage === "Sign" && next !== undefined ? next : current, hosts, now);
  const trusted = [current, ...(next === undefined ? [] : [next])].map(({ certificate }) => certificate.trimEnd());
  const files = { "ca.crt": `${trusted.join("\n")}\n`, "tls.crt": leaf.certificate, "tls.key": leaf.key };
  const note: AuthorityNote = {
    ...stageTimes(before, { stage, overlapMs: issue.overlapMs }, now.getTime()),
    notAfter: leaf.authorityNotAfter.toISOString(),
    request: issue.request,
    trusts: fingerprint(files["ca.crt"]),
    shows: fingerprint(files["tls.crt"]),
  };
  const annotations = {
    [ANNOTATION_NOT_AFTER]: leaf.notAfter.toISOString(),
    [ANNOTATION_HOSTS]: hosts.join(","),
    [ANNOTATION_AUTHORITY]: JSON.stringify(note),
  };
  const data = Object.fromEntries(Object.entries(files).map(([file, text]) => [file, encode(text)]));
  const secret: Secret = {
    ...SECRET,
    type: "kubernetes.io/tls",
    metadata: { ...metadata, name: ref.name, annotations },
    data,
  };
  return api.apply(secret, { fieldManager: FIELD_MANAGER, force: true, ...call });
}

/** The authorities as the stage needs them, made or put into office where they are not yet. */
async function authoritiesFor(
  { api, source }: SecretPorts,
  { metadata, from, to }: Issue,
  now: Date,
  call: CallOptions,
): Promise<Authorities> {
  const ref = { ...SECRET, namespace: metadata.namespace, name: nameOf.authoritySecret(metadata.name) };
  const kept = await ensureAuthority({ api, source }, { ref, metadata }, now, call);
  const { current, next } = authoritiesOf(kept);
  const change = (data: Record<string, string | null>) =>
    api.mergePatch<Secret>(ref, { metadata: { resourceVersion: kept.metadata.resourceVersion }, data }, call);
  if (to === "Trust" && next === undefined) {
    const made = await source.createAuthority(metadata.name, now);
    await change({ "next.crt": encode(made.certificate), "next.key": encode(made.key) });
    return { current, next: made };
  }
  if (from === "Sign" && to === "Settled" && next !== undefined) {
    const data = { "ca.crt": encode(next.certificate), "ca.key": encode(next.key), "next.crt": null, "next.key": null };
    await change(data);
    return { current: next, next: undefined };
  }
  return { current, next };
}

async function ensureAuthority(
  { api, source }: SecretPorts,
  { ref, metadata }: { readonly ref: ObjectRef; readonly metadata: ManifestMeta },
  now: Date,
  call: CallOptions,
): Promise<Stored<Secret>> {
  const existing = await api.get<Secret>(ref, call);
  if (existing !== undefined) return existing;
  const made = await source.createAuthority(metadata.name, now);
  const data = { "ca.crt": encode(made.certificate), "ca.key": encode(made.key) };
  try {
    return await api.create<Secret>(
      { ...SECRET, type: "Opaque", metadata: { ...metadata, name: ref.name }, data },
      call,
    );
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
    const winner = await api.get<Secret>(ref, call); // another replica was faster; one authority is enough
    if (winner === undefined) throw error;
    return winner;
  }
}

function authoritiesOf(secret: Stored<Secret>): Authorities {
  const current = keyPairOf(secret, "ca");
  if (current === undefined) {
    // Replacing it would part running members from new ones; a person may have it in a backup.
    const object = `Secret ${secret.metadata.namespace ?? ""}/${secret.metadata.name}`;
    throw new RetryableError("The authority has lost ca.crt or ca.key; restore them, or delete the Secret", {
      reason: "AuthorityDamaged",
      object,
    });
  }
  return { current, next: keyPairOf(secret, "next") };
}

function keyPairOf({ data }: Secret, name: "ca" | "next"): KeyPair | undefined {
  const certificate = data?.[`${name}.crt`];
  const key = data?.[`${name}.key`];
  return certificate === undefined || key === undefined
    ? undefined
    : { certificate: decode(certificate), key: decode(key) };
}
