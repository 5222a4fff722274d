/** Decides which pods the two routes name while this member leads: itself for writes, close followers for reads. */
import type { Intent } from "../../api/agent-wire.ts";
import type { EngineObservation } from "../../api/engine.ts";
import type { AgentMetrics } from "../metrics.ts";
import type { RouteKeeper } from "./route-keeper.ts";
import type { Endpoint } from "./routes.ts";

/** Who we are and whom we know. */
export interface MemberRoutesOptions {
  readonly keeper: RouteKeeper;
  readonly self: Endpoint;
  /** Where a member's pod was when it was last heard from. */
  readonly podOf: (member: string) => Endpoint | undefined;
  readonly metrics: AgentMetrics;
}

/** Routes of one member. */
export class MemberRoutes {
  readonly #options: MemberRoutesOptions;

  constructor(options: MemberRoutesOptions) {
    this.#options = options;
  }

  /** Takes or withdraws the route of writes. @param written - Called once the slice says so. */
  writes(ready: boolean, epoch: number, written: () => void): void {
    this.#options.keeper.routeWrites(ready ? this.#options.self : undefined, epoch, written);
  }

  /** Followers that stream and are within the lag limit serve reads; a cluster of one reads from its leader. */
  reads(observation: EngineObservation, intent: Intent, epoch: number): void {
    const { keeper, self, podOf, metrics } = this.#options;
    const end = BigInt(observation.position.value);
    const endpoints: Endpoint[] = intent.members.length === 1 ? [self] : [];
    for (const follower of observation.followers) {
      const behind = end - BigInt(follower.value);
      const lagBytes = behind > 0n ? behind : 0n;
      metrics.followerLagBytes.set({ follower: follower.name }, Number(lagBytes));
      const pod = podOf(follower.name);
      if (follower.streaming && lagBytes <= BigInt(intent.maxLagBytes) && pod !== undefined) endpoints.push(pod);
    }
    keeper.routeReads(endpoints, epoch);
  }
}
