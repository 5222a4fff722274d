/** Accounts and databases that a user wants for applications. */
import * as z from "zod";
import { cel, listMap } from "./schema.ts";

const name = (description: string): z.ZodString =>
  z
    .string()
    .min(1)
    .max(40)
    .regex(/^[a-z]([-a-z0-9]*[a-z0-9])?$/)
    .describe(description);

/** One account for applications. */
export const Account = z
  .object({
    name: name(
      "name of the account, and of its connection Secret: <cluster>-<name>. Its password is generated; take its key out of the Secret <cluster>-credentials, and another one is.",
    ),
    database: name(
      "database that the account owns; made when it is missing, never dropped. The account's name when absent. What stands for a database in software without any, the Engine's page says: the beginning of keys, for example.",
    ).optional(),
    rules: z
      .array(
        z
          .string()
          .min(1)
          .max(128)
          .regex(/^[ -~]+$/),
      )
      .max(32)
      .optional()
      .describe(
        "rules of what the account may do, in place of everything with its database, in the words of the software's own access control; the Engine says which it takes.",
      ),
  })
  .meta(
    cel([
      {
        rule: "!(self.name in ['ca', 'peer', 'credentials'])",
        message: "name must not be ca, peer or credentials: those Secrets hold something else; choose another name",
        fieldPath: ".name",
      },
    ]),
  );
export type Account = z.infer<typeof Account>;

/** `spec.accounts`. */
export const Accounts = z
  .array(Account)
  .max(64)
  .meta(listMap("name"))
  .default([])
  .describe(
    "accounts for applications, with a database and a connection Secret each. One that is taken out can log in no more; its data stays.",
  );
