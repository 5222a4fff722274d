// The requests of an experiment, sent in earnest or as a dry run.
import type { Act } from "../../chaos/target.ts";
import { OperatorError } from "../../errors.ts";
import { apiStatusOf } from "../../kube/api-error.ts";
import type { KubeObject } from "../../kube/object.ts";
import type { Session } from "./session.ts";

interface Eviction extends KubeObject {
  readonly deleteOptions: { readonly preconditions: { readonly uid: string } };
}

/** Sends all of them, one after the other. @throws {Error} when what one is aimed at is gone, and what the API server throws. */
export async function carryOutActs(
  { api }: Pick<Session, "api">,
  acts: readonly Act[],
  dryRun: boolean,
): Promise<void> {
  for (const act of acts) {
    if (act.verb === "Create") {
      await api.create<KubeObject>(act.object, { dryRun });
    } else if (act.verb === "Evict") {
      const { namespace, name, uid } = act.aim;
      const eviction: Eviction = {
        apiVersion: "policy/v1",
        kind: "Eviction",
        metadata: { name, namespace },
        deleteOptions: { preconditions: { uid } },
      };
      await api.create<Eviction>(eviction, { dryRun, subresource: "eviction", maxRetries: 0 });
    } else {
      const { uid, ...ref } = act.aim;
      const grace = act.graceSeconds === undefined ? {} : { gracePeriodSeconds: act.graceSeconds };
      const result = await api.delete(ref, { uid, dryRun, ...grace });
      if (result === "Absent") throw new Error(`${ref.kind} ${ref.name} is gone already`);
    }
  }
}

/** What the API server says of them when nothing is changed; undefined when it would take all. */
export async function refusalOf(session: Pick<Session, "api">, acts: readonly Act[]): Promise<string | undefined> {
  try {
    await carryOutActs(session, acts, true);
    return undefined;
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    return apiStatusOf(error)?.message ?? error.message;
  }
}
