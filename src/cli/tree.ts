/** Draws one cluster as a tree of a few lines, from nothing but its ClusterSpec. Pure. */
import type { ClusterSpec } from "../api/cluster-spec.ts";
import type { ClusterStatus, MemberStatus, ShardSummary, TrackStatus } from "../api/cluster-status.ts";
import type { Palette } from "./palette.ts";

/** The tree, a line per member, then what is going on and what is blocked. Lines are not cut to a width. */
export function renderTree(cluster: ClusterSpec, palette: Palette): string[] {
  const { spec, status } = cluster;
  const ready = status?.conditions?.find((condition) => condition.type === "Ready");
  const paint = ready?.status === "True" ? palette.green : palette.yellow;
  const head = [
    palette.bold(cluster.metadata.name),
    `${spec.engine.name} ${spec.engine.version ?? ""}`.trim(),
    spec.topology,
    ...promise(spec),
    paint(`${status?.readyRatio ?? `0/${spec.members}`} ready`),
    ...(status?.epoch === undefined ? [] : [`epoch ${status.epoch}`]),
    ...(status?.budgetLeft === undefined ? [] : [`budget ${status.budgetLeft}`]),
  ].join(palette.dim(" · "));
  const members = status?.members ?? [];
  const widths = columnWidths(members);
  const lines = [
    ...members.map((member) => memberLine(member, widths, palette)),
    ...(status?.tracks ?? []).map((track) => trackLine(track, palette)),
    ...(status?.shards ?? []).map((shard) => shardLine(shard, palette)),
  ];
  const branches = lines.map((line, index) => `${palette.dim(index === lines.length - 1 ? "└─" : "├─")} ${line}`);
  return [head, ...branches, ...notes(status, palette)];
}

/** What writes and failovers are promised, or between which numbers the members follow the load. */
function promise({ topology, durability, failover, members, autoscaling }: ClusterSpec["spec"]): string[] {
  if (topology !== "Stateless") return [`${durability.mode}/${failover.profile}`];
  return autoscaling === undefined ? [] : [`${members}–${autoscaling.maxMembers} members`];
}

/** Members of topology Stateless have no names that last: they are counted. */
function trackLine({ name, revision, desired, ready, updated }: TrackStatus, palette: Palette): string {
  const mark = ready >= desired ? palette.green("●") : palette.yellow("○");
  const behind = updated < desired ? `${updated}/${desired} updated` : "";
  return [mark, name.padEnd("stable".length), `${ready}/${desired} ready`, palette.dim(revision), behind]
    .join(" ")
    .trimEnd();
}

/** Shards are clusters of their own, whose members their own trees show. */
function shardLine({ name, ready, leader, slots }: ShardSummary, palette: Palette): string {
  const mark = ready ? palette.green("●") : palette.yellow("○");
  const led = leader === undefined ? palette.yellow("no leader") : `led by ${leader}`;
  return [mark, name, led, palette.dim(slots === "" ? "no slots" : `slots ${slots}`)].join(" ");
}

/** What goes on, why the cluster is not ready, and what is blocked. */
function notes(status: ClusterStatus | undefined, palette: Palette): string[] {
  const change = status?.change ?? "";
  const ready = status?.conditions?.find((condition) => condition.type === "Ready");
  const blocked = status?.blocked ?? [];
  return [
    ...(change === "" ? [] : [`   ${palette.yellow("…")} ${change}`]),
    ...(ready === undefined || ready.status === "True" ? [] : [`   ${palette.yellow(ready.reason)}: ${ready.message}`]),
    ...blocked.map((one) => `   ${palette.red(`blocked by ${one.guard}`)} (${one.object}): ${one.message}`),
  ];
}

type Widths = Readonly<Record<"name" | "state" | "node" | "revision", number>>;

/** Columns are as wide as what is in them, so that a narrow terminal cuts as little as possible. */
function columnWidths(members: readonly MemberStatus[]): Widths {
  const widest = (of: (member: MemberStatus) => string) => Math.max(0, ...members.map((member) => of(member).length));
  return {
    name: widest(({ name }) => name),
    state: widest(({ state }) => state),
    node: widest(({ node = "" }) => node),
    revision: widest(({ revision = "" }) => revision),
  };
}

function memberLine(member: MemberStatus, widths: Widths, palette: Palette): string {
  const mark = { Leader: palette.green("★"), Follower: palette.green("●"), None: palette.yellow("○") }[member.role];
  const state = member.state.padEnd(widths.state);
  const columns = [
    mark,
    member.name.padEnd(widths.name),
    member.role.padEnd("Follower".length),
    member.ready ? state : palette.yellow(state),
    (member.node ?? "").padEnd(widths.node),
    palette.dim((member.revision ?? "").padEnd(widths.revision)),
    member.role === "Follower" ? `lag ${member.lag ?? "unknown"}` : "",
  ];
  return columns.join(" ").trimEnd();
}
