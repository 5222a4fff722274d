import type { Readable } from "node:stream";
export interface ObjectStore {
  put(key: string, body: Readable, signal: AbortSignal): Promise<{ readonly bytes: number; readonly sha256: string }>;
  get(key: string, signal: AbortSignal): Promise<Readable>;
  list(prefix: string, signal: AbortSignal): Promise<readonly string[]>;
  remove(key: string, signal: AbortSignal): Promise<void>;
}
export interface S3Options {
  readonly endpoint: string;
  readonly bucket: string;
  readonly region: string;
  readonly credentials: () => Promise<{ accessKeyId: string; secretAccessKey: string; sessionToken?: string }>;
  readonly ca?: string;
}
export function s3Store(_options: S3Options): ObjectStore {
  throw new Error("not here yet");
}
