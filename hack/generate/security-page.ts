// docs/security.md is written by hand but for the table of the operator's rights.
import { rights } from "./manifests/rbac.ts";
import { withPart } from "./page-part.ts";

/** The page with the table as it should be. @throws {Error} when the page lost its markers. */
export function withRights(page: string): string {
  const rows = rights().map(({ resource, verbs, why }) => `| \`${resource}\` | ${verbs.join(", ")} | ${why} |`);
  return withPart(page, "rights", ["| resource | verbs | why |", "| --- | --- | --- |", ...rows].join("\n"));
}
