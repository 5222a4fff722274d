// What the API server must refuse of a ClusterOperation, each with its exact words.
import { type Creation, creation, operation } from "./crd-cases.ts";

const FORCED = {
  lostMembers: ["orders-0", "orders-1"],
  epoch: 3,
  acceptedLoss: "orders of the last minute",
  approvedBy: "admin",
  reason: "room B burnt down",
};

/** Operations that must not come into being. */
export const operationCreations: readonly Creation[] = [
  creation(
    "a rebuild of nobody",
    operation({ type: "Rebuild" }),
    "spec.member: Required value: member is required for Rebuild and ForcePromote: name the member, for example orders-1",
  ),
  creation(
    "a promotion by force of nobody",
    operation({ type: "ForcePromote", forcePromotion: FORCED }),
    "spec.member: Required value: member is required for Rebuild and ForcePromote: name the member, for example orders-1",
  ),
  creation(
    "a promotion by force without a consent",
    operation({ type: "ForcePromote", member: "orders-2" }),
    "spec.forcePromotion: Required value: forcePromotion is required for ForcePromote: say who is lost, what you accept to lose, who you are and why; `kubectl quorate force-promote` helps",
  ),
  creation(
    "a promotion by force without a reason",
    operation({ type: "ForcePromote", member: "orders-2", forcePromotion: { ...FORCED, reason: undefined } }),
    "[spec.forcePromotion.reason: Required value, <nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation]",
  ),
  creation(
    "a consent to another type",
    operation({ type: "Switchover", member: "orders-2", forcePromotion: FORCED }),
    "spec.forcePromotion: forcePromotion is for ForcePromote alone: remove forcePromotion",
  ),
  creation(
    "a promotion by force of a lost member",
    operation({ type: "ForcePromote", member: "orders-0", forcePromotion: FORCED }),
    "spec.forcePromotion.lostMembers: lostMembers must not hold member, which is to lead: remove it from lostMembers",
  ),
  creation(
    "a lost member of another cluster",
    operation({ type: "ForcePromote", member: "orders-0", forcePromotion: { ...FORCED, lostMembers: ["carts-0"] } }),
    "spec.forcePromotion.lostMembers: lostMembers must be members of clusterName: <clusterName>-<ordinal>, for example orders-0",
  ),
  creation(
    "a promotion of one member",
    operation({ type: "Promote", member: "orders-1" }),
    "spec.member: member is not for Promote, Abort and Recover, which concern the whole cluster: remove member",
  ),
  creation(
    "a consent to something else than a recovery",
    operation({ type: "Restart", consent: "orders-1@7" }),
    "spec.consent: consent is for Recover alone: remove consent",
  ),
  creation(
    "a role for something else than a restart",
    operation({ type: "Switchover", role: "Leader" }),
    "spec.role: role is for Restart without member: remove role, or remove member to restart all of that role",
  ),
  creation(
    "a role and a member at once",
    operation({ type: "Restart", role: "Leader", member: "orders-1" }),
    "spec.role: role is for Restart without member: remove role, or remove member to restart all of that role",
  ),
  creation(
    "a member of another cluster",
    operation({ type: "Switchover", member: "carts-1" }),
    "spec.member: member must be a member of clusterName: <clusterName>-<ordinal>, for example orders-1",
  ),
];
