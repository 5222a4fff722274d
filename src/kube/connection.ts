// Where the API server is and how to prove who we are: in a pod from the mounted files, elsewhere from a kubeconfig.
import { readFile } from "node:fs/promises";
import type { RequestOptions } from "node:https";
import { join } from "node:path";

/** What one request is authenticated with. PEM texts; a token goes into the Authorization header. */
export interface Credentials {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly authorization?: string | undefined;
  /** Name in the server's certificate when it differs from the URL's host. */
  readonly serverName?: string | undefined;
  readonly skipTlsVerify?: boolean;
}

/** One API server and one identity. */
export interface Connection {
  /** Base URL without trailing slash. */
  readonly server: string;
  /** Namespace of the context or of the pod. */
  readonly namespace: string;
  /** Reads the credentials anew. Tokens and certificates are rotated on disk, so the client asks again from time to time. */
  credentials(): Promise<Credentials>;
}

const ACCOUNT_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount";

/**
 * The service account of the pod this runs in. Needs nothing but the mounted files, so the agent does not carry a kubeconfig reader.
 *
 * @param env - Where the kubelet put KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT.
 * @throws {TypeError} when they are missing: this is no pod.
 */
export async function inClusterConnection(
  env: Readonly<Record<string, string | undefined>>,
  folder = ACCOUNT_FOLDER,
): Promise<Connection> {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = env;
  if (host === undefined || host === "" || port === undefined)
    throw new TypeError("KUBERNETES_SERVICE_HOST is not set");
  const read = (name: string) => readFile(join(folder, name), "utf8");
  return {
    server: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
    namespace: (await read("namespace")).trim(),
    credentials: async () => {
      const [ca, token] = await Promise.all([read("ca.crt"), read("token")]);
      return { ca, authorization: `Bearer ${token.trim()}` };
    },
  };
}

/**
 * A context of a kubeconfig file, with all its ways to log in (certificates, tokens, exec plugins, OIDC).
 *
 * @param file - Path, or undefined for $KUBECONFIG and then ~/.kube/config.
 * @throws {TypeError} when the context names no cluster.
 */
export async function kubeconfigConnection(file?: string, context?: string): Promise<Connection> {
  const { KubeConfig } = await import("./kubeconfig.ts");
  const config = new KubeConfig();
  const load = () => {
    if (file === undefined) config.loadFromDefault();
    else config.loadFromFile(file);
    if (context !== undefined) config.setCurrentContext(context);
  };
  load();
  const cluster = config.getCurrentCluster();
  if (cluster === null) throw new TypeError(`kubeconfig context ${config.getCurrentContext()} names no cluster`);
  return {
    server: cluster.server.replace(/\/+$/, ""),
    namespace: config.getContextObject(config.getCurrentContext())?.namespace ?? "default",
    credentials: async () => {
      const options: RequestOptions = {};
      await config.applyToHTTPSOptions(options);
      const header = new Headers(toHeaderRecord(options.headers)).get("authorization");
      const basic = options.auth == null ? undefined : `Basic ${Buffer.from(options.auth).toString("base64")}`;
      return {
        ca: toText(options.ca),
        cert: toText(options.cert),
        key: toText(options.key),
        authorization: header ?? basic,
        serverName: options.servername,
        skipTlsVerify: options.rejectUnauthorized === false,
      };
    },
  };
}

/** The pod's service account where there is one, else the default kubeconfig. */
export function defaultConnection(env: Readonly<Record<string, string | undefined>>): Promise<Connection> {
  const inPod = env["KUBERNETES_SERVICE_HOST"] !== undefined && env["KUBECONFIG"] === undefined;
  return inPod ? inClusterConnection(env) : kubeconfigConnection();
}

function toHeaderRecord(headers: RequestOptions["headers"]): Record<string, string> {
  const record: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers ?? {})) {
    if (typeof value === "string") record[name] = value;
  }
  return record;
}

function toText(pem: unknown): string | undefined {
  if (typeof pem === "string") return pem;
  return Buffer.isBuffer(pem) ? pem.toString("utf8") : undefined;
}
