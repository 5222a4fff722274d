// One experiment at a time in a namespace: whoever holds the Lease quorate-chaos has the turn. It expires when its holder is lost.
import { isConflict } from "../../kube/api-error.ts";
import { type Lease, microTime } from "../../kube/leader-election.ts";
import type { ObjectRef, Stored } from "../../kube/object.ts";
import type { Session } from "./session.ts";

const NAME = "quorate-chaos";
const CLOCKS_APART_MS = 30_000; // two people's machines need not agree on the time

type WithNamespace = Pick<Session, "api" | "namespace">;

/** Whoever has the turn now, with what for; undefined when nobody has. */
export async function turnHolder(session: WithNamespace, nowMs: number): Promise<string | undefined> {
  const found = await session.api.get<Lease>(refIn(session));
  return found === undefined || isOver(found, nowMs) ? undefined : found.spec?.holderIdentity;
}

/** The turn, once it is taken. */
export interface Turn {
  /** Who has it, and what for. */
  readonly holder: string;
  /** Keeps it for so long from now. @throws {Error} when somebody else has taken it meanwhile. */
  readonly extend: (seconds: number) => Promise<void>;
  /** Gives it back; whoever comes next need not wait. Never takes somebody else's away. */
  readonly giveBack: () => Promise<void>;
}

/** Takes the turn. @throws {Error} that names whoever has it. */
export async function takeTurn(session: WithNamespace, holder: string, seconds: number): Promise<Turn> {
  const { api } = session;
  let ours = await take(session, holder, seconds);
  return {
    holder,
    extend: async (more) => {
      ours = await written(session, () =>
        api.update<Lease>({
          ...ours,
          spec: { ...ours.spec, renewTime: microTime(new Date()), leaseDurationSeconds: more },
        }),
      );
    },
    giveBack: async () => {
      const { uid, resourceVersion } = ours.metadata;
      await api.delete(refIn(session), { uid, resourceVersion }).catch((error: unknown) => {
        if (!isConflict(error)) throw error; // it expired, and is somebody else's by now
      });
    },
  };
}

async function take(session: WithNamespace, holder: string, seconds: number): Promise<Stored<Lease>> {
  const { api, namespace } = session;
  const now = microTime(new Date());
  const spec = { holderIdentity: holder, leaseDurationSeconds: seconds, acquireTime: now, renewTime: now };
  const found = await api.get<Lease>(refIn(session));
  if (found === undefined) {
    const { apiVersion, kind, name } = refIn(session);
    return written(session, () => api.create<Lease>({ apiVersion, kind, metadata: { name, namespace }, spec }));
  }
  if (!isOver(found, Date.now())) throw taken(found.spec?.holderIdentity);
  return written(session, () => api.update<Lease>({ ...found, spec }));
}

/** Two that write at once: one of them gets a conflict, and so the turn is the other's. */
async function written(session: WithNamespace, write: () => Promise<Stored<Lease>>): Promise<Stored<Lease>> {
  try {
    return await write();
  } catch (error) {
    if (!isConflict(error)) throw error;
    throw taken((await session.api.get<Lease>(refIn(session)))?.spec?.holderIdentity);
  }
}

function taken(holder = "somebody else"): Error {
  return new Error(`another experiment has the turn in this namespace: ${holder}`);
}

function isOver({ spec = {} }: Lease, nowMs: number): boolean {
  const { holderIdentity = "", renewTime = "", leaseDurationSeconds = 0 } = spec;
  const endMs = Date.parse(renewTime) + leaseDurationSeconds * 1000 + CLOCKS_APART_MS;
  return holderIdentity === "" || Number.isNaN(endMs) || endMs < nowMs;
}

function refIn({ namespace }: WithNamespace): ObjectRef & { readonly namespace: string } {
  return { apiVersion: "coordination.k8s.io/v1", kind: "Lease", namespace, name: NAME };
}
