// A pod template that only this operator's version or the Engine renders differently: nobody asked for it in the ClusterSpec, so
// it restarts nothing by itself. It is shown, and waits as spec.update.pending says.
import type { BuildContext } from "../build/context.ts";
import { ANNOTATION_ACCEPT_TEMPLATE } from "../build/labels.ts";
import { buildPodTemplate } from "../build/pod-template.ts";
import { isSameInput, type Revision, revisionOf } from "../build/stateful-set.ts";
import { trackOf } from "./fleet.ts";
import { listedMembers, type World } from "./facts.ts";
import { windowBlock } from "./gates.ts";
import { annotateCommand } from "./override.ts";
import type { Block, PendingChange } from "./plan.ts";
import { wantedRecord } from "./revisions.ts";
import { templateDifferences } from "./template-difference.ts";

/** What waits, if anything does. */
export function pendingChange(world: World): PendingChange | undefined {
  const { templateHash } = revisionOf(world.context);
  const waiting = running(world).find(
    ({ revision, template }) =>
      revision !== undefined &&
      revision.templateHash !== templateHash &&
      isSameInput(world.context, { ...revision, template }),
  );
  if (waiting === undefined || isAccepted(world)) return undefined;
  return { policy: world.cluster.intent.update.pending, templateHash, differences: differencesOf(world, waiting) };
}

const lastFound = new WeakMap<BuildContext, { readonly template: unknown; readonly found: readonly string[] }>();

/** A change may wait for weeks, and is told of in every pass. */
function differencesOf({ context }: World, { name, template }: Running): readonly string[] {
  const last = lastFound.get(context);
  if (last !== undefined && last.template === template) return last.found;
  const found = templateDifferences(template, buildPodTemplate(context, name));
  lastFound.set(context, { template, found });
  return found;
}

interface Running {
  /** Of the member or track, for which the template is rendered. */
  readonly name: string;
  readonly revision: Revision | undefined;
  readonly template: unknown;
}

/** The templates that are in use. */
function running(world: World): readonly Running[] {
  const stable = trackOf(world.seen, "stable")?.revision;
  if (stable !== undefined) return [{ name: "stable", revision: stable, template: stable.template }];
  return listedMembers(world).flatMap(({ name, statefulSet }) =>
    statefulSet === undefined ? [] : { name, revision: statefulSet.revision, template: statefulSet.template },
  );
}

/** Whether such a template may reach the pods now: accepted by a person, begun before, or let in by a maintenance window. */
export function isAccepted(world: World): boolean {
  const { templateHash } = revisionOf(world.context);
  if (world.cluster.annotations[ANNOTATION_ACCEPT_TEMPLATE] === templateHash) return true;
  if (wantedRecord(world)?.note.state === "Trying") return true;
  return world.cluster.intent.update.pending === "InWindow" && windowBlock(world, "a pending change") === undefined;
}

/** What holds the pending change back; undefined when nothing does but that no roll is wanted. */
export function pendingBlock(world: World, pending: PendingChange): Block | undefined {
  if (pending.policy === "NextRoll") return undefined;
  if (pending.policy === "InWindow") return windowBlock(world, "a pending change");
  return {
    guard: "TemplateAccepted",
    object: world.cluster.name,
    message: `${pendingMessage(pending)} Members keep running as they are until you accept it.`,
    override: annotateCommand(world.cluster, ANNOTATION_ACCEPT_TEMPLATE, pending.templateHash),
  };
}

/** The pending change in words, with its differences. */
export function pendingMessage({ differences }: PendingChange): string {
  const shown = differences.length === 0 ? "fields that are no longer set" : differences.join("; ");
  return `This version of quorate, its settings or the Engine as it is now render the pods differently: ${shown}.`;
}
