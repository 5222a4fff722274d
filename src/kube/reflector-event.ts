// What a reflector emits and a store takes in.
import type { KubeObject, Stored } from "./object.ts";

/**
 * One step of a reflected resource. `resourceVersion` never decreases from event to event, except at a `Replaced`
 * with `stateMayHaveGoneBack`.
 *
 * - `Replaced`: the complete selection at that version; everything not in it does not exist.
 * - `Upserted`: created or changed. Whether it is new is the store's knowledge, because after a gap ADDED proves nothing.
 * - `Deleted`: `object` is its last state. A name that was re-created arrives as Deleted and Upserted with two uids.
 * - `Progressed`: nothing happened up to that version.
 */
export type ReflectorEvent<T extends KubeObject> =
  | {
      readonly type: "Replaced";
      readonly objects: readonly Stored<T>[];
      readonly resourceVersion: string;
      /**
       * The server answered with an older state than it had shown before (it was restored): what is missing now may have existed,
       * and what is there may have been deleted. Delete nothing on the ground of this snapshot alone.
       */
      readonly stateMayHaveGoneBack: boolean;
    }
  | { readonly type: "Upserted" | "Deleted"; readonly object: Stored<T>; readonly resourceVersion: string }
  | { readonly type: "Progressed"; readonly resourceVersion: string };
