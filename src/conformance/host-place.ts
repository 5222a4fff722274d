/** Where members of a cluster live on this host, and whom they run as: servers refuse to run as root. */
import { execFileSync } from "node:child_process";
import type { ActionContext } from "../agent/engine/context.ts";
import type { EngineSpec } from "../api/engine.ts";

/** The place of one cluster. */
export interface HostPlace {
  /** Folder of everything; must be reachable for `user`. */
  readonly root: string;
  /** Folder with the Engine's files. */
  readonly engineDir: string;
  readonly credentialsDir: string;
  /** Folder with programs that its image would bring; they come before those of PATH. */
  readonly programsDir: string;
  readonly user: { readonly uid: number; readonly gid: number };
  readonly members: readonly string[];
  /** Of the members' engines, one each. */
  readonly ports: readonly number[];
  /** Where an engine speaks TLS whose port that is; it does not when this is absent. Equally far away for all members, as in a cluster. */
  readonly tlsPortOf?: ((port: number) => number) | undefined;
  /** What actions see beside what every member has. */
  readonly context?: Partial<ActionContext>;
}

/** The argv that runs with the place's programs, as its user. */
export function asUser(place: HostPlace, argv: readonly string[]): string[] {
  const path = ["env", `PATH=${place.programsDir}:${process.env["PATH"] ?? ""}`];
  if (process.getuid?.() !== 0) return [...path, ...argv];
  const { uid, gid } = place.user;
  return [...path, "setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups", "--", ...argv];
}

/** The Engine with every program run as the place's user. */
export function specAsUser(spec: EngineSpec, place: HostPlace): EngineSpec {
  const actions = Object.fromEntries(
    Object.entries(spec.actions).map(([name, action]) => [
      name,
      action?.exec === undefined ? action : { ...action, exec: asUser(place, action.exec) },
    ]),
  ) as EngineSpec["actions"];
  const sessions = spec.sessions.map((session) => ({ ...session, command: asUser(place, session.command) }));
  return { ...spec, actions, sessions };
}

/** Ids of a user of this host. */
export function userOf(name: string): { readonly uid: number; readonly gid: number } {
  const id = (flag: string): number => Number(execFileSync("id", [flag, name], { encoding: "utf8" }));
  return { uid: id("-u"), gid: id("-g") };
}
