// What was measured of one cluster, kept between looks. Takes looks in and does no I/O; times are those it is given.
import type { ServiceLevel } from "../api/objectives.ts";
import type { Topology } from "../api/topology.ts";
import type { Measured } from "../plan/observation.ts";
import type { Point, TrialVerdict } from "../slo/analysis.ts";
import { judgeBudget, type OtherSource } from "../slo/budget.ts";
import { addBad, decodeHistories, encodeHistories, type History, NO_HISTORY } from "../slo/history.ts";
import { badTime } from "../slo/interval.ts";
import { type Objective, type ObjectiveName, objectivesOf, windowMsOf } from "../slo/objectives.ts";
import { type Counters, countedBetween, type MemberSample, NO_COUNTERS } from "../slo/sample.ts";
import { enoughMembers, heldTo, SERVING_SLICE_MS } from "../slo/serving.ts";

/** One member, looked at. */
export interface MemberLook {
  readonly member: string;
  readonly podUid: string;
  readonly podCreatedMs: number;
  /** Restarts of its container, as the kubelet counts them. */
  readonly restarts: number;
  /** Monotonic; when the answer was there. */
  readonly atMs: number;
  /** undefined: no answer. */
  readonly sample: MemberSample | undefined;
}

/** A cluster at a moment, and what it promises. */
export interface Moment {
  /** Monotonic. */
  readonly atMs: number;
  /** Epoch milliseconds. */
  readonly nowMs: number;
  readonly slo: ServiceLevel | undefined;
  readonly topology: Topology;
}

/** All members of a cluster, looked at together. */
export interface Round extends Moment {
  /** Whether the cluster shall serve: what was never initialised, or is stopped on purpose, misses no objective. */
  readonly shallServe: boolean;
  readonly probesWrites: boolean;
  /** How long single looks are kept, for analyses; 0: not at all. */
  readonly keepPointsMs: number;
  readonly looks: readonly MemberLook[];
}

/** Looks at members come this often; nothing else here depends on it but what counts as a gap. */
export const LOOK_EVERY_MS = 10_000;

/** As {@link Moment}, of a cluster with objectives. */
type Promised = Moment & { readonly slo: ServiceLevel };

const STALE_MS = 6 * LOOK_EVERY_MS;
const SEEN_ENOUGH_MS = 300_000; // the shortest window in which a budget can burn too fast
const RECORD_EVERY_MS = 60_000; // what is lost when the operator ends in between
/** What another source said counts for so long. */
export const OTHER_STALE_MS = 300_000;

interface Track {
  readonly member: string;
  sample: MemberSample;
  atMs: number;
  restarts: number;
  points: Point[];
}

/** One cluster's measurements. */
export class ClusterMeasure {
  readonly #histories: Map<ObjectiveName, History>;
  /** By pod uid: the last look that was counted towards objectives. */
  readonly #counted = new Map<string, { readonly sample: MemberSample; readonly atMs: number }>();
  /** By pod uid: looks one after the other, for analyses. */
  readonly #tracks = new Map<string, Track>();
  #conclusive: { readonly atMs: number; readonly nowMs: number } | undefined;
  #seenFromMs = Number.POSITIVE_INFINITY;
  #seenUntilMs = Number.NEGATIVE_INFINITY;
  /** Members of topology Stateless; undefined before the first slice. */
  #heldTo: number | undefined;
  #record: string | undefined;
  #recordedMs = Number.NEGATIVE_INFINITY;
  #hasNews = false;
  #other: { readonly atMs: number; readonly sources: ReadonlyMap<ObjectiveName, OtherSource> } | undefined;
  #trial: TrialVerdict | undefined;

  /** @param record - What an earlier operator remembered, see `Measured.record`. */
  constructor(record: string | undefined) {
    this.#histories = new Map(Object.entries(decodeHistories(record)));
    this.#record = record;
  }

  /** Takes a round in. */
  take(round: Round): void {
    this.#track(round);
    const { slo } = round;
    if (slo === undefined) return;
    const answered = round.looks.filter(({ sample }) => sample !== undefined);
    const hasLeader = answered.some(({ sample }) => sample?.leads === true);
    // A leader that only we cannot reach still serves, and says so in its counters once we reach it again.
    if (answered.length === 0 || (!hasLeader && answered.length < round.looks.length)) return;
    this.#conclude({ ...round, slo }, hasLeader);
  }

  /**
   * Takes a slice of time in, of a cluster whose members have no agents, by how many are wanted (none while it shall not serve) and how
   * many are ready. @returns whether it served as it shall.
   */
  takeSlice(moment: Promised, { wanted, ready }: { readonly wanted: number; readonly ready: number }): boolean {
    this.#heldTo = heldTo(this.#heldTo, wanted, ready);
    const isServed = ready >= enoughMembers(this.#heldTo);
    if (!isServed) this.#addBad("Availability", moment, SERVING_SLICE_MS);
    this.#concluded(moment);
    return isServed;
  }

  /** What another source says; replaces what it said before. @param atMs - Monotonic. */
  takeOther(atMs: number, sources: ReadonlyMap<ObjectiveName, OtherSource>): void {
    this.#other = { atMs, sources };
  }

  /** The analyses as they were just judged; undefined when there is nothing to judge. */
  takeTrial(trial: TrialVerdict | undefined): void {
    this.#trial = trial;
  }

  /** The looks at `members`, for analyses; a member without any is there with none. */
  pointsOf(members: readonly string[]): readonly (readonly Point[])[] {
    return members.map((member) => [...this.#tracks.values()].find((track) => track.member === member)?.points ?? []);
  }

  /** Everything as it stands. */
  measured(moment: Moment): Measured {
    const { slo } = moment;
    const missing = slo === undefined ? "there is no spec.slo" : this.#missing(moment);
    const judged =
      slo === undefined || missing !== undefined ? { budgets: undefined, missing } : this.#judge({ ...moment, slo });
    return { ...judged, missing: judged.missing ?? "", record: this.#record, trial: this.#trial };
  }

  #track({ looks, keepPointsMs }: Round): void {
    const uids = new Set(looks.map(({ podUid }) => podUid));
    for (const uid of this.#tracks.keys()) if (!uids.has(uid)) this.#tracks.delete(uid);
    for (const { member, podUid, sample, restarts, atMs: lookedMs } of looks) {
      if (sample === undefined) continue;
      const track = this.#tracks.get(podUid);
      if (track === undefined) {
        this.#tracks.set(podUid, { member, sample, atMs: lookedMs, restarts, points: [] });
        continue;
      }
      track.points.push({
        lengthMs: lookedMs - track.atMs,
        counted: countedBetween(track.sample, sample),
        engineUp: sample.engineUp,
        lagBytes: sample.lagBytes,
        restarts: Math.max(0, restarts - track.restarts),
      });
      track.points = newest(track.points, keepPointsMs);
      Object.assign(track, { sample, atMs: lookedMs, restarts });
    }
  }

  #conclude(round: Round & Promised, hasLeader: boolean): void {
    const { atMs, nowMs, looks, shallServe, probesWrites, slo, topology } = round;
    const before = this.#conclusive;
    const counted = looks.flatMap((look) => this.#countedSince(look, before?.nowMs));
    const lengthMs = this.#lengthOf(round);
    if (before !== undefined && shallServe && lengthMs > 0) {
      const objectives = objectivesOf(slo, topology).filter((one) => one.source === "Agents");
      for (const [name, badMs] of badTime(objectives, { lengthMs, counted, hasLeader, probesWrites })) {
        this.#addBad(name, round, badMs);
      }
    }
    for (const { podUid, sample, atMs: lookedMs } of looks) {
      if (sample !== undefined) this.#counted.set(podUid, { sample, atMs: lookedMs });
    }
    for (const uid of this.#counted.keys()) if (!looks.some(({ podUid }) => podUid === uid)) this.#counted.delete(uid);
    this.#conclusive = { atMs, nowMs };
    this.#concluded(round);
  }

  #addBad(name: ObjectiveName, { nowMs, slo }: Promised, badMs: number): void {
    if (badMs > 0) this.#hasNews = true;
    this.#histories.set(name, addBad(this.#histories.get(name) ?? NO_HISTORY, nowMs, badMs, windowMsOf(slo)));
  }

  /** Something was found out just now, good or bad. */
  #concluded({ atMs }: Moment): void {
    if (atMs - this.#seenUntilMs > STALE_MS) this.#seenFromMs = atMs;
    this.#seenUntilMs = atMs;
    if (this.#hasNews && atMs - this.#recordedMs >= RECORD_EVERY_MS) {
      this.#record = encodeHistories(Object.fromEntries(this.#histories));
      this.#recordedMs = atMs;
      this.#hasNews = false;
    }
  }

  /** What the member counted since it was counted last; all of it when its pod is younger than that. */
  #countedSince({ podUid, podCreatedMs, sample }: MemberLook, beforeMs: number | undefined): Counters[] {
    if (sample === undefined) return [];
    const before = this.#counted.get(podUid)?.sample;
    if (before !== undefined) return [countedBetween(before, sample)];
    return beforeMs !== undefined && podCreatedMs > beforeMs ? [countedBetween(NO_COUNTERS, sample)] : [];
  }

  /** Time since the last conclusive round; by the leader's own answers when it led then, too, because they may be late. */
  #lengthOf({ atMs, looks }: Round): number {
    const leader = looks.find(({ sample }) => sample?.leads === true);
    const before = leader === undefined ? undefined : this.#counted.get(leader.podUid);
    if (leader !== undefined && before?.sample.leads === true) return leader.atMs - before.atMs;
    return atMs - (this.#conclusive?.atMs ?? atMs);
  }

  #missing({ atMs, topology }: Moment): string | undefined {
    const wasSeen = Number.isFinite(this.#seenUntilMs);
    if (wasSeen && atMs - this.#seenUntilMs > STALE_MS) {
      return topology === "Stateless"
        ? "the operator has not heard of pods from the API server lately"
        : "no member that leads has answered the operator for a minute";
    }
    return !(this.#seenUntilMs - this.#seenFromMs >= SEEN_ENOUGH_MS)
      ? "the operator has not yet measured for five minutes"
      : undefined;
  }

  #judge({ atMs, nowMs, slo, topology }: Promised): Pick<Measured, "budgets" | "missing" | "remarks"> {
    const windowMs = windowMsOf(slo);
    const sources =
      this.#other !== undefined && atMs - this.#other.atMs < OTHER_STALE_MS ? this.#other.sources : undefined;
    const judged = objectivesOf(slo, topology).map((objective) => {
      const other = sources?.get(objective.name);
      const missing = missingOf(objective, other);
      if (missing !== undefined) return { missing: `objective ${objective.name} has no data: ${missing}` };
      const history = this.#histories.get(objective.name) ?? NO_HISTORY;
      return judgeBudget(objective, history, { nowMs, windowMs, ...(other === undefined ? {} : { other }) });
    });
    const remarks = [...(sources ?? [])].flatMap(([name, { remark }]) =>
      remark === undefined ? [] : `${name}: ${remark}`,
    );
    return {
      budgets: judged.flatMap((one) => ("missing" in one ? [] : one)),
      missing: judged.flatMap((one) => ("missing" in one ? one.missing : [])).join("; "),
      ...(remarks.length === 0 ? {} : { remarks: remarks.join("; ") }),
    };
  }
}

/** Why nothing is known of an objective; undefined when something is. What quorate measures itself needs nobody else. */
function missingOf({ source }: Objective, other: OtherSource | undefined): string | undefined {
  if (source !== "Queries") return undefined;
  return other === undefined ? "Prometheus was not yet asked" : other.missing;
}

/** The newest points that cover `spanMs`. */
function newest(points: Point[], spanMs: number): Point[] {
  if (spanMs === 0) return [];
  let coveredMs = 0;
  const first = points.findLastIndex((point) => {
    coveredMs += point.lengthMs;
    return coveredMs >= spanMs;
  });
  return first < 0 ? points : points.slice(first);
}
