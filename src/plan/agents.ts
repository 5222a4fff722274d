// Brings the operator's agent into members that run: one after the other, the leader last, each only while all are in sync. Their
// engines and pods are not touched. What was done is in the members' own reports; the intent names whose turn it is.
import { nameOf } from "../api/names.ts";
import { buildAgentOffer } from "../build/agent-offer.ts";
import type { AgentOffer } from "../build/context.ts";
import { childKey } from "../build/manifest.ts";
import { isOlder, parseVersion } from "./agent-version.ts";
import { type Decision, IDLE } from "./decision.ts";
import { isInSync, listedMembers, type World } from "./facts.ts";
import { budgetBlock, windowBlock } from "./gates.ts";
import { noLeader, notInSync } from "./membership.ts";
import type { MemberView } from "./observation.ts";
import { patchCommand } from "./override.ts";
import type { Block } from "./plan.ts";

const LOOK_AGAIN_MS = 10_000;

/** Takes the next step of a replacement of agents, where the user wants it in place. */
export function planAgents(world: World): Decision {
  const offer = world.context.settings.agent;
  if (offer === undefined) return IDLE;
  const outdated = outdatedMembers(world, offer);
  const refused = outdated.find(({ pod }) => pod?.report?.agent?.refused?.hash === offer.hash);
  // One that it did not work for is enough: the others keep what works.
  if (refused !== undefined) return { ...takenBack(world), blocked: [notTaken(world, refused)] };
  const [next] = outdated.toSorted((a, b) => rank(world, a) - rank(world, b) || b.ordinal - a.ordinal);
  if (next === undefined) return takenBack(world);
  const held = holdOf(world, next);
  if (held !== undefined) return { busy: false, blocked: [held] };
  const change = `Replacing the agent of ${next.name}, ${outdated.length} of ${world.listed.length} left`;
  if (offered(world) !== offer.hash) {
    const manifest = buildAgentOffer(world.context, offer.hash);
    const reason = "members are to take it, one after the other";
    return { busy: true, change, steps: [{ kind: "OfferAgent", manifest, hash: offer.hash, reason }] };
  }
  const { hash, nodeMajor } = offer;
  return { busy: true, change, agent: { hash, nodeMajor, member: next.name }, requeueAfterMs: LOOK_AGAIN_MS };
}

/** Members whose agent is another than the operator's, and not a newer one: that may have written what an older one does not know. */
function outdatedMembers(world: World, offer: AgentOffer): readonly MemberView[] {
  if (world.cluster.intent.update.agents !== "InPlace" || world.cluster.intent.stopped) return [];
  const own = parseVersion(offer.version);
  return listedMembers(world).filter(({ pod }) => {
    const { agent, agentVersion = "" } = pod?.report ?? {};
    if (agent === undefined || agent.hash === offer.hash || agent.nodeMajor < offer.nodeMajor) return false;
    const version = parseVersion(agentVersion);
    return own === undefined || version === undefined || !isOlder(own, version);
  });
}

/** Followers first: what does not work shows where nobody writes. */
function rank(world: World, member: MemberView): number {
  return member.name === world.leader?.name ? 1 : 0;
}

/** Why nothing is replaced now; undefined when the next may be. */
function holdOf(world: World, next: MemberView): Block | undefined {
  if (world.leader === undefined) return noLeader(world);
  const behind = listedMembers(world).find((member) => !isInSync(world, member));
  if (behind !== undefined) return notInSync(behind, `before the agent of ${next.name} is replaced`);
  return budgetBlock(world) ?? windowBlock(world, "a replacement of agents");
}

/** Which agent is offered at present; empty when none is. */
function offered({ seen, cluster }: World): string {
  return seen.children.get(childKey("ConfigMap", nameOf.agentOffer(cluster.name)))?.appliedHash ?? "";
}

/** Nobody needs the offer any more: half a megabyte for each cluster that holds one is too much to keep. */
function takenBack(world: World): Decision {
  if (offered(world) === "") return IDLE;
  const manifest = buildAgentOffer(world.context, null);
  return {
    busy: true,
    change: "Taking back the agent that was offered",
    steps: [{ kind: "Apply", manifest, reason: "no member is to take it any more" }],
  };
}

function notTaken(world: World, { name, pod }: MemberView): Block {
  const message = `${name} goes on with the agent of its image: the operator's was refused, because ${pod?.report?.agent?.refused?.reason ?? ""}. No other member is given it. It is tried again in a new pod, and with another version.`;
  const override = patchCommand(world.cluster, { update: { agents: "WithPods" } });
  return { guard: "AgentTaken", object: name, message, override };
}
