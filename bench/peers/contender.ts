/** One cluster that takes part in bench/engines.ts: ours, or the engine under a StatefulSet with its own mechanism alone. */
import type { FaultSubject } from "../../hack/scenario/subject.ts";
import type { CountingClient } from "../counting-clients.ts";

/** What a run needs to know of it. */
export interface Contender {
  /** As the figures call it. */
  readonly name: string;
  readonly subject: FaultSubject;
  /** Whose deletion is a full restart, as a label selector. */
  readonly allPods: string;
  /** The only cases in which it takes part; all when absent. */
  readonly cases?: readonly string[];
  /** Least time between two faults. */
  readonly quietMs: number;
  /** Makes it; resolves once it is whole. */
  readonly create: () => Promise<void>;
  readonly remove: () => Promise<void>;
  /** Starts a client; resolves once something was acknowledged. */
  readonly startClient: () => Promise<CountingClient>;
  /** Replaces all pods, one after the other; resolves once that is over. */
  readonly roll: (run: number) => Promise<void>;
  /** Changes the number of members and waits for it; absent where somebody would have to do it by hand. */
  readonly resize?: (members: number) => Promise<void>;
}
