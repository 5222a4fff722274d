/** The draft of an Engine: everything that its topology needs, with a file for each action that says what is to be written there. Pure. */
import { dump } from "js-yaml";
import { EngineActions, neededActions } from "../api/engine-actions.ts";
import { API_VERSION } from "../api/names.ts";
import type { Topology } from "../api/topology.ts";

/** What must be known of the software. */
export interface DraftAnswers {
  readonly name: string;
  readonly topology: Topology;
  readonly version: string;
  readonly image: string;
  readonly port: number;
  /** User and group id that its image runs it as. */
  readonly user: number;
  readonly group: number;
  /** argv of the main process. */
  readonly start: readonly string[];
}

/** The draft as YAML, which the API server accepts. The actions fail until they are written. */
export function draftEngine(answers: DraftAnswers): string {
  const { name, topology, version, image, port, user, group, start } = answers;
  const actions = neededActions(topology);
  const exec = (action: string) => ({ exec: [`$(QUORATE_ENGINE_DIR)/${fileOf(action)}`] });
  const spec = {
    topologies: topology === "Sharded" ? ["ActivePassive", topology] : [topology],
    ...(topology === "Sharded" ? { slots: 16_384 } : {}),
    versions: [{ version, image }],
    runAs: { user, group },
    port,
    start: [...start],
    ...(topology === "Stateless" ? { probes: { ready: { path: "/" } } } : {}),
    ...(actions.length === 0
      ? {}
      : {
          files: Object.fromEntries(actions.map((action) => [fileOf(action), scriptOf(action)])),
          actions: Object.fromEntries(actions.map((action) => [action, exec(action)])),
        }),
    ...(topology === "Consensus" || topology === "ActiveActive" ? { durabilityModes: ["Quorum"] } : {}),
  };
  return dump({ apiVersion: API_VERSION, kind: "Engine", metadata: { name }, spec }, { lineWidth: 120 });
}

/** `setSyncSet` → `set-sync-set`. */
function fileOf(action: string): string {
  return action.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** What the contract asks of the action, in the words of the reference, and a failure that says what is missing. */
function scriptOf(action: keyof EngineActions): string {
  const description = EngineActions.shape[action].description ?? "";
  const comment = wrapped(description, 100).map((line) => `# ${line}\n`);
  return `#!/bin/sh\n${comment.join("")}set -eu\necho '${fileOf(action)} is not written yet' >&2\nexit 1\n`;
}

function wrapped(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
