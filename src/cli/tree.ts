/** Draws one cluster as a tree of a few lines, from nothing but its ClusterSpec. Pure. */
import type { ClusterSpec, ClusterStatus, MemberStatus } from "../api/cluster-spec.ts";

/** Colours as functions, so that a pipe or NO_COLOR gets plain text. */
export interface Palette {
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly green: (text: string) => string;
  readonly yellow: (text: string) => string;
  readonly red: (text: string) => string;
}

/** No colours. */
export const PLAIN: Palette = {
  bold: (text) => text,
  dim: (text) => text,
  green: (text) => text,
  yellow: (text) => text,
  red: (text) => text,
};

/** The tree, a line per member, then what is going on and what is blocked. Lines are not padded to a width. */
export function renderTree(cluster: ClusterSpec, palette: Palette): string[] {
  const { spec, status } = cluster;
  const ready = status?.conditions?.find((condition) => condition.type === "Ready");
  const paint = ready?.status === "True" ? palette.green : palette.yellow;
  const head = [
    palette.bold(cluster.metadata.name),
    `${spec.engine.name} ${spec.engine.version ?? ""}`.trim(),
    spec.topology,
    `${spec.durability.mode}/${spec.failover.profile}`,
    paint(`${status?.readyRatio ?? `0/${spec.members}`} ready`),
    ...(status?.epoch === undefined ? [] : [`epoch ${status.epoch}`]),
  ].join(palette.dim(" · "));
  const members = status?.members ?? [];
  const lines = members.map((member, index) => {
    const branch = index === members.length - 1 ? "└─" : "├─";
    return `${palette.dim(branch)} ${memberLine(member, palette)}`;
  });
  return [head, ...lines, ...notes(status, palette)];
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

function memberLine(member: MemberStatus, palette: Palette): string {
  const mark = { Leader: palette.green("★"), Follower: palette.green("●"), None: palette.yellow("○") }[member.role];
  const health = member.ready ? member.state.padEnd(9) : palette.yellow(member.state.padEnd(9));
  const lag = member.role === "Follower" ? `lag ${member.lag ?? "unknown"}` : "";
  return `${mark} ${member.name.padEnd(16)} ${member.role.padEnd(8)} ${health} ${(member.node ?? "").padEnd(8)} ${lag}`.trimEnd();
}
