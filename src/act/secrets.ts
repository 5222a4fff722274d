// Passwords and connections of one cluster: made here, because what is random or private has no place in a plan.
import { type Connection, fillIn } from "../build/connection.ts";
import { ANNOTATION_CONNECTION_HASH } from "../build/labels.ts";
import type { ManifestMeta } from "../build/manifest.ts";
import type { CallOptions } from "../kube/api.ts";
import type { KubeObject, Stored } from "../kube/object.ts";
import { RetryableError } from "../errors.ts";
import { FIELD_MANAGER } from "./field-manager.ts";
import { decode, encode, type Secret, SECRET, type SecretApi, type SecretPorts } from "./secret-object.ts";

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
  api: SecretApi,
  { connection, credentialsName, peerName }: Completed,
  call: CallOptions,
): Promise<Stored<KubeObject>> {
  const { metadata, type, fields, uri, tls, passwordKey, hasAuthority, hash } = connection;
  const part = (name: string, key: string) => partOf(api, { namespace: metadata.namespace, name }, key, call);
  const all = { ...fields, password: await part(credentialsName, passwordKey) };
  const authority = hasAuthority ? { "ca.crt": await part(peerName, "ca.crt") } : {};
  const encrypted =
    tls === undefined ? {} : { "tls-port": tls.port, "tls-uri": fillIn(tls.uri, { ...all, port: tls.port }) };
  const texts = { ...all, uri: fillIn(uri, all), ...encrypted, ...authority };
  const data = Object.fromEntries(Object.entries(texts).map(([field, text]) => [field, encode(text)]));
  const annotations = { [ANNOTATION_CONNECTION_HASH]: hash };
  const secret: Secret = { ...SECRET, type, metadata: { ...metadata, annotations }, data };
  return api.apply(secret, { fieldManager: FIELD_MANAGER, force: true, ...call });
}

async function partOf(
  api: SecretApi,
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
