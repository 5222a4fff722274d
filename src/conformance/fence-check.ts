/** The rule about the fence: what holds an engine whose agent does not renew its lease, and nobody else, from writing on. */
import { setTimeout as pause } from "node:timers/promises";
import { ActionError } from "../agent/engine/driver.ts";
import type { InitClient } from "../agent/init-client.ts";
import { FENCE_REACTION_MS } from "../agent/protocol/profile.ts";
import { bringBack, type Check, demand, demandSoon, insist, type LeaseWorld, write } from "./check.ts";
import type { HostMember } from "./host-member.ts";

/** From a renewal to the deadline that it sets. */
const AHEAD_MS = 1500;
const RENEWALS = 3;
const RENEWAL_MS = 500;
/** How long the writers go on trying after the last moment in which a write may succeed. */
const TEMPTATION_MS = 1500;
const WRITERS = 2;
const NS_PER_MS = 1_000_000n;

/** A write that was acknowledged, in milliseconds of performance.now(). */
interface Write {
  readonly begunMs: number;
}

/** Clients that write one after the other, whatever becomes of a write. */
class Writers {
  readonly acknowledged: Write[] = [];
  readonly #over = new AbortController();
  readonly #done: Promise<unknown>;

  constructor(member: HostMember, epoch: number) {
    this.#done = Promise.all(
      Array.from({ length: WRITERS }, () => this.#write(member, { QUORATE_EPOCH: String(epoch) })),
    );
  }

  async stop(): Promise<void> {
    this.#over.abort();
    await this.#done;
  }

  async #write({ driver }: HostMember, context: { readonly QUORATE_EPOCH: string }): Promise<void> {
    const { signal } = this.#over;
    while (!signal.aborted) {
      const begunMs = performance.now();
      try {
        await driver.run("probeWrite", context, signal);
        this.acknowledged.push({ begunMs });
      } catch (error) {
        if (!(error instanceof ActionError)) throw error;
      }
    }
  }
}

/** A deadline by both clocks; the second is a little late rather than early. */
interface Deadline {
  readonly ns: bigint;
  readonly ms: number;
}

async function renew(init: InitClient): Promise<Deadline> {
  const ns = (await init.nowNs()) + BigInt(AHEAD_MS) * NS_PER_MS;
  const ms = performance.now() + AHEAD_MS;
  await init.fence(ns);
  return { ns, ms };
}

/** When quorate-init saw that nothing was left, by its clock; undefined when it did not. */
function fencedNs({ log }: HostMember): bigint | undefined {
  const said = /"program":"quorate-init","event":"fenced",[^\n]*"ns":(\d+)/.exec(log)?.[1];
  return said === undefined ? undefined : BigInt(said);
}

/** Lets a leader that is started by quorate-init write until the deadline has passed for long. */
async function letItPass(leader: HostMember, init: InitClient, epoch: number): Promise<void> {
  const writers = new Writers(leader, epoch);
  let deadline = await renew(init);
  const first = deadline;
  for (let count = 1; count < RENEWALS; count++) {
    await pause(RENEWAL_MS);
    deadline = await renew(init);
  }
  await pause(deadline.ms + FENCE_REACTION_MS + TEMPTATION_MS - performance.now());
  await writers.stop();
  const after = (ms: number): readonly Write[] => writers.acknowledged.filter(({ begunMs }) => begunMs > ms);
  demand(after(0).length > 0, "probeWrite: no write is acknowledged by a leader that quorate-init started");
  demand(
    after(first.ms).length > 0,
    "start: no write is acknowledged after the first of several deadlines, although it was extended in time",
  );
  const late = after(deadline.ms + FENCE_REACTION_MS);
  demand(
    late.length === 0,
    `start: ${late.length} writes that began more than ${FENCE_REACTION_MS} ms after the fence's deadline were acknowledged: something serves that start's own process did not begin, such as a server that an action left behind; everything that serves must descend from it`,
  );
  await demandSoon(
    () => Promise.resolve(fencedNs(leader) !== undefined),
    "start: of what it began something lives on after it was killed at the fence's deadline",
  );
  const tookNs = (fencedNs(leader) ?? deadline.ns) - deadline.ns;
  demand(
    tookNs <= BigInt(FENCE_REACTION_MS) * NS_PER_MS,
    `start: its processes took ${tookNs / NS_PER_MS} ms to end after they were killed at the fence's deadline; ${FENCE_REACTION_MS} ms is what others wait for`,
  );
}

/** A leader whose agent is held up or cut off, so that the deadline passes. */
export const fences: Check<LeaseWorld> = {
  name: "fence",
  rule: "at a deadline that its agent does not extend, nothing of the engine is left that writes, and it can be started again",
  needsInit: true,
  run: async ({ cluster, a, b, c }) => {
    const { init: program } = cluster.software;
    if (program === undefined) throw new Error("no quorate-init");
    await a.stop();
    const init = await a.startUnderInit(program);
    await cluster.promote(a, []); // its writes wait for nobody: only the fence can end them
    await insist(() => write(a, cluster.epoch)); // a shard asks others first whether it may
    await letItPass(a, init, cluster.epoch);
    await a.kill();
    for (const follower of [b, c]) await follower.run("seal");
    await cluster.promote(b, []);
    demand(
      !(await a.start()).writable,
      "configure: a leader that was killed at the fence's deadline comes up writable",
    );
    await bringBack(a, b);
  },
};
