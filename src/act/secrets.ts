// The Secrets of one cluster: made here, because what is random or private has no place in a plan.
import { nameOf } from "../api/names.ts";
import { type Connection, fillIn } from "../build/connection.ts";
import { ANNOTATION_CONNECTION_HASH, ANNOTATION_HOSTS, ANNOTATION_NOT_AFTER } from "../build/labels.ts";
import type { ManifestMeta } from "../build/manifest.ts";
import type { CallOptions, KubeApi } from "../kube/api.ts";
import { isAlreadyExists } from "../kube/api-error.ts";
import type { KubeObject, Stored } from "../kube/object.ts";
import { RetryableError } from "../errors.ts";
import type { KeyPair } from "./certificates.ts";
import { FIELD_MANAGER } from "./field-manager.ts";
import type { SecretSource } from "./secret-source.ts";

interface Secret extends KubeObject {
  readonly type?: string;
  readonly data?: Readonly<Record<string, string>>;
}

type Api = Pick<KubeApi, "get" | "create" | "apply" | "mergePatch">;
const SECRET = { apiVersion: "v1", kind: "Secret" } as const;

/** Where Secrets are kept, and what is put into them. */
interface SecretPorts {
  readonly api: Api;
  readonly source: SecretSource;
}

/**
 * Writes the members' certificate, signed by the cluster's authority, which is made when there is none.
 *
 * @param what - `metadata`: name (the cluster's), namespace, labels and owner of both Secrets; `hosts`: names of the members.
 * @returns the certificate's Secret.
 */
export async function issuePeerCertificates(
  { api, source }: SecretPorts,
  { metadata, hosts }: { readonly metadata: ManifestMeta; readonly hosts: readonly string[] },
  now: Date,
  call: CallOptions,
): Promise<Stored<KubeObject>> {
  const authority = await ensureAuthority({ api, source }, metadata, now, call);
  const leaf = await source.issueCertificate(authority, hosts, now);
  const annotations = { [ANNOTATION_NOT_AFTER]: leaf.notAfter.toISOString(), [ANNOTATION_HOSTS]: hosts.join(",") };
  const data = {
    "ca.crt": encode(authority.certificate),
    "tls.crt": encode(leaf.certificate),
    "tls.key": encode(leaf.key),
  };
  const secret: Secret = {
    ...SECRET,
    type: "kubernetes.io/tls",
    metadata: { ...metadata, name: nameOf.peerSecret(metadata.name), annotations },
    data,
  };
  return api.apply(secret, { fieldManager: FIELD_MANAGER, force: true, ...call });
}

async function ensureAuthority(
  { api, source }: SecretPorts,
  metadata: ManifestMeta,
  now: Date,
  call: CallOptions,
): Promise<KeyPair> {
  const name = nameOf.authoritySecret(metadata.name);
  const ref = { ...SECRET, namespace: metadata.namespace, name };
  const existing = await api.get<Secret>(ref, call);
  if (existing !== undefined) return toKeyPair(existing);
  const made = await source.createAuthority(metadata.name, now);
  const data = { "ca.crt": encode(made.certificate), "ca.key": encode(made.key) };
  try {
    await api.create<Secret>({ ...SECRET, type: "Opaque", metadata: { ...metadata, name }, data }, call);
    return made;
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
    const winner = await api.get<Secret>(ref, call); // another replica was faster; one authority is enough
    if (winner === undefined) throw error;
    return toKeyPair(winner);
  }
}

function toKeyPair(secret: Stored<Secret>): KeyPair {
  const certificate = secret.data?.["ca.crt"];
  const key = secret.data?.["ca.key"];
  if (certificate === undefined || key === undefined) {
    // Replacing it would part running members from new ones; a person may have it in a backup.
    const object = `Secret ${secret.metadata.namespace ?? ""}/${secret.metadata.name}`;
    throw new RetryableError("The authority has lost ca.crt or ca.key; restore them, or delete the Secret", {
      reason: "AuthorityDamaged",
      object,
    });
  }
  return { certificate: decode(certificate), key: decode(key) };
}

/**
 * Makes a password for each of `keys` that the Secret lacks. Those that exist are never changed: data may depend on them.
 * @returns the Secret as it is then.
 */
export async function generateCredentials(
  { api, source }: SecretPorts,
  metadata: ManifestMeta,
  keys: readonly string[],
  call: CallOptions,
): Promise<Stored<KubeObject>> {
  const ref = { ...SECRET, namespace: metadata.namespace, name: metadata.name };
  const existing = await api.get<Secret>(ref, call);
  const missing = keys.filter((key) => existing?.data?.[key] === undefined);
  const data = Object.fromEntries(missing.map((key) => [key, encode(source.createPassword())]));
  if (existing === undefined) return api.create<Secret>({ ...SECRET, type: "Opaque", metadata, data }, call);
  if (missing.length === 0) return existing;
  const { resourceVersion } = existing.metadata;
  return api.mergePatch(ref, { metadata: { resourceVersion }, data }, call);
}

/** A connection, and the names of the Secrets that complete it. */
interface Completed {
  readonly connection: Connection;
  readonly credentialsName: string;
  readonly peerName: string;
}

/** Writes what applications connect with. @returns its Secret. @throws {RetryableError} while what completes it is not there. */
export async function writeConnection(
  api: Api,
  { connection, credentialsName, peerName }: Completed,
  call: CallOptions,
): Promise<Stored<KubeObject>> {
  const { metadata, type, fields, uri, passwordKey, hasAuthority, hash } = connection;
  const part = (name: string, key: string) => partOf(api, { namespace: metadata.namespace, name }, key, call);
  const all = { ...fields, password: await part(credentialsName, passwordKey) };
  const authority = hasAuthority ? { "ca.crt": await part(peerName, "ca.crt") } : {};
  const texts = { ...all, uri: fillIn(uri, all), ...authority };
  const data = Object.fromEntries(Object.entries(texts).map(([field, text]) => [field, encode(text)]));
  const annotations = { [ANNOTATION_CONNECTION_HASH]: hash };
  const secret: Secret = { ...SECRET, type, metadata: { ...metadata, annotations }, data };
  return api.apply(secret, { fieldManager: FIELD_MANAGER, force: true, ...call });
}

async function partOf(
  api: Api,
  { namespace, name }: { readonly namespace: string; readonly name: string },
  key: string,
  call: CallOptions,
): Promise<string> {
  const value = (await api.get<Secret>({ ...SECRET, namespace, name }, call))?.data?.[key];
  if (value !== undefined) return decode(value);
  throw new RetryableError(`A connection needs the key ${key}, which is not there yet`, {
    reason: "SecretIncomplete",
    object: `Secret ${namespace}/${name}`,
  });
}

function encode(text: string): string {
  return Buffer.from(text).toString("base64");
}

function decode(base64: string): string {
  return Buffer.from(base64, "base64").toString("utf8");
}
