// Where what is secret comes from. An interface, so that a run can be repeated exactly: nothing else in this program is random
// by intent.
import { randomBytes } from "node:crypto";
import { createAuthority, issueCertificate, issueClientCertificate } from "./certificates.ts";

/** Makes keys, certificates and passwords. */
export interface SecretSource {
  readonly createAuthority: typeof createAuthority;
  readonly issueCertificate: typeof issueCertificate;
  readonly issueClientCertificate: typeof issueClientCertificate;
  /** A password that nobody can guess, of letters, digits, - and _: safe in any configuration file. */
  readonly createPassword: () => string;
}

const PASSWORD_BYTES = 24; // 32 characters of base64url

/** The machine's own source. */
export const randomSecrets: SecretSource = {
  createAuthority,
  issueCertificate,
  issueClientCertificate,
  createPassword: () => randomBytes(PASSWORD_BYTES).toString("base64url"),
};
