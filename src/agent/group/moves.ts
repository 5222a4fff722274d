/** Carries out what a round decided. Every move may be cut short anywhere: the next round finds out what is left to do. */
import type { MemberReport } from "../../api/agent-wire.ts";
import type { EngineGroupMember } from "../../api/engine-observation.ts";
import { ActionError } from "../engine/driver.ts";
import type { Volume } from "../engine/volume.ts";
import type { Teller } from "../teller.ts";
import type { GroupEngine, StartMode } from "./engine.ts";
import type { EngineWatch } from "./engine-watch.ts";
import type { GroupRecord, GroupView, Move } from "./types.ts";

/** Everything a move can reach. */
export interface MovePorts {
  readonly engine: GroupEngine;
  readonly watch: EngineWatch;
  readonly volume: Volume;
  readonly tell: Teller;
  /** Who the group is, as the leader said lately; empty when it did not. */
  readonly group: readonly EngineGroupMember[];
  readonly remember: (record: GroupRecord) => Promise<void>;
  /** Tries to take the Lease. @returns why that was not possible. */
  readonly claim: () => Promise<string | undefined>;
  readonly invite: (member: string, id: string) => void;
  readonly answerSwitchover: (answer: NonNullable<MemberReport["switchover"]>) => void;
  /** Ends the agent, once no route names its pod any more. */
  readonly leave: () => Promise<void>;
}

/** A move that something other than the engine stands in the way of. */
export class MoveError extends Error {
  override readonly name = "MoveError";
}

/**
 * Carries out one move.
 *
 * @throws {ActionError} when the engine refused or failed; the move is tried again then.
 * @throws {MoveError} when something else stood in its way; the same.
 */
export async function carryOut(move: Move, view: GroupView, ports: MovePorts): Promise<void> {
  const { engine, tell, volume, remember } = ports;
  switch (move.kind) {
    case "Wait":
      return;
    case "Initialize":
      await remember({ ...view.record, founding: "May" });
      await engine.initialize();
      return tell("info", "Initialized", "A new group was made, of this member alone");
    case "Join":
      return start(ports, move.id, () => remember({ ...view.record, id: move.id }));
    case "Start":
      return start(ports, view.record.id);
    case "Stop":
      return stop(ports);
    case "Exit":
      return ports.leave();
    case "SetAside":
      await stop(ports);
      await volume.setAside(move.keep);
      await remember({ ...view.record, incarnation: view.intent.incarnation, founding: "None", joining: false });
      return tell("warning", "CopySetAside", `The copy was set aside, because ${move.why}; the member joins anew`);
    case "Adopt":
      return remember({ ...view.record, incarnation: view.intent.incarnation });
    case "Recover":
      await engine.recover();
      await remember({ ...view.record, incarnation: view.intent.incarnation, founding: "May", joining: false });
      return tell("warning", "GroupRecovered", "The group was begun anew from this copy alone, as a person asked for");
    case "Add":
      ports.invite(move.member, await engine.add(move.member));
      return tell("info", "MemberAdded", `${move.member} learns, and does not vote yet`);
    case "Promote":
      await engine.change("promoteMember", move.id);
      return tell("info", "MemberVotes", `${move.member} has caught up and votes`);
    case "Remove":
      await engine.change("removeMember", move.id);
      return tell("info", "MemberRemoved", `${move.member || move.id} was taken out of the group, because ${move.why}`);
    case "HandOver":
      return handOver(move, view, ports);
    case "Claim": {
      const obstacle = await ports.claim();
      if (obstacle !== undefined) throw new MoveError(obstacle);
      return;
    }
    case "Found":
      // Used up before it is used: should this be cut short, the others are asked.
      await start(ports, view.record.id, () => remember({ ...view.record, founding: usedUp(view.record) }), "Found");
      return tell("info", "GroupBegun", "The group is begun from this copy, which has all that was acknowledged");
    case "Enter":
      return start(ports, view.record.id, () => remember({ ...view.record, founding: "None", joining: true }));
    case "Answer":
      return ports.answerSwitchover({ id: move.request, result: move.result, message: move.message });
    default:
      return move satisfies never;
  }
}

function usedUp({ founding }: GroupRecord): GroupRecord["founding"] {
  return founding === "None" ? "None" : "Begun";
}

/** @param note - Made before the engine is: a copy that was begun under an identity must never be begun again. */
async function start(
  { engine, watch, group }: MovePorts,
  id: string | null,
  note: () => Promise<void> = () => Promise.resolve(),
  mode: StartMode = "Join",
): Promise<void> {
  watch.started(); // from here on there may be a copy, whatever becomes of it
  try {
    await note();
    await engine.start(group, id, mode);
  } catch (error) {
    watch.stopped();
    throw error;
  }
}

async function stop({ engine, watch }: MovePorts): Promise<void> {
  await engine.stop("fast");
  watch.stopped();
}

/** A hand-over that fails is no reason to stay when the member is to end; one that was asked for is answered. */
async function handOver(move: Extract<Move, { kind: "HandOver" }>, view: GroupView, ports: MovePorts): Promise<void> {
  const { request: id } = move;
  const answer = (result: "Done" | "Refused" | "Failed", message: string): void => {
    if (id !== null) ports.answerSwitchover({ id, result, message });
  };
  try {
    if (move.id === "") answer("Refused", "no other member that votes is up");
    else {
      await ports.engine.change("handOver", move.id);
      answer("Done", `${move.to} leads`);
    }
  } catch (error) {
    if (!(error instanceof ActionError)) throw error;
    answer("Failed", error.message);
    if (id === null && !view.terminating) throw error;
  }
  if (view.terminating) await stop(ports);
}
