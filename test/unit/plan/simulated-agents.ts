// Agents that give way to the one that is offered to them, or would not run it.
import type { Intent, MemberReport } from "../../../src/api/agent-wire.ts";
import type { AgentOffer, BuildSettings } from "../../../src/build/context.ts";
import type { Pod } from "./views.ts";

/** The agent of an operator, and what members do with it. */
export class SimulatedAgents {
  /** What the operator can offer. */
  own: AgentOffer | undefined;
  /** What the agent of the pods' image says of itself; members say nothing of it without. */
  ofImage: Pick<MemberReport, "agent" | "agentVersion"> | undefined;
  /** Members in which it does not work. */
  readonly refusing = new Set<string>();

  /** Others in the same state. */
  fork(): SimulatedAgents {
    const other = new SimulatedAgents();
    other.own = this.own;
    other.ofImage = this.ofImage;
    for (const member of this.refusing) other.refusing.add(member);
    return other;
  }

  /** As the operator's settings have it. */
  get offer(): Pick<BuildSettings, "agent"> {
    return this.own === undefined ? {} : { agent: this.own };
  }

  /** Whose turn it is, and what its agent says afterwards. */
  takers(
    { agent: order }: Intent,
    pods: ReadonlyMap<string, Pod>,
  ): readonly { readonly member: string; readonly change: Partial<MemberReport> }[] {
    const running = pods.get(order?.member ?? "")?.report?.agent;
    if (order === undefined || running === undefined) return [];
    const { hash, member } = order;
    if (running.hash === hash || running.refused?.hash === hash) return [];
    if (!this.refusing.has(member)) {
      return [{ member, change: { agent: { ...running, hash }, agentVersion: this.own?.version ?? "" } }];
    }
    return [{ member, change: { agent: { ...running, refused: { hash, reason: "it ended before it served" } } } }];
  }
}
