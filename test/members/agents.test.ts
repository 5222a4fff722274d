/**
 * Agents of running members replaced in place: engines run on, the leader stays, nothing is lost, and one that does not work gives way
 * to the image's before the fence deadline. Times are printed, never asserted.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { AgentBundle } from "../../src/agent-bundle.ts";
import type { MemberReport } from "../../src/api/agent-wire.ts";
import { KeyClient } from "../../hack/scenario/key-client.ts";
import { binary } from "../api/harness.ts";
import { bundleOfImage, bundleOfProgram, bundleOfVersion, offerBundle } from "./bundles.ts";
import { CountingClient } from "./client.ts";
import { hostPostgres, type HostEngine, MemberCluster, type TestMember } from "./harness.ts";

const ETCD: HostEngine = {
  name: "etcd",
  user: { uid: 65534, gid: 65534 },
  programs: { etcd: binary("etcd"), etcdctl: binary("etcdctl") },
};
const AGENT = /^\S*node (?:--\S+ )*\S*agent\.mjs run/;
const FROM_SNAPSHOT = /^\S*node (?:--\S+ )*--snapshot-blob=\S*agent\.blob \S*agent\.mjs run/;
const IN_PLACE = { update: { agents: "InPlace" } };

let image: AgentBundle;
let next: AgentBundle;

beforeAll(async () => {
  image = await bundleOfImage();
  next = await bundleOfVersion("0.1.99");
});

function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}

/** A running cluster of three. */
class Running {
  readonly cluster: MemberCluster;
  readonly #engine: RegExp;

  private constructor(cluster: MemberCluster, engine: RegExp) {
    this.cluster = cluster;
    this.#engine = engine;
  }

  static async start(engine: HostEngine, processes: RegExp): Promise<Running> {
    const cluster = await MemberCluster.create(3, engine, 3, IN_PLACE);
    await cluster.want({ profile: "Standard" }); // half of what is left of a deadline is enough for a start, also where others compute
    for (const member of cluster.members) cluster.run(member);
    return new Running(cluster, processes);
  }

  async until<T>(what: string, ask: () => Promise<T | undefined>): Promise<T> {
    const endMs = performance.now() + 60_000;
    while (performance.now() < endMs) {
      const answer = await ask();
      if (answer !== undefined) return answer;
      await pause(50);
    }
    const logs = await Promise.all(this.cluster.members.map((member) => this.cluster.log(member)));
    throw new Error(`waited in vain for ${what}\n${logs.map((log) => log.slice(-3000)).join("\n==\n")}`);
  }

  /** Waits until one member leads and all others follow, as they say themselves. */
  untilWhole(): Promise<TestMember> {
    return this.until("a leader that all others follow", async () => {
      const { members } = this.cluster;
      const reports = await Promise.all(members.map((member) => this.cluster.report(member)));
      const isFollowing = (report: MemberReport | undefined): boolean => report?.role === "follower";
      const serving = reports.filter((report) => report?.state === "Running" && report.agent !== undefined);
      const at = reports.findIndex((report) => report?.role === "leader");
      return serving.length === 3 && reports.filter(isFollowing).length === 2 ? members[at] : undefined;
    });
  }

  /** The main processes of the members' engines. */
  engines(): readonly (number | undefined)[] {
    return this.cluster.members.map((member) => this.cluster.pids(member, this.#engine)[0]);
  }

  /** Offers an agent to a member, and waits for what becomes of it. */
  async replace(member: TestMember, bundle: AgentBundle): Promise<NonNullable<MemberReport["agent"]>> {
    await offerBundle(this.cluster, bundle, member.name);
    const agent = await this.until(`${member.name} to run the agent or to refuse it`, async () => {
      const said = (await this.cluster.report(member))?.agent;
      return said?.hash === bundle.hash || said?.refused?.hash === bundle.hash ? said : undefined;
    });
    await this.untilWhole();
    return agent;
  }

  /** Whether a fence fired on any member. */
  async fences(): Promise<readonly string[]> {
    const logs = await Promise.all(this.cluster.members.map((member) => this.cluster.log(member)));
    return logs.flatMap((log) => log.split("\n").filter((line) => line.includes('"event":"fence"')));
  }
}

describe("members of PostgreSQL", () => {
  let running: Running;
  let leader: TestMember;

  beforeAll(async () => {
    running = await Running.start(hostPostgres(), /^(\S*\/)?postgres( |:)/);
  });
  afterAll(() => running.cluster.stop());
  beforeEach(async () => {
    leader = await running.untilWhole();
    await pause(1000);
  });

  /** Runs `change` under a client: engines, leader and rows stay. */
  async function expectUntouched(change: () => Promise<void>): Promise<void> {
    const before = running.engines();
    const client = new CountingClient(running.cluster);
    client.start();
    await pause(1000);
    await change();
    await pause(1000);
    const verdict = await client.finish();
    process.stdout.write(`  largest write gap ${verdict.largestGapMs} ms, ${verdict.acked} rows\n`);
    expect(verdict).toMatchObject({ lost: 0, unexpected: 0, outOfOrder: 0 });
    expect(running.engines()).toEqual(before);
    expect((await running.cluster.routed())?.name).toBe(leader.name);
    expect(await running.fences()).toEqual([]);
  }

  const fromSnapshot = (): readonly number[] =>
    running.cluster.members.map((member) => running.cluster.pids(member, FROM_SNAPSHOT).length);

  test("get another agent one after the other, the leader last", () =>
    expectUntouched(async () => {
      expect(fromSnapshot()).toEqual([1, 1, 1]);
      const followers = running.cluster.members.filter((member) => member !== leader);
      for (const member of [...followers, leader]) {
        expect(await running.replace(member, next)).toMatchObject({ hash: next.hash });
        expect((await running.cluster.report(member))?.agentVersion).toBe("0.1.99");
      }
      expect(fromSnapshot()).toEqual([0, 0, 0]);
    }));

  test.each([
    ["throws", "throw new Error('broken')", "it could not be started: Error: broken"],
    ["does nothing", "await new Promise((resolve) => setTimeout(resolve, 1e9))", "it did not serve within"],
  ])("go on with their image's when the leader is given one that %s", (_what, program, reason) =>
    expectUntouched(async () => {
      const bundle = await bundleOfProgram(program);
      const said = await running.replace(leader, bundle);
      expect(said).toMatchObject({ hash: image.hash, refused: { hash: bundle.hash } });
      expect(said.refused?.reason).toContain(reason);
    }),
  );

  test("keep it when their agent dies, and begin with their image's in a new pod", async () => {
    const follower = running.cluster.members.find((member) => member !== leader);
    if (follower === undefined) throw new Error("no follower");
    expect((await running.replace(follower, next)).hash).toBe(next.hash);
    for (const pid of running.cluster.pids(follower, AGENT)) process.kill(pid, "SIGKILL");
    await pause(3000);
    await running.untilWhole();
    expect((await running.cluster.report(follower))?.agent?.hash).toBe(next.hash);
    await running.cluster.want({ agent: undefined });
    await running.cluster.terminate(follower);
    await running.cluster.renewPod(follower);
    running.cluster.run(follower);
    await running.until("the agent of the image", async () => {
      const said = (await running.cluster.report(follower))?.agent;
      return said?.hash === image.hash ? said : undefined;
    });
  });

  test("ask for nothing that they may not have", async () => {
    expect((await running.cluster.rights()).refused).toEqual([]);
  });
});

test("members of a group get another agent, and its keys are all there", async () => {
  const running = await Running.start(ETCD, /^\S*etcd /);
  try {
    const leader = await running.untilWhole();
    const before = running.engines();
    const addresses = running.cluster.intent.members.map(({ host, enginePort }) => `${host}:${enginePort}`);
    const client = new KeyClient(() => Promise.resolve(addresses), await running.cluster.password("app"));
    client.start();
    for (const member of [...running.cluster.members.filter((one) => one !== leader), leader]) {
      expect(await running.replace(member, next)).toMatchObject({ hash: next.hash });
    }
    const verdict = await client.finish();
    process.stdout.write(`  ${JSON.stringify(verdict)}\n`);
    expect(verdict).toMatchObject({ lost: 0, stale: 0 });
    expect(running.engines()).toEqual(before);
    expect(await running.untilWhole()).toBe(leader);
  } finally {
    await running.cluster.stop();
  }
});
