// What a game day checks beside the looks: the Lease, the Events, and how much memory members use.
import { HEALTH_PORT } from "../../api/names.ts";
import type { Aftermath } from "../../chaos/expectations.ts";
import type { Round } from "../../chaos/measure.ts";
import { toUsageSample } from "../../observe/exposition.ts";
import { readable, readRegister } from "./chaos-look.ts";
import { memberOf, memberPods } from "./logs.ts";
import type { Session } from "./session.ts";
import { readEvents } from "./why.ts";

/** The memory that each member's agent says that the member uses; those that cannot be asked are not in it. */
export async function memoryOf(session: Session, cluster: string): Promise<ReadonlyMap<string, number>> {
  const { api, namespace, signal } = session;
  const used = new Map<string, number>();
  for (const pod of await memberPods(session, cluster)) {
    const ask = () => api.pods.text({ namespace, name: pod.metadata.name }, HEALTH_PORT, "/metrics", signal);
    const text = await readable(ask).catch(() => undefined); // one that has just come may not answer yet
    const { memoryBytes } = text === undefined ? { memoryBytes: undefined } : toUsageSample(text);
    if (memoryBytes !== undefined) used.set(memberOf(pod), memoryBytes);
  }
  return used;
}

/** Reads what there is to know after a round. @param sinceMs - Monotonic, when the round began. */
export async function aftermathOf(
  session: Session,
  cluster: string,
  known: {
    readonly round: Round;
    readonly sinceMs: number;
    readonly memory: ReadonlyMap<string, number> | undefined;
  },
): Promise<Aftermath> {
  const { round, sinceMs, memory } = known;
  const beganMs = Date.now() - (performance.now() - sinceMs) - 1000; // Events have whole seconds in places
  const [register, events, after] = await Promise.all([
    readRegister(session, cluster),
    readable(() => readEvents(session, cluster)),
    memory === undefined ? undefined : memoryOf(session, cluster),
  ]);
  return {
    round,
    register,
    told: events?.filter(({ atMs }) => atMs >= beganMs).map(({ reason, note }) => ({ reason, note })),
    memory: memory === undefined || after === undefined ? undefined : { before: memory, after },
  };
}
