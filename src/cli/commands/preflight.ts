// kubectl quorate preflight
import { readFile } from "node:fs/promises";
import { type Command, Option } from "commander";
import { load } from "js-yaml";
import { ClusterSpec } from "../../api/cluster-spec.ts";
import type { KubeObject } from "../../kube/object.ts";
import { type Finding, judge } from "../../checklist/checklist.ts";
import { MISTAKES } from "../../checklist/mistakes.ts";
import { PRODUCTION } from "../../checklist/production.ts";
import { renderFindings } from "../findings.ts";
import { gatherFacts } from "./gather-facts.ts";
import { EXIT, type Format, formatted, inSession, readCluster, type Session } from "./session.ts";

interface PreflightOptions {
  readonly filename?: string;
  readonly output?: Format;
}

/** Adds the command. */
export function addPreflight(program: Command): void {
  program
    .command("preflight")
    .argument("[name]", "ClusterSpec that exists")
    .option("-f, --filename <file>", "a ClusterSpec that was not applied yet")
    .addOption(new Option("-o, --output <format>", "print the findings as data").choices(["json", "yaml"]))
    .description(
      "Go through the production checklist and the twenty mistakes for a real spec and cluster. Exits with 2 when a check fails.",
    )
    .action((name: string | undefined, options: PreflightOptions, command: Command) =>
      inSession(command, (session) => check(session, name, options)),
    );
}

async function check(
  session: Session,
  name: string | undefined,
  { filename, output }: PreflightOptions,
): Promise<void> {
  const cluster = await wanted(session, name, filename);
  const facts = await gatherFacts(session, cluster);
  const production = judge(PRODUCTION, facts);
  const mistakes = judge(MISTAKES, facts);
  if (hasFailure([...production, ...mistakes])) process.exitCode = EXIT.no;
  if (output !== undefined) return session.print(formatted(output, { production, mistakes }));
  const { palette } = session;
  session.print([
    ...renderFindings(`${cluster.metadata.name}: ready for production?`, production, palette),
    "",
    ...renderFindings("The twenty mistakes", mistakes, palette),
  ]);
}

function hasFailure(findings: readonly Finding[]): boolean {
  return findings.some(({ result }) => result === "Fail");
}

async function wanted(session: Session, name: string | undefined, filename: string | undefined): Promise<ClusterSpec> {
  if (name !== undefined && filename === undefined) return readCluster(session, name);
  if (name !== undefined || filename === undefined)
    throw new Error("give the name of a ClusterSpec, or --filename, and not both");
  const object = load(await readFile(filename, "utf8")) as KubeObject | undefined;
  if (object?.kind !== "ClusterSpec") throw new Error(`${filename} is no ClusterSpec`);
  const parsed = ClusterSpec.safeParse(object);
  const [issue] = parsed.error?.issues ?? [];
  if (issue !== undefined) throw new Error(`${filename}: ${issue.path.join(".")}: ${issue.message}`);
  return ClusterSpec.parse(object);
}
