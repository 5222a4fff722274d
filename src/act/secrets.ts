// Passwords and connections of one cluster: made here, because what is random or private has no place in a plan.
import { type Connection, fillIn } from "../build/connection.ts";
import { readAuthorityNote } from "../build/certificate.ts";
import { ANNOTATION_CONNECTION_HASH, ANNOTATION_NOT_AFTER } from "../build/labels.ts";
import type { ManifestMeta } from "../build/manifest.ts";
import type { CallOptions } from "../kube/api.ts";
import type { KubeObject, Stored } from "../kube/object.ts";
import { RetryableError } from "../errors.ts";
import { FIELD_MANAGER } from "./field-manager.ts";
import { issueAccountCertificate } from "./peer-certificates.ts";
import { decode, encode, type Secret, SECRET, type SecretPorts } from "./secret-object.ts";

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

/** A connection, the cluster that it leads to, and the names of the Secrets that complete it. */
interface Completed {
  readonly connection: Connection;
  readonly cluster: string;
  readonly credentialsName: string;
  readonly peerName: string;
}

/** Writes what applications connect with. @returns its Secret. @throws {RetryableError} while what completes it is not there. */
export async function writeConnection(
  ports: SecretPorts,
  { connection, cluster, credentialsName, peerName }: Completed,
  now: Date,
  call: CallOptions,
): Promise<Stored<KubeObject>> {
  const { metadata, type, fields, uri, tls, passwordKey, hasAuthority, certifies, hash } = connection;
  const { namespace } = metadata;
  const read = (name: string) => ports.api.get<Secret>({ ...SECRET, namespace, name }, call);
  const credentials = await read(credentialsName);
  const all = { ...fields, password: partOf(credentials, { namespace, name: credentialsName }, passwordKey) };
  const peer = hasAuthority ? await read(peerName) : undefined;
  const authority = hasAuthority ? { "ca.crt": partOf(peer, { namespace, name: peerName }, "ca.crt") } : {};
  const stage = readAuthorityNote(peer?.metadata.annotations)?.stage ?? "Settled";
  const issued =
    certifies === undefined
      ? undefined
      : await issueAccountCertificate(ports, { namespace, cluster, account: certifies, stage }, now, call);
  const certificate = issued === undefined ? {} : { "tls.crt": issued.certificate, "tls.key": issued.key };
  const encrypted =
    tls === undefined ? {} : { "tls-port": tls.port, "tls-uri": fillIn(tls.uri, { ...all, port: tls.port }) };
  const texts = { ...all, uri: fillIn(uri, all), ...encrypted, ...authority, ...certificate };
  const data = Object.fromEntries(Object.entries(texts).map(([field, text]) => [field, encode(text)]));
  const annotations = {
    [ANNOTATION_CONNECTION_HASH]: hash,
    ...(issued === undefined ? {} : { [ANNOTATION_NOT_AFTER]: issued.notAfter.toISOString() }),
  };
  const secret: Secret = { ...SECRET, type, metadata: { ...metadata, annotations }, data };
  return ports.api.apply(secret, { fieldManager: FIELD_MANAGER, force: true, ...call });
}

function partOf(
  secret: Secret | undefined,
  { namespace, name }: { readonly namespace: string; readonly name: string },
  key: string,
): string {
  const value = secret?.data?.[key];
  if (value !== undefined) return decode(value);
  throw new RetryableError(`A connection needs the key ${key}, which is not there yet`, {
    reason: "SecretIncomplete",
    object: `Secret ${namespace}/${name}`,
  });
}
