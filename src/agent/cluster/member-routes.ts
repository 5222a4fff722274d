/** Decides which pods the two routes name while this member leads: itself for writes, close followers for reads. */
import type { Intent } from "../../api/agent-wire.ts";
import type { EngineObservation } from "../../api/engine-observation.ts";
import { nameOf } from "../../api/names.ts";
import type { AgentMetrics } from "../metrics.ts";
import { RouteKeeper, type RouteKeeperOptions } from "./route-keeper.ts";
import type { Endpoint } from "./routes.ts";

/** Who we are and whom we know. */
export interface MemberRoutesOptions {
  readonly keeper: Pick<RouteKeeper, "prepareWrites" | "routeWrites" | "routeReads" | "epochOfWrites" | "release">;
  readonly self: Endpoint;
  /** Where a member's pod was when it was last heard from. */
  readonly podOf: (member: string) => Endpoint | undefined;
  readonly metrics: AgentMetrics;
}

/** Makes the routes of one member over the slices of its cluster. */
export function memberRoutes(
  options: Omit<MemberRoutesOptions, "keeper"> &
    Omit<RouteKeeperOptions, "readWrite" | "readOnly"> & { readonly cluster: string },
): MemberRoutes {
  const { cluster } = options;
  const names = { readWrite: nameOf.readWrite(cluster), readOnly: nameOf.readOnly(cluster) };
  return new MemberRoutes({ ...options, keeper: new RouteKeeper({ ...options, ...names }) });
}

/** Pause before each look at a route that was left: nothing waits for the answer, and the next leader needs the processor. */
const POLL_MS = 200;
/** How long the API server may take to empty the routes of a pod that ends. */
const WITHDRAW_MS = 1000;

/** Routes of one member. */
export class MemberRoutes {
  readonly #options: MemberRoutesOptions;
  /** Epoch under which the route of writes was left while it still names this pod. */
  #leavingEpoch: number | undefined;
  #readsFromLeader = false;

  constructor(options: MemberRoutesOptions) {
    this.#options = options;
  }

  /** This member is about to lead `epoch`, whose Lease it holds. */
  prepareWrites(epoch: number): void {
    this.#options.keeper.prepareWrites(epoch);
  }

  /** Takes the route of writes. @param written - Called once the slice says so. */
  takeWrites(epoch: number, written: () => void): void {
    this.#leavingEpoch = undefined;
    this.#options.keeper.routeWrites(this.#options.self, epoch, written);
  }

  /**
   * Leaves the route of writes to the next leader, who overwrites it. Until then it still names this pod: its stopped engine
   * refuses connections at once, while an empty route makes the network drop them (rejections by ICMP are rate-limited to
   * a few a second), and a client would sit out TCP's first retransmission.
   */
  leaveWrites(epoch: number): void {
    this.#leavingEpoch = epoch;
    this.#options.keeper.release();
  }

  /**
   * The engine is about to accept connections again, as a follower: writes must not reach it. Resolves when the next leader
   * has taken the route, or else when this pod was withdrawn from it.
   */
  async beforeEngineStarts(timeoutMs: number): Promise<void> {
    const left = this.#leavingEpoch;
    if (left === undefined) return;
    await this.#writesTaken(left, timeoutMs);
    this.#leavingEpoch = undefined;
    this.#options.keeper.routeWrites(undefined, left, () => undefined); // does nothing when a newer epoch has written it
  }

  /**
   * The pod ends. Resolves when the next leader has taken the route, or else when no route names this pod any more: its
   * address may be another pod's tomorrow, and a stopped cluster has no leader that would correct it.
   */
  async beforePodEnds(timeoutMs: number): Promise<void> {
    const { keeper } = this.#options;
    const left = this.#leavingEpoch;
    if (left === undefined || (await this.#writesTaken(left, timeoutMs))) return;
    const withdrawn = new Promise<void>((resolve) => keeper.routeWrites(undefined, left, resolve));
    if (this.#readsFromLeader) keeper.routeReads([], left);
    await Promise.race([withdrawn, new Promise((resolve) => setTimeout(resolve, WITHDRAW_MS))]);
  }

  /** Whether another leader takes the route that was left within `timeoutMs`. The pod should live so long. */
  async #writesTaken(left: number, timeoutMs: number): Promise<boolean> {
    const endMs = performance.now() + timeoutMs;
    while (performance.now() < endMs) {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      if ((await this.#options.keeper.epochOfWrites()) > left) return true;
    }
    return false;
  }

  /** Followers that stream and are within the lag limit serve reads; a cluster of one reads from its leader. */
  reads(observation: EngineObservation, intent: Intent, epoch: number): void {
    const { keeper, self, podOf, metrics } = this.#options;
    const end = BigInt(observation.position.value);
    this.#readsFromLeader = intent.members.length === 1;
    const endpoints: Endpoint[] = this.#readsFromLeader ? [self] : [];
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
