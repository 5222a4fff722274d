import type { GroupView } from "../../../src/agent/group/types.ts";

/** What the members of a group of three are told when nothing is wanted of them. */
export const CALM_INTENT: GroupView["intent"] = {
  generation: 7,
  members: ["m0", "m1", "m2"],
  bootstrapMember: null,
  paused: false,
  incarnation: 0,
  founder: null,
  switchover: null,
};
