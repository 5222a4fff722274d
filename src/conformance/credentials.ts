/** Passwords of clusters that live for a check. */
import { randomBytes } from "node:crypto";

/** A password for every account, of the letters that generated ones have. */
export function testPasswords(accounts: readonly { readonly name: string }[]): Readonly<Record<string, string>> {
  return Object.fromEntries(accounts.map(({ name }) => [name, randomBytes(24).toString("base64url")]));
}
