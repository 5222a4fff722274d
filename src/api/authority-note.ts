/** What the operator notes down about the certificate of a cluster's members, on the Secret that holds it. */
import * as z from "zod";

/**
 * How far the members are on their way from one authority to the next. Settled: there is one. Trust: the next one is trusted beside
 * it, and signs nothing yet. Sign: the next one has signed the certificate, and the former is still trusted.
 */
export const AuthorityStage = z.enum(["Settled", "Trust", "Sign"]);
export type AuthorityStage = z.infer<typeof AuthorityStage>;

/** Which files a member goes by: each field is the fingerprint of one of them. */
export const Identification = z.object({
  /** Of the authorities that it trusts: those of ca.crt and, where there are any, those of clients. */
  trusts: z.string(),
  /** Of tls.crt, the certificate that it shows. */
  shows: z.string(),
});
export type Identification = z.infer<typeof Identification>;

export const AuthorityNote = Identification.extend({
  stage: AuthorityStage,
  /** When the stage began, RFC 3339. */
  since: z.string(),
  /** End of the authority that signed, RFC 3339. */
  notAfter: z.string(),
  /**
   * The next stage does not begin before, RFC 3339. In Trust clients get to know the next authority until then, which signs nothing yet; in
   * Sign those that have certificates themselves get another one, while the former is trusted.
   */
  signsFrom: z.string(),
  /** The request for another authority that was answered last; empty when there was none. */
  request: z.string(),
  /** Whether clients have an authority of their own; it is replaced together with the members'. */
  hasClients: z.boolean().optional(),
});
export type AuthorityNote = z.infer<typeof AuthorityNote>;
