// What quorate reports of topology Stateless: its tracks in numbers, because its members have no names that last.
import type { ClusterIntent } from "../api/cluster-spec.ts";
import type { TrackStatus } from "../api/cluster-status.ts";
import { trackOf, type TrackView } from "../plan/fleet.ts";
import type { ClusterView, Observation } from "../plan/observation.ts";
import type { Verdict } from "./conditions.ts";

/** The numbers of a fleet. */
export interface FleetCount {
  readonly ready: number;
  readonly desired: number;
  /** Revision of the members that serve. */
  readonly revision: string | undefined;
  readonly tracks: TrackStatus[];
}

/** Counts the members of both tracks. */
export function countFleet(seen: Observation, intent: ClusterIntent): FleetCount {
  const found = (["stable", "canary"] as const).flatMap((track) => trackOf(seen, track) ?? []);
  const tracks = found.map(toStatus);
  const sum = (of: (track: TrackStatus) => number) => tracks.reduce((total, track) => total + of(track), 0);
  return {
    ready: sum(({ ready }) => ready),
    desired: tracks.length === 0 ? (intent.stopped ? 0 : intent.members) : sum(({ desired }) => desired),
    revision: trackOf(seen, "stable")?.revision?.templateHash,
    tracks,
  };
}

function toStatus({ track, revision, replicas, ready, updated }: TrackView): TrackStatus {
  return { name: track, revision: revision?.templateHash ?? "", desired: replicas, ready, updated };
}

const MAX_TOLD = 3;

/** Whether clients are served, and whether by as many members as are to be warm at any time. */
export function fleetVerdicts(
  seen: Observation,
  { intent }: ClusterView,
): readonly [available: Verdict, degraded: Verdict] {
  const { ready } = countFleet(seen, intent);
  const available: Verdict =
    ready > 0
      ? { type: "Available", status: "True", reason: "MembersServe", message: `${ready} members serve.` }
      : {
          type: "Available",
          status: "False",
          reason: "NoMemberReady",
          message: `No member is ready.${troubles(seen)}`,
        };
  const degraded: Verdict =
    ready >= intent.members
      ? { type: "Degraded", status: "False", reason: "EnoughMembersReady", message: "These are as many as are to be." }
      : {
          type: "Degraded",
          status: "True",
          reason: "MembersNotReady",
          message: `${ready} of at least ${intent.members} members are ready.${troubles(seen)}`,
        };
  return [available, degraded];
}

/** What holds up those that are not ready, each thing once. */
function troubles({ instances }: Observation): string {
  const waiting = instances.filter(({ ready, deletingSinceMs }) => !ready && deletingSinceMs === undefined);
  const said = [...new Set(waiting.flatMap(({ trouble }) => trouble ?? []))].toSorted();
  return said.length === 0 ? "" : ` ${said.slice(0, MAX_TOLD).join("; ")}.`;
}
