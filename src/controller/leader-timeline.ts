// Who led which cluster when, as far as this operator has seen it; for people who ask what happened in the night.
import type { Leadership } from "../web/page.ts";
import type { Observation } from "../plan/observation.ts";
import { leaderOf } from "../plan/facts.ts";

const KEPT = 10;

/** Remembers the last leaderships of each cluster. */
export class LeaderTimeline {
  readonly #byKey = new Map<string, readonly Leadership[]>();

  /** Takes in what was seen of a cluster. @param key - `namespace/name`. */
  see(key: string, { members, nowMs }: Pick<Observation, "members" | "nowMs">): void {
    const leader = leaderOf(members);
    const report = leader?.pod?.report;
    if (leader === undefined || report === undefined) return;
    const known = this.of(key);
    if (known[0]?.leader === leader.name && known[0].epoch === report.epoch) return;
    const since = report.leaderSince ?? new Date(nowMs).toISOString();
    this.#byKey.set(key, [{ leader: leader.name, epoch: report.epoch, since }, ...known].slice(0, KEPT));
  }

  /** Newest first. */
  of(key: string): readonly Leadership[] {
    return this.#byKey.get(key) ?? [];
  }

  /** The cluster is gone. */
  forget(key: string): void {
    this.#byKey.delete(key);
  }
}
