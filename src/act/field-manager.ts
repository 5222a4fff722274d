// Who owns the fields this program writes. Spec and status have two managers, because each apply gives up what it leaves out.

/** Owner of children's fields. */
export const FIELD_MANAGER = "quorate";
/** Owner of the status of ClusterSpecs. */
export const STATUS_FIELD_MANAGER = "quorate-status";
