// What applications need to connect: a Secret for each account that the Engine means for them, in the form of the Service Binding
// specification. The password is filled in by whoever may read it.
import { nameOf } from "../api/names.ts";
import type { ClusterIntent } from "../api/cluster-spec.ts";
import type { EngineSpec } from "../api/engine.ts";
import type { Connection as EngineConnection } from "../api/engine-account.ts";
import { type BuildContext, clientTlsPort, givesAuthority, givesCertificates } from "./context.ts";
import { contentHash } from "./hash.ts";
import { childLabels, ownerOf } from "./labels.ts";
import type { ManifestMeta } from "./manifest.ts";

/** A connection Secret without its password. */
export interface Connection {
  readonly metadata: ManifestMeta;
  /** Type of the Secret. */
  readonly type: string;
  /** Everything but `password` and `uri`. */
  readonly fields: Readonly<Record<string, string>>;
  /** Where `$(field)` stands for a field's value. */
  readonly uri: string;
  /** The same for the port at which clients speak TLS, where the engine has one of its own. */
  readonly tls?: { readonly port: string; readonly uri: string };
  /** Key of the credentials Secret that holds the password. */
  readonly passwordKey: string;
  /** Whether clients can check the server by the cluster's authority, whose certificate they then get. */
  readonly hasAuthority: boolean;
  /** The account whose certificate clients get with it; absent where they have none. */
  readonly certifies?: string;
  /** Differs when anything of it does; what is filled in is known by the versions of its Secrets. */
  readonly hash: string;
}

/** resourceVersions of the Secrets whose contents are filled in; empty where there is none. */
export interface SecretVersions {
  readonly credentialsVersion: string;
  readonly peerVersion: string;
}

/** The connections of a cluster. */
export function buildConnections(
  context: BuildContext,
  { credentialsVersion, peerVersion }: SecretVersions,
): readonly Connection[] {
  const { name: cluster, namespace, engine } = context;
  const hasAuthority = givesAuthority(context);
  const hasCertificates = givesCertificates(context);
  const entrance = context.intent.topology === "Sharded" ? nameOf.read : nameOf.readWrite;
  return applicationAccounts(engine, context.intent).map(({ name: account, secretKey, connection }) => {
    const { type, database, uri } = connection;
    const tls = tlsOf(context, connection);
    const fields = {
      type,
      host: `${entrance(cluster)}.${namespace}.svc`,
      port: String(engine.port),
      username: account,
      ...(database === undefined ? {} : { database }),
    };
    const name = nameOf.connectionSecret(cluster, account);
    const metadata = { name, namespace, labels: childLabels(context), ownerReferences: [ownerOf(context)] };
    const versions = [credentialsVersion, ...(hasAuthority ? [peerVersion] : [])];
    const certified = hasCertificates ? { certifies: account } : {};
    const extras = [...(tls === undefined ? [] : [tls]), ...(hasCertificates ? [certified] : [])];
    const hash = contentHash([fields, uri, secretKey, ...versions, ...extras]);
    const made = {
      metadata,
      type: `servicebinding.io/${type}`,
      fields,
      uri,
      passwordKey: secretKey,
      hasAuthority,
      ...certified,
      hash,
    };
    return tls === undefined ? made : { ...made, tls };
  });
}

/** What is known of a connection Secret that is there. */
export interface LiveConnection {
  /** Of what it was made from. */
  readonly hash: string;
  /** End of the client's certificate in it, epoch milliseconds; absent where it has none. */
  readonly notAfterMs?: number;
}

/** A third of a client's certificate: it lives for a year, and whoever has it needs time for reading the next one. */
const RENEW_CLIENT_BEFORE_MS = (365 / 3) * 86_400_000;

/** Whether a connection Secret is there as it shall be, with a certificate that lasts where it needs one. */
export function isAsWanted(
  { hash, certifies }: Pick<Connection, "hash" | "certifies">,
  live: LiveConnection | undefined,
  nowMs: number,
): boolean {
  if (live?.hash !== hash) return false;
  return certifies === undefined || (live.notAfterMs ?? 0) - nowMs > RENEW_CLIENT_BEFORE_MS;
}

interface Made extends SecretVersions {
  readonly connections: readonly Connection[];
}

const madeOf = new WeakMap<BuildContext, Made>();

/**
 * Those of a cluster's connections that are not there as they shall be.
 * @param live - The connection Secrets that are there, by their names.
 */
export function missingConnections(
  context: BuildContext,
  {
    connections: live,
    credentialsVersion,
    peerVersion,
  }: SecretVersions & { readonly connections: ReadonlyMap<string, LiveConnection> },
  nowMs: number,
): readonly Connection[] {
  let made = madeOf.get(context);
  if (made?.credentialsVersion !== credentialsVersion || made.peerVersion !== peerVersion) {
    const versions = { credentialsVersion, peerVersion };
    made = { ...versions, connections: buildConnections(context, versions) };
    madeOf.set(context, made);
  }
  return made.connections.filter((one) => !isAsWanted(one, live.get(one.metadata.name), nowMs));
}

function tlsOf(context: BuildContext, { tlsUri }: EngineConnection): Connection["tls"] {
  const port = clientTlsPort(context);
  return port === undefined || tlsUri === undefined ? undefined : { port: String(port), uri: tlsUri };
}

/** An account that applications connect with. */
export interface ApplicationAccount {
  readonly name: string;
  /** Key of the credentials Secret that holds its password. */
  readonly secretKey: string;
  readonly connection: EngineConnection;
  /** Of the engine, which is the account's. */
  readonly database: string;
  /** What it may do; all with its database where there are none. */
  readonly rules: readonly string[];
}

/** The accounts that applications connect with: those that the Engine brings, then those that the user asks for. */
export function applicationAccounts(
  engine: EngineSpec,
  { accounts }: Pick<ClusterIntent, "accounts">,
): readonly ApplicationAccount[] {
  const { applicationConnection: form } = engine;
  const brought = engine.accounts.flatMap(({ name, secretKey = name, connection }) =>
    connection === undefined ? [] : [{ name, secretKey, connection, database: connection.database ?? name, rules: [] }],
  );
  if (form === undefined) return brought;
  // Software that is not told of a database when somebody connects has none that a client could choose.
  const isChosen = form.uri.includes("$(database)");
  const asked = accounts.map(({ name, database = name, rules = [] }) => ({
    ...{ name, secretKey: name, database, rules },
    connection: isChosen ? { ...form, database } : form,
  }));
  return [...brought, ...asked];
}

/** Names of the connection Secrets of a cluster of this Engine. */
export function connectionNames(
  cluster: string,
  engine: EngineSpec | undefined,
  intent: Pick<ClusterIntent, "accounts"> | undefined,
): readonly string[] {
  if (engine === undefined || intent === undefined) return [];
  return applicationAccounts(engine, intent).map(({ name }) => nameOf.connectionSecret(cluster, name));
}

/** Keys that the credentials Secret must have: passwords of the engine's own accounts and of those that the user asks for. */
export function credentialKeys(engine: EngineSpec, { accounts }: Pick<ClusterIntent, "accounts">): readonly string[] {
  return [...engine.accounts.map(({ name, secretKey = name }) => secretKey), ...accounts.map(({ name }) => name)];
}

/** The URI with `$(field)` replaced; what has a meaning in URIs is escaped. A name that is no field's stays as it is. */
export function fillIn(uri: string, fields: Readonly<Record<string, string>>): string {
  return uri.replaceAll(/\$\(([a-z]+)\)/g, (whole, field: string) => {
    const value = fields[field];
    return value === undefined ? whole : encodeURIComponent(value);
  });
}
