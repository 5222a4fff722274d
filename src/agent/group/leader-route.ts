/** While this member leads: itself behind the Service for writes, the voters that are close enough behind that for reads. */
import type { Intent } from "../../api/agent-wire.ts";
import type { EngineObservation } from "../../api/engine-observation.ts";
import type { Clock } from "../../clock.ts";
import type { MemberRoutes } from "../cluster/member-routes.ts";
import { isUp } from "./others.ts";
import type { GroupView } from "./types.ts";

/** What the route needs. */
export interface LeaderRouteOptions {
  /** Whether each term has a leader of its own; otherwise terms only count changes of the members. */
  readonly isElected: boolean;
  readonly routes: Pick<MemberRoutes, "takeWrites" | "leaveWrites" | "reads">;
  readonly clock: Clock;
  /** This member became the leader of `term`. */
  readonly began: (term: number) => void;
  /** Its Service names it. */
  readonly routed: (term: number) => void;
}

/** The routes of one member, brought in order once a round. The term is the epoch: a slice never goes back to an older one. */
export class LeaderRoute {
  readonly #options: LeaderRouteOptions;
  #term: number | undefined;
  #since: string | null = null;

  constructor(options: LeaderRouteOptions) {
    this.#options = options;
  }

  /** The term that this member leads; undefined while it does not. */
  get term(): number | undefined {
    return this.#term;
  }

  /** Since when it leads, for people. */
  get since(): string | null {
    return this.#since;
  }

  /** Makes the routes agree with what the engine says. */
  follow(view: GroupView, observation: EngineObservation | undefined, intent: Intent): void {
    const { routes, clock, began, routed, isElected } = this.#options;
    const { seen } = view;
    if (seen?.leads !== true || observation === undefined) {
      if (this.#term !== undefined) routes.leaveWrites(this.#term);
      this.#term = undefined;
      this.#since = null;
      return;
    }
    const { term, members } = seen.group;
    if (this.#term !== term) {
      const isNew = isElected || this.#term === undefined;
      this.#term = term;
      if (isNew) this.#since = clock.now().toISOString();
      if (isNew) began(term);
      let isTold = false; // the slice is written again whenever somebody changes it
      routes.takeWrites(term, () => {
        if (!isTold) routed(term);
        isTold = true;
      });
    }
    const voters = members.filter(({ name, votes }) => votes && name !== view.self);
    const followers = voters.map(({ name }) => ({
      name,
      value: view.peers.get(name)?.reply.position?.value ?? "0",
      streaming: isUp(view, name),
    }));
    routes.reads({ ...observation, followers }, intent, term);
  }
}

/** Where every member writes its Services have selectors, and there is nothing to keep. */
export const NO_ROUTES: LeaderRouteOptions["routes"] = {
  takeWrites: (_term, written) => written(),
  leaveWrites: () => undefined,
  reads: () => undefined,
};
