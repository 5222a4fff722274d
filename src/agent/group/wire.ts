/** What members of a group say to each other, beside what their engines do. Nothing of it decides who may write: the engine does. */
import * as z from "zod";
import { EngineGroupMember, EnginePosition } from "../../api/engine-observation.ts";
import { PodInfo } from "../peer-wire.ts";

/** Said by a member to every other, again and again. */
export const Greeting = z.object({
  /** Whether it leads. Only then `members` is believed. */
  leads: z.boolean(),
  term: z.int().min(0),
  incarnation: z.int().min(0),
  /** Of the newest intent that the member has seen. */
  generation: z.int(),
  position: EnginePosition.nullable(),
  members: z.array(EngineGroupMember).max(64),
  /** The identity under which the addressed member was added anew; null when it is to join under none. */
  invitation: z.string().max(64).nullable(),
});
export type Greeting = z.infer<typeof Greeting>;

/** What the greeted member says of itself. */
export const GreetingReply = z.object({
  copy: z.enum(["empty", "data", "incomplete"]),
  incarnation: z.int().min(0),
  /** The identity that its copy was last started under; null on a new volume. */
  id: z.string().max(64).nullable(),
  engineUp: z.boolean(),
  /** Whether its engine knows of a leader, or, where every member writes, takes writes. */
  hasLeader: z.boolean(),
  position: EnginePosition.nullable(),
  /** Its engine is stopped, and starts only to join others or with the Lease; `position` is where its copy ends. */
  atRest: z.boolean().default(false),
  /** See `GroupRecord.joining`. */
  joining: z.boolean().default(false),
});
export type GreetingReply = z.infer<typeof GreetingReply>;

/** A greeting on its way. */
export const GreetingEnvelope = z.object({
  cluster: z.string(),
  from: z.string(),
  to: z.string(),
  info: PodInfo,
  greeting: Greeting,
});
export type GreetingEnvelope = z.infer<typeof GreetingEnvelope>;

/** An answer on its way. */
export const AnswerEnvelope = z.object({ from: z.string(), info: PodInfo, reply: GreetingReply });
export type AnswerEnvelope = z.infer<typeof AnswerEnvelope>;
