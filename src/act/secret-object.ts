// What a Secret looks like, and how its values are written.
import type { KubeApi } from "../kube/api.ts";
import type { KubeObject } from "../kube/object.ts";
import type { SecretSource } from "./secret-source.ts";

export interface Secret extends KubeObject {
  readonly type?: string;
  readonly data?: Readonly<Record<string, string>>;
}

export const SECRET = { apiVersion: "v1", kind: "Secret" } as const;

export type SecretApi = Pick<KubeApi, "get" | "create" | "apply" | "mergePatch">;

/** Where Secrets are kept, and what is put into them. */
export interface SecretPorts {
  readonly api: SecretApi;
  readonly source: SecretSource;
}

/** A value as `data` carries it. */
export function encode(text: string): string {
  return Buffer.from(text).toString("base64");
}

export function decode(base64: string): string {
  return Buffer.from(base64, "base64").toString("utf8");
}
