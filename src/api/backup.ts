/** Where copies of a cluster's data are kept, and which of them a new cluster begins with. */
import * as z from "zod";
import { type CelRule, named } from "./schema.ts";

/** Keys of the Secret that says who may use the store. */
export const STORE_KEYS = {
  accessKeyId: "access-key-id",
  secretAccessKey: "secret-access-key",
  sessionToken: "session-token",
  authority: "ca.crt",
} as const;

/** A bucket of a store that speaks the protocol of S3. */
export const BackupBucket = z.object({
  endpoint: z
    .string()
    .max(512)
    .regex(/^https?:\/\/[A-Za-z0-9.-]+(:[0-9]+)?(\/[A-Za-z0-9._~/-]*)?$/)
    .describe(
      "endpoint of the store, such as https://s3.eu-central-1.amazonaws.com, which members must reach. Over http, copies of the data can be read on the way.",
    ),
  bucket: z
    .string()
    .max(63)
    .regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/)
    .describe("bucket that the copies are kept in. It must exist."),
  region: z
    .string()
    .min(1)
    .max(63)
    .regex(/^[A-Za-z0-9-]+$/)
    .default("us-east-1")
    .describe("region of the bucket; stores that have none take any."),
  prefix: z
    .string()
    .max(256)
    .regex(/^([A-Za-z0-9._-]+(\/[A-Za-z0-9._-]+)*)?$/)
    .default("")
    .describe("prefix of all keys in the bucket, such as databases/eu, for a bucket that holds other things, too."),
  secretName: named(
    "secretName of the Secret in the same namespace with the keys access-key-id and secret-access-key, and, where they are needed, session-token and ca.crt, the authority of the store's certificate. It is mounted into every member: naming another one restarts them, another content does not.",
  ),
});
export type BackupBucket = z.infer<typeof BackupBucket>;

/** Where backups of a cluster go, and how many stay. */
export const BackupPolicy = z.object({
  s3: BackupBucket.describe("s3 is the bucket that backups go to, and that spec.restore is read from."),
  keep: z
    .int32()
    .min(1)
    .max(10000)
    .optional()
    .describe(
      "keep so many backups of this cluster: when one is finished, those that are older than the newest so many are deleted. All stay when absent.",
    ),
});
export type BackupPolicy = z.infer<typeof BackupPolicy>;

/** The backup that a new cluster begins with. */
export const RestoreSource = z.object({
  path: z
    .string()
    .min(1)
    .max(256)
    .regex(/^[a-z0-9][-a-z0-9]*\/[a-z0-9][-a-z0-9]*\/[A-Za-z0-9][-A-Za-z0-9.]*$/)
    .describe(
      "path of the backup in the bucket of spec.backup.s3, below its prefix: namespace, cluster and backup, as status.path of the ClusterOperation has it. It may be another cluster's, of the same Engine.",
    ),
});
export type RestoreSource = z.infer<typeof RestoreSource>;

/** Rules across a ClusterSpec's fields that are about backups. */
export const backupSpecRules: readonly CelRule[] = [
  {
    rule: "!has(self.backup) || self.topology != 'Stateless'",
    message: "backup is of no use in topology Stateless, whose members keep no data: leave backup out",
    fieldPath: ".backup",
  },
  {
    rule: "!has(self.restore) || !(self.topology in ['Stateless', 'Sharded'])",
    message: "restore is not for the topologies Stateless and Sharded: leave restore out",
    fieldPath: ".restore",
  },
  {
    rule: "!has(self.restore) || has(self.backup)",
    message: "restore needs backup, which says where the backup is: set backup.s3",
    fieldPath: ".restore",
  },
  {
    rule: "!has(self.restore) || (has(oldSelf.restore) && self.restore == oldSelf.restore)",
    message:
      "restore is what a cluster begins with and cannot be added or changed later: create another ClusterSpec with it, or leave it out",
    fieldPath: ".restore",
    reason: "FieldValueForbidden",
  },
];
