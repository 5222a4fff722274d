// A group whose majority is gone for good: nothing brings it back by itself, because whatever does may lose what was acknowledged.
// A Recover operation says first what it would do, and does it only when a person has consented to exactly that.
import { type Decision, IDLE } from "./decision.ts";
import { keepsOwnList, listedMembers, type World } from "./facts.ts";
import type { MemberView, OperationView } from "./observation.ts";
import { operationCommand } from "./override.ts";
import type { Block } from "./plan.ts";

/** How far a recovery is. */
export type RecoveryOutcome =
  | { readonly phase: "Done" | "Refused"; readonly message: string }
  | { readonly phase: "Running"; readonly message: string; readonly decision?: Partial<Decision> };

/** A member that still has a copy, and where its log ends. */
interface Survivor {
  readonly name: string;
  readonly term: number;
  readonly index: bigint;
}

/**
 * Members that say that they know of no leader, the most advanced first. Committed entries are the same everywhere, so the one with
 * the higher index holds all that the other does.
 */
function survivors(world: World): readonly Survivor[] {
  const found = listedMembers(world).flatMap(({ name, pod }) => {
    const position = pod?.report?.group?.position;
    return position === undefined ? [] : [{ name, term: position.term, index: BigInt(position.index) }];
  });
  return found.toSorted((a, b) => {
    if (a.index !== b.index) return a.index > b.index ? -1 : 1;
    return b.term - a.term || (a.name < b.name ? -1 : 1);
  });
}

/** What a person has to write to consent: the copy that is kept, so that a plan that has changed meanwhile needs a new word. */
function consentFor({ name, index }: Survivor): string {
  return `${name}@${index}`;
}

/** Takes the next step of a Recover. */
export function advanceRecovery(world: World, operation: OperationView): RecoveryOutcome {
  if (!keepsOwnList(world.cluster)) {
    return { phase: "Refused", message: `topology ${world.cluster.intent.topology} elects a leader by itself` };
  }
  const group = world.seen.intent?.intent?.group;
  if (group?.request === operation.uid) return recovering(world, group);
  if (world.leader !== undefined) {
    return { phase: "Refused", message: `${world.leader.name} leads a majority: there is nothing to recover from` };
  }
  const found = survivors(world);
  const [best] = found;
  if (best === undefined) {
    const message =
      "no member says yet where its log ends; each does so when it has known of no leader for ten seconds";
    return { phase: "Refused", message };
  }
  const consent = consentFor(best);
  if (operation.intent.consent !== consent) {
    return { phase: "Refused", message: `${planText(world, found)} ${consentText(world, operation, consent)}` };
  }
  const incarnation = Math.max(group?.incarnation ?? 0, ...world.members.map(incarnationOf)) + 1;
  const decision = { group: { incarnation, founder: best.name, request: operation.uid } };
  return { phase: "Running", message: `${best.name} begins the group anew`, decision };
}

function incarnationOf({ pod }: MemberView): number {
  return pod?.report?.group?.incarnation ?? 0;
}

function recovering(
  { leader }: World,
  { incarnation, founder }: { readonly incarnation: number; readonly founder: string | null },
): RecoveryOutcome {
  const isBegun = leader !== undefined && incarnationOf(leader) === incarnation;
  return isBegun
    ? { phase: "Done", message: `${leader.name} leads the group that ${founder ?? ""} began anew; the others join it` }
    : { phase: "Running", message: `${founder ?? ""} begins the group anew` };
}

function planText(world: World, found: readonly Survivor[]): string {
  const [best, ...others] = found;
  const missing = world.listed.filter((name) => found.every((one) => one.name !== name));
  const behind = others.map(({ name, index }) => `${name} ${index}`).join(", ");
  const parts = [
    `Nothing was changed. ${best?.name ?? ""} would begin the group anew, from its copy alone, which ends at entry ${best?.index ?? ""}`,
    behind === "" ? "" : ` (the others: ${behind})`,
    "; all others would set their copies aside and join it.",
    missing.length === 0
      ? ""
      : ` What ${missing.join(", ")} acknowledged beyond that entry would be lost; bring them back instead, if you can.`,
  ];
  return parts.join("");
}

function consentText({ cluster }: World, { intent }: OperationView, consent: string): string {
  const gone =
    intent.consent === undefined ? "" : `The consent was to ${intent.consent}, which is not the plan any more. `;
  return `${gone}To go on: ${operationCommand(cluster, { type: "Recover", consent })}`;
}

/** Tells people that the majority is lost, and what can be done. */
export function planLostMajority(world: World): Decision {
  const [best] = survivors(world);
  if (!keepsOwnList(world.cluster) || world.leader !== undefined || best === undefined) return IDLE;
  const silent = listedMembers(world).filter(({ pod }) => pod?.report?.group?.position === undefined);
  const names = silent.map(({ name }) => name).join(", ");
  const message = `No majority of the members reaches each other, so nothing can be written${names === "" ? "" : `; missing: ${names}`}. Bring them back. If they are gone for good, a Recover operation says what would be lost, and changes nothing without your consent.`;
  const block: Block = {
    guard: "MajorityReachable",
    object: world.cluster.name,
    message,
    override: operationCommand(world.cluster, { type: "Recover" }),
  };
  return { busy: false, blocked: [block] };
}
