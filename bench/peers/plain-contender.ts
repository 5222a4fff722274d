/** What contenders under a plain StatefulSet have in common. */
import { until } from "../../hack/scenario/shell.ts";
import type { FaultSubject } from "../../hack/scenario/subject.ts";
import type { Contender } from "./contender.ts";
import type { PlainSet } from "./plain-set.ts";

/** What differs from one to the next. */
export interface PlainParts extends Pick<Contender, "startClient">, Pick<FaultSubject, "leader" | "isEngine"> {
  readonly set: PlainSet;
  /** What has to be true of members that are all Ready, in words. */
  readonly wholeness: string;
  /** Whether it is; undefined while it is not. */
  readonly isWhole: () => Promise<true | undefined>;
  /** How long it may take to be whole for the first time. */
  readonly formMs: number;
  /** What somebody does once all pods run, before it is whole. */
  readonly form?: () => Promise<void>;
  /** The engine's own planned change; absent where nobody leads. */
  readonly switchover?: () => Promise<void>;
  readonly isAgent?: FaultSubject["isAgent"];
  /** The engine's main process, where absent. */
  readonly isFirstProcess?: FaultSubject["isFirstProcess"];
  /** Whether members may come and go by the number of pods alone. */
  readonly isElastic?: boolean;
}

const RESIZE_MS = 300_000;
const QUIET_MS = 3_000;

/** The contender that they make. */
export function plainContender(name: string, namespace: string, parts: PlainParts): Contender {
  const { set, leader, isEngine, isFirstProcess = isEngine, startClient } = parts;
  const untilHealthy = async (timeoutMs: number): Promise<void> => {
    await set.untilReady(timeoutMs);
    await until(parts.wholeness, timeoutMs, parts.isWhole);
  };
  return {
    name,
    subject: {
      name,
      writer: { namespace },
      leader,
      switchover: parts.switchover ?? (() => Promise.reject(new Error("nobody leads"))),
      untilHealthy,
      isEngine,
      isAgent: parts.isAgent ?? (() => false),
      isFirstProcess,
    },
    allPods: set.pods.selector,
    quietMs: QUIET_MS,
    create: async () => {
      await set.create();
      await parts.form?.();
      await untilHealthy(parts.formMs);
    },
    remove: () => set.remove(),
    startClient,
    roll: () => set.roll(),
    ...(parts.isElastic === true
      ? {
          resize: async (members: number) => {
            await set.scale(members);
            await untilHealthy(RESIZE_MS);
          },
        }
      : {}),
  };
}
