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
import type { Issued, KeyPair } from "./certificates.ts";
import { FIELD_MANAGER } from "./field-manager.ts";
import type { SecretSource } from "./secret-source.ts";
import { decode, encode, type Secret, SECRET, type SecretPorts } from "./secret-object.ts";

/** In what members have: the authorities whose certificates clients are known by. */
const CLIENTS_AUTHORITY = "clients-ca.crt";

type Issue = Omit<Extract<Step, { kind: "IssueCertificates" }>, "kind" | "reason">;

/** The authority in office, and the one that is to follow it. */
interface Authorities {
  readonly current: KeyPair;
  readonly next: KeyPair | undefined;
}

/** Where the Secret of the authority holds them. */
interface Place {
  readonly current: string;
  readonly next: string;
}

const OF_MEMBERS: Place = { current: "ca", next: "next" };
const OF_CLIENTS: Place = { current: "clients-ca", next: "clients-next" };

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
  const { metadata, hosts, hasClients } = issue;
  const ref = { ...SECRET, namespace: metadata.namespace, name: nameOf.peerSecret(metadata.name) };
  const live = await api.get<Secret>(ref, call);
  const before = live === undefined ? undefined : readAuthorityNote(live.metadata.annotations);
  if (live !== undefined && (before?.stage ?? "Settled") !== issue.from) return live;
  const { members, clients } = await authoritiesFor({ api, source }, issue, now, call);
  const { next } = members;
  // A next one that nobody asked for is left of a Secret that was lost: members may go by it, so it is trusted from here on.
  const stage: AuthorityStage = next === undefined ? "Settled" : issue.to === "Sign" ? "Sign" : "Trust";
  const leaf = await source.issueCertificate(signerOf(members, stage), hosts, now);
  const forClients = clients === undefined ? undefined : await filesForClients(source, clients, stage, now);
  const files = { "ca.crt": bundle(members), "tls.crt": leaf.certificate, "tls.key": leaf.key, ...forClients };
  const note: AuthorityNote = {
    ...stageTimes(before, { stage, overlapMs: issue.overlapMs }, now.getTime()),
    notAfter: leaf.authorityNotAfter.toISOString(),
    request: issue.request,
    trusts: fingerprint(files["ca.crt"] + (forClients?.[CLIENTS_AUTHORITY] ?? "")),
    shows: fingerprint(files["tls.crt"]),
    ...(hasClients ? { hasClients } : {}),
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

/** The authorities as the stage needs them, made or put into office where they are not yet; of clients if they have one. */
async function authoritiesFor(
  { api, source }: SecretPorts,
  { metadata, from, to, hasClients }: Issue,
  now: Date,
  call: CallOptions,
): Promise<{ readonly members: Authorities; readonly clients: Authorities | undefined }> {
  const ref = { ...SECRET, namespace: metadata.namespace, name: nameOf.authoritySecret(metadata.name) };
  const kept = await ensureAuthority({ api, source }, { ref, metadata }, now, call);
  const create = () => source.createAuthority(metadata.name, now);
  const change: Record<string, string | null> = {};
  const put = (name: string, pair: KeyPair | undefined): void => {
    change[`${name}.crt`] = pair === undefined ? null : encode(pair.certificate);
    change[`${name}.key`] = pair === undefined ? null : encode(pair.key);
  };
  const bring = async (place: Place): Promise<Authorities> => {
    let current = keyPairOf(kept, place.current);
    let next = keyPairOf(kept, place.next);
    if (current === undefined) put(place.current, (current = await create()));
    if (to === "Trust" && next === undefined) put(place.next, (next = await create()));
    if (from === "Sign" && to === "Settled" && next !== undefined) {
      put(place.current, (current = next));
      put(place.next, (next = undefined));
    }
    return { current, next };
  };
  const members = await bring(OF_MEMBERS);
  const clients = hasClients ? await bring(OF_CLIENTS) : undefined;
  if (Object.keys(change).length > 0) {
    const { resourceVersion } = kept.metadata;
    await api.mergePatch<Secret>(ref, { metadata: { resourceVersion }, data: change }, call);
  }
  return { members, clients };
}

/** What the engine needs to know clients by their certificates. */
async function filesForClients(source: SecretSource, clients: Authorities, stage: AuthorityStage, now: Date) {
  const nobody = await source.issueClientCertificate(signerOf(clients, stage), undefined, now);
  return { [CLIENTS_AUTHORITY]: bundle(clients), "nobody.crt": nobody.certificate, "nobody.key": nobody.key };
}

function signerOf({ current, next }: Authorities, stage: AuthorityStage): KeyPair {
  return stage === "Sign" && next !== undefined ? next : current;
}

function bundle({ current, next }: Authorities): string {
  const trusted = [current, ...(next === undefined ? [] : [next])].map(({ certificate }) => certificate.trimEnd());
  return `${trusted.join("\n")}\n`;
}

/** An account of a cluster. */
interface AccountOf {
  readonly namespace: string;
  readonly cluster: string;
  readonly account: string;
  /** How far the members are at the time: whose certificates they know clients by. */
  readonly stage: AuthorityStage;
}

/**
 * Makes a certificate by which a client is known as an account.
 *
 * @throws {RetryableError} while clients have no authority.
 */
export async function issueAccountCertificate(
  { api, source }: SecretPorts,
  { namespace, cluster, account, stage }: AccountOf,
  now: Date,
  call: CallOptions,
): Promise<Issued> {
  const ref = { ...SECRET, namespace, name: nameOf.authoritySecret(cluster) };
  const secret = await api.get<Secret>(ref, call);
  const current = secret === undefined ? undefined : keyPairOf(secret, OF_CLIENTS.current);
  if (secret === undefined || current === undefined) {
    throw new RetryableError("A client's certificate needs an authority, which is not there yet", {
      reason: "SecretIncomplete",
      object: `Secret ${namespace}/${ref.name}`,
    });
  }
  const next = keyPairOf(secret, OF_CLIENTS.next);
  return source.issueClientCertificate(signerOf({ current, next }, stage), account, now);
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

/** @returns undefined when there is none. @throws {RetryableError} when one in office has lost a part, or the members' is gone. */
function keyPairOf(secret: Stored<Secret>, name: string): KeyPair | undefined {
  const [certificate, key] = [`${name}.crt`, `${name}.key`].map((file) => secret.data?.[file]);
  if (certificate !== undefined && key !== undefined) return { certificate: decode(certificate), key: decode(key) };
  const isNone = certificate === undefined && key === undefined;
  if (name !== OF_MEMBERS.current && (isNone || name !== OF_CLIENTS.current)) return undefined;
  // Replacing it would part running members from new ones; a person may have it in a backup.
  const object = `Secret ${secret.metadata.namespace ?? ""}/${secret.metadata.name}`;
  const message = `The authority has lost ${name}.crt or ${name}.key; restore them, or delete the Secret`;
  throw new RetryableError(message, { reason: "AuthorityDamaged", object });
}
