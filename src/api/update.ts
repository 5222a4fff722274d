/** The `update` block of a ClusterSpec: how a change of the members' pods is carried out. */
import { z } from "zod";

/** How members are brought to another revision. */
export const UpdatePolicy = z.object({
  maxUnavailable: z
    .int32()
    .min(1)
    .max(2)
    .default(1)
    .describe(
      "maxUnavailable is how many members may be away at once during a roll. A majority stays in any case, and the leader moves alone.",
    ),
  minReadySeconds: z
    .int32()
    .min(0)
    .max(3600)
    .default(10)
    .describe("minReadySeconds a replaced member must be ready and in sync before the next one is replaced."),
  partition: z
    .int32()
    .min(0)
    .max(5)
    .default(0)
    .describe(
      "partition is the number of members held back at their revision, the leader among them. Lower it to go on, 0 to finish.",
    ),
  jitterSeconds: z
    .int32()
    .min(0)
    .max(3600)
    .default(0)
    .describe(
      "jitterSeconds is the longest random wait before each step, so that many clusters changed at once do not step together.",
    ),
  switchoverDeadlineSeconds: z
    .int32()
    .min(5)
    .max(3600)
    .default(60)
    .describe("switchoverDeadlineSeconds the leader may take to hand over when the operator asks it to."),
  onSwitchoverFailure: z
    .enum(["Block", "Proceed"])
    .default("Block")
    .describe(
      "onSwitchoverFailure says what a roll does when the leader does not hand over: Block waits and tries again; Proceed replaces its pod, which costs a failover.",
    ),
});
export type UpdatePolicy = z.infer<typeof UpdatePolicy>;
