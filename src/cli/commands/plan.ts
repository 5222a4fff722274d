// kubectl quorate plan
import { readFile } from "node:fs/promises";
import { type Command, Option } from "commander";
import { load } from "js-yaml";
import { ClusterSpec } from "../../api/cluster-spec.ts";
import { API_VERSION } from "../../api/names.ts";
import { forecast, type Forecast } from "../../forecast/forecast.ts";
import type { KubeObject } from "../../kube/object.ts";
import { renderForecast } from "../forecast-view.ts";
import { observeLive, observeUnborn } from "./live-observation.ts";
import { EXIT, type Format, formatted, inSession, type Session } from "./session.ts";

interface PlanOptions {
  readonly filename: string;
  readonly output?: Format;
}

interface WithSpec extends KubeObject {
  readonly spec?: { readonly engine?: { readonly name?: string } };
}

/** Adds the command. */
export function addPlan(program: Command): void {
  program
    .command("plan")
    .requiredOption("-f, --filename <file>", "the edited ClusterSpec; - reads standard input")
    .addOption(new Option("-o, --output <format>", "print the forecast as data").choices(["json", "yaml"]))
    .description(
      "Say what applying an edited ClusterSpec would do, in order, and how long writes would wait. Changes nothing. Exits with 2 when something would hold it back.",
    )
    .action((options: PlanOptions, command: Command) => inSession(command, (session) => showPlan(session, options)));
}

async function showPlan(session: Session, { filename, output }: PlanOptions): Promise<void> {
  const text = filename === "-" ? await standardInput() : await readFile(filename, "utf8");
  const edited = load(text) as WithSpec | undefined;
  if (edited?.kind !== "ClusterSpec" || edited.apiVersion !== API_VERSION) {
    throw new Error(`${filename} is no ClusterSpec of ${API_VERSION}: give a file with one ClusterSpec`);
  }
  const name = edited.metadata.name ?? "";
  const result = await foretell(session, edited, name);
  session.print(output === undefined ? renderForecast(name, result, session.palette) : formatted(output, result));
  if (result.blocked.length > 0) process.exitCode = EXIT.no;
}

/** The API server fills in defaults and judges the spec first, as it would when it is applied. */
async function foretell({ api, ...rest }: Session, edited: WithSpec, name: string): Promise<Forecast> {
  const namespace = edited.metadata.namespace ?? rest.namespace;
  const live = await api.get<WithSpec>({ apiVersion: API_VERSION, kind: "ClusterSpec", namespace, name });
  if (live === undefined) {
    const created = await api.create<WithSpec>(
      { ...edited, metadata: { ...edited.metadata, namespace } },
      { dryRun: true },
    );
    const engineName = created.spec?.engine?.name ?? "";
    const engine = await api.get<WithSpec>({ apiVersion: API_VERSION, kind: "Engine", name: engineName });
    return forecast(observeUnborn(created, engine?.spec, namespace), ClusterSpec.parse(created).spec);
  }
  const replaced = await api.update<WithSpec>({ ...live, ...(edited.spec && { spec: edited.spec }) }, { dryRun: true });
  return forecast(await observeLive(api, namespace, name), ClusterSpec.parse(replaced).spec);
}

async function standardInput(): Promise<string> {
  let text = "";
  process.stdin.setEncoding("utf8");
  for await (const chunk of process.stdin) text += String(chunk);
  return text;
}
