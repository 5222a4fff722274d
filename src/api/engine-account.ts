/** Accounts of an engine, and how applications connect with them. */
import * as z from "zod";
import { cel, named } from "./schema.ts";

/** How applications connect to an engine. */
export const Connection = z.object({
  type: named("type of the software, by which clients know how to speak to it; it is in the Secret's type, too."),
  database: z.string().min(1).max(63).optional().describe("database to connect to, where the software has several."),
  uri: z
    .string()
    .min(1)
    .max(512)
    .describe("uri to connect with; $(host), $(port), $(username), $(password) and $(database) are filled in."),
  tlsUri: z
    .string()
    .min(1)
    .max(512)
    .optional()
    .describe("tlsUri to connect with by way of tlsPort, with the same fields filled in; $(port) is tlsPort."),
});
export type Connection = z.infer<typeof Connection>;

/** An account that the engine itself brings. */
export const EngineAccount = z
  .object({
    name: named("name of the account; its password is generated and lies in /quorate-credentials/<name>."),
    secretKey: z
      .string()
      .max(63)
      .optional()
      .describe("secretKey of the credentials Secret that holds the password; the account's name when absent."),
    connection: Connection.optional().describe(
      "connection makes the Secret <cluster>-<account> for applications, with type, host, port, username, password, database and uri.",
    ),
  })
  .meta(
    cel([
      {
        rule: "!has(self.connection) || !(self.name in ['ca', 'peer', 'credentials'])",
        message:
          "name of an account with a connection must not be ca, peer or credentials: those Secrets hold something else; choose another name",
        fieldPath: ".name",
      },
    ]),
  );
