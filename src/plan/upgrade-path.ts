// From which version to which an Engine lets members be updated. What it says nothing about is allowed.
import type { ClusterIntent } from "../api/cluster-spec.ts";
import type { EngineSpec } from "../api/engine.ts";
import type { World } from "./facts.ts";
import type { MemberView } from "./observation.ts";
import { patchCommand } from "./override.ts";
import type { Block } from "./plan.ts";
import { isAt, lastGood, recordsOf } from "./revisions.ts";

/** An update that the Engine does not allow. */
export interface UpgradeProblem {
  readonly message: string;
  /** The version to ask for instead: the next one on the way, or the one that members run. */
  readonly version: string;
}

/** Why members of version `from` cannot be brought to version `to` at once; undefined when they can. */
export function upgradeProblem(
  { engine: { name } }: ClusterIntent,
  engine: EngineSpec,
  from: string,
  to: string,
): UpgradeProblem | undefined {
  if (isAllowed(engine, from, to)) return undefined;
  const what = `Engine ${name} does not take members from version ${from} to ${to} at once: upgradesFrom of ${to} does not list it.`;
  const [next, ...rest] = routeOf(engine, from, to) ?? [];
  if (next === undefined) {
    const message = `${what} No other version leads there either. Set spec.engine.version back to ${from}; a new cluster can begin with ${to}.`;
    return { message, version: from };
  }
  return { message: `${what} Set spec.engine.version to ${[next, ...rest].join(", then to ")}.`, version: next };
}

/** The roll to the version that the spec asks for is held back while any of the members would leave the Engine's paths. */
export function upgradeBlock(world: World, outdated: readonly MemberView[]): Block | undefined {
  const { cluster, context } = world;
  const good = lastGood(world);
  if (good === undefined) return undefined; // a cluster's first revision updates nothing
  const left = recordsOf(world.seen).filter((record) => outdated.some((member) => isAt(member, record)));
  // A revision of an operator that noted no version down says nothing about it.
  const versions = new Set([good, ...left].map(({ note }) => note.version).filter((version) => version !== ""));
  for (const from of versions) {
    const problem = upgradeProblem(cluster.intent, context.engine, from, context.engineVersion);
    if (problem === undefined) continue;
    const override = patchCommand(cluster, { engine: { version: problem.version } });
    return { guard: "UpgradePathAllowed", object: cluster.name, message: problem.message, override };
  }
  return undefined;
}

function isAllowed({ versions }: EngineSpec, from: string, to: string): boolean {
  const entry = versions.find(({ version }) => version === to);
  return from === to || entry?.upgradesFrom === undefined || entry.upgradesFrom.includes(from);
}

/** The shortest way, without its beginning; undefined when there is none. */
function routeOf(engine: EngineSpec, from: string, to: string): readonly string[] | undefined {
  const seen = new Set([from]);
  const routes: (readonly string[])[] = [[]];
  for (const route of routes) {
    const last = route.at(-1) ?? from;
    if (last === to) return route;
    for (const { version } of engine.versions) {
      if (seen.has(version) || !isAllowed(engine, last, version)) continue;
      seen.add(version);
      routes.push([...route, version]);
    }
  }
  return undefined;
}
