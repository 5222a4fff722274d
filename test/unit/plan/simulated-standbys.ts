// What agents do of themselves where one member writes and the others stand by: they elect, and the leader says whom it relies on.
import type { Intent } from "../../../src/api/agent-wire.ts";
import type { Simulator } from "./simulator.ts";

/** Who may lead now, while nobody does. */
export function elections(world: Simulator, intent: Intent): (() => void)[] {
  const listed = intent.members.map(({ name }) => name);
  // Who led last has everything, and is the first in line.
  const inLine = listed.toSorted((a, b) => Number(b === world.lastLeader) - Number(a === world.lastLeader));
  return inLine.filter((name) => mayLead(world, name, intent)).map((name) => () => world.promote(name));
}

function mayLead(world: Simulator, name: string, intent: Intent): boolean {
  const pod = world.pods.get(name);
  if (pod === undefined || !pod.works || pod.lost || pod.report === undefined) return false;
  return world.volumes.get(name)?.hasData === true || intent.bootstrapMember === name;
}

/** The leader relies on whoever follows it, if that is somebody else than before. */
export function syncMoves(world: Simulator, intent: Intent, leader: string): (() => void)[] {
  const listed = intent.members.map(({ name }) => name);
  const report = world.pods.get(leader)?.report;
  const waitedFor = listed.filter((name) => name !== leader && !intent.learners.includes(name));
  const followers = waitedFor.filter((name) => follows(world, name)).toSorted();
  // A leader may rely on a smaller set only once one of those it relied on knows of it, and it can tell only whom it knows.
  const canTell = report?.syncNames.length === 0 || report?.syncNames.some((name) => listed.includes(name)) === true;
  if (report === undefined || !canTell || report.syncNames.join(",") === followers.join(",")) return [];
  return [() => world.report(leader, { syncNames: followers })];
}

function follows(world: Simulator, name: string): boolean {
  const pod = world.pods.get(name);
  return pod?.lost === false && pod.report?.state === "Running";
}
