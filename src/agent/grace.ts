/** How long a member that was told to end has until it is killed. */
import type { KubeApi } from "../kube/api.ts";
import type { KubeObject, ObjectRef } from "../kube/object.ts";

/** What a kubelet leaves a pod whose object is gone, as it is after `--force --grace-period=0`. */
const FORCED_GRACE_MS = 2000;
/** The hand-over waits for the answer, and has little time itself. */
const TIMEOUT_MS = 400;

/**
 * Asks once how long the kubelet waits between SIGTERM and SIGKILL.
 *
 * @returns milliseconds from about now; null when the pod is not being deleted (its container alone ends) or nobody answers.
 */
export async function readGraceMs(
  api: Pick<KubeApi, "get">,
  pod: ObjectRef & { readonly uid: string },
): Promise<number | null> {
  const { uid, ...ref } = pod;
  let found: Awaited<ReturnType<typeof api.get<KubeObject>>>;
  try {
    found = await api.get<KubeObject>(ref, { timeoutMs: TIMEOUT_MS, maxRetries: 0 });
  } catch {
    return null; // the API server is away or slow: hand over as if there were time
  }
  if (found === undefined || found.metadata.uid !== uid) return FORCED_GRACE_MS;
  const { deletionGracePeriodSeconds } = found.metadata;
  return deletionGracePeriodSeconds === undefined ? null : Math.max(deletionGracePeriodSeconds * 1000, FORCED_GRACE_MS);
}
