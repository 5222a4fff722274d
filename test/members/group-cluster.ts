/** A group of real agents whose engine elects its leader itself, as its tests look at it and change it. */
import { pause } from "../../hack/scenario/shell.ts";
import type { MemberCluster, TestMember } from "./harness.ts";

interface Status {
  readonly view: {
    readonly seen?: {
      readonly leads: boolean;
      readonly group: {
        readonly id: string;
        readonly term: number;
        readonly members: readonly { readonly id: string; readonly name: string; readonly votes: boolean }[];
      };
    };
  } | null;
  readonly verdict?: { readonly reason: string | null };
}

/** One group, of which {@link begin} runs the first member. */
export class GroupCluster {
  readonly cluster: MemberCluster;
  /** Everything that leaders were seen to count as members, in order. */
  readonly lists: string[][] = [];
  readonly #watching = new AbortController();
  #watcher: Promise<void> = Promise.resolve();

  constructor(cluster: MemberCluster) {
    this.cluster = cluster;
  }

  /** Runs the first member, which makes the group, and looks at the leaders' lists from then on. */
  async begin(): Promise<void> {
    const [first] = this.cluster.members;
    if (first === undefined) throw new Error("no member");
    this.cluster.run(first);
    await this.untilWhole();
    await this.cluster.want({ bootstrapMember: null });
    this.#watcher = this.#watchLists();
  }

  /** Ends the looking, and everything that runs. */
  async end(): Promise<void> {
    this.#watching.abort();
    await this.#watcher;
    await this.cluster.stop();
  }

  /** What a member says of itself; nothing while it is away. */
  async statusOf(member: TestMember): Promise<Status | undefined> {
    return (await this.cluster.status(member).catch(() => undefined)) as Status | undefined;
  }

  /** Whether the member's own probe says that it serves: what it told the API server may be of a moment ago. */
  async isReady({ ports }: TestMember): Promise<boolean> {
    const response = await fetch(`http://127.0.0.1:${ports.health}/readyz`).catch(() => undefined);
    return response?.ok === true;
  }

  /** The leader with the highest term, and its list of members. */
  async leader() {
    const all = await Promise.all(
      this.cluster.members.map(async (member) => ({ member, status: await this.statusOf(member) })),
    );
    const leading = all.flatMap(({ member, status }) => {
      const seen = status?.view?.seen;
      return seen?.leads === true ? [{ member, ...seen.group }] : [];
    });
    return leading.toSorted((a, b) => b.term - a.term)[0];
  }

  #listedNames(): string[] {
    return this.cluster.intent.members.map(({ name }) => name).toSorted();
  }

  /** Waits until the group is exactly who is listed, all with a vote. */
  untilWhole(): Promise<TestMember> {
    const listed = this.#listedNames().join();
    return this.cluster.until(`a group of ${listed}`, async () => {
      const found = await this.leader();
      const names = found?.members.filter(({ votes }) => votes).map(({ name }) => name) ?? [];
      const isWhole = names.toSorted().join() === listed && found?.members.length === names.length;
      return isWhole ? found?.member : undefined;
    });
  }

  /** Looks at the leaders' lists all the time: whatever happens, they change by one member at a time. */
  async #watchLists(): Promise<void> {
    while (!this.#watching.signal.aborted) {
      const found = await this.leader();
      const ids = found?.members.map(({ id, votes }) => `${id}${votes ? "" : "?"}`).toSorted();
      if (ids !== undefined && ids.join() !== this.lists.at(-1)?.join()) this.lists.push(ids);
      await pause(150);
    }
  }

  /** Where the listed members take clients. */
  addresses(): Promise<readonly string[]> {
    return Promise.resolve(this.cluster.intent.members.map(({ host, enginePort }) => `${host}:${enginePort}`));
  }

  /** Kills a container as it stands; it is started again at once, as a kubelet would. */
  async killAndRestart(member: TestMember): Promise<void> {
    await this.cluster.kill(member);
    this.cluster.run(member);
  }

  /** What the operator does: lists one more, or one less, and ends the pod only when the engine does not count it any more. */
  async changeTo(ordinals: readonly number[], meanwhile: () => Promise<void>): Promise<void> {
    const { cluster } = this;
    await cluster.want({ members: cluster.listing(ordinals) });
    for (const ordinal of ordinals) {
      const member = cluster.members[ordinal];
      if (member !== undefined && member.process === undefined) cluster.run(member);
    }
    await meanwhile();
    await this.untilWhole();
    for (const [ordinal, member] of cluster.members.entries()) {
      if (!ordinals.includes(ordinal) && member.process !== undefined) await cluster.terminate(member);
    }
  }
}
