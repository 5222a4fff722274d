// Steps against an API that notes what it is asked, and fails where it is told to.
import { describe, expect, test } from "vitest";
import { randomSecrets } from "../../../src/act/secret-source.ts";
import type { ClusterStatus, MemberStatus } from "../../../src/api/cluster-status.ts";
import { act } from "../../../src/act/act.ts";
import { StatusWriter } from "../../../src/act/status-writer.ts";
import { unpackBundle } from "../../../src/agent-bundle.ts";
import { buildAgentOffer } from "../../../src/build/agent-offer.ts";
import { buildConnections } from "../../../src/build/connection.ts";
import { buildLease } from "../../../src/build/config.ts";
import type { Manifest } from "../../../src/build/manifest.ts";
import { systemClock } from "../../../src/clock.ts";
import { RetryableError } from "../../../src/errors.ts";
import type { KubeApi } from "../../../src/kube/api.ts";
import { ApiStatusError } from "../../../src/kube/api-error.ts";
import type { ClusterView } from "../../../src/plan/observation.ts";
import type { Step } from "../../../src/plan/plan.ts";
import { FakeClock } from "../fake-clock.ts";
import { contextOf } from "../plan/fixture.ts";
import { Simulator } from "../plan/simulator.ts";

const signal = new AbortController().signal;
const LEASE: Step = { kind: "Create", manifest: buildLease(contextOf()), reason: "it is missing" };
const POD = { apiVersion: "v1", kind: "Pod", namespace: "shop", name: "orders-0-0", uid: "p1" };

/** An API that fails its calls with `failures`, by verb. */
function recordingApi(failures: Partial<Record<string, Error>> = {}): { api: KubeApi; calls: unknown[][] } {
  const calls: unknown[][] = [];
  const answer =
    (verb: string) =>
    (...args: unknown[]) => {
      calls.push([verb, ...args]);
      const failure = failures[verb];
      return failure === undefined ? Promise.resolve(args[0]) : Promise.reject(failure);
    };
  const verbs = ["get", "create", "apply", "mergePatch", "delete", "update", "list"];
  return { api: Object.fromEntries(verbs.map((verb) => [verb, answer(verb)])) as unknown as KubeApi, calls };
}

function ledger(): {
  wrote: () => void;
  deleted: () => void;
  changedNamed: () => void;
  acted: (step: Step) => void;
  steps: Step[];
} {
  const steps: Step[] = [];
  return {
    wrote: () => undefined,
    deleted: () => undefined,
    changedNamed: () => undefined,
    acted: (s) => steps.push(s),
    steps,
  };
}

function conflict(reason: string): RetryableError {
  const cause = new ApiStatusError(409, { kind: "Status", reason, details: { name: "orders" } });
  return new RetryableError("conflict", { reason, cause });
}

describe("act", () => {
  test("leaves alone what is already there", async () => {
    const { api } = recordingApi({ create: conflict("AlreadyExists") });
    await expect(
      act({ api, clock: systemClock, secretSource: randomSecrets }, [LEASE], ledger(), signal),
    ).resolves.toBeUndefined();
  });

  test("says what became of an operation only over the version that was seen", async () => {
    const { api, calls } = recordingApi();
    const status = { phase: "Running", message: "orders-1 takes over" } as const;
    const seen = { namespace: "shop", name: "move", uid: "o1", resourceVersion: "7" };
    const step: Step = { kind: "ReportOperation", ...seen, status, reason: "it is Running" };
    await act({ api, clock: systemClock, secretSource: randomSecrets }, [step], ledger(), signal);
    const patch = { metadata: { uid: "o1", resourceVersion: "7" }, status };
    const call = ["mergePatch", { kind: "ClusterOperation", name: "move" }, patch, { subresource: "status" }];
    expect(calls).toMatchObject([call]);
  });

  test.each([
    [
      "taken away from a shard",
      "ClusterSpec",
      { parameters: { level: null }, shard: { shards: ["s0"], request: null } },
    ],
    ["left to anything else", "Service", undefined],
  ])("what others added is %s", async (_what, kind, patch) => {
    const manifest = {
      ...{ apiVersion: "quorate.io/v1alpha1", kind, metadata: { name: "s0", namespace: "shop" } },
      spec: { members: 3, parameters: {}, tolerations: [{ key: "a" }], shard: { shards: ["s0"] } },
    } as unknown as Manifest;
    const added = { parameters: { level: "9" }, shard: { shards: ["s0", "s9"], request: { slots: "1" } } };
    const stored = {
      ...manifest,
      metadata: { ...manifest.metadata, resourceVersion: "7" },
      spec: { ...(manifest["spec"] as object), ...added },
    };
    const { api, calls } = recordingApi();
    const answering = { ...api, apply: () => Promise.resolve(stored) } as unknown as KubeApi;
    const step: Step = { kind: "Apply", manifest, reason: "another added to it" };
    await act({ api: answering, clock: systemClock, secretSource: randomSecrets }, [step], ledger(), signal);
    const ref = { kind, namespace: "shop", name: "s0" };
    const taken = ["mergePatch", ref, { metadata: { resourceVersion: "7" }, spec: patch }, {}];
    expect(calls).toMatchObject(patch === undefined ? [] : [taken]);
  });

  test("offers the agent that the operator has, and no other", async () => {
    const { api, calls } = recordingApi();
    const files = new Map(["agent.mjs", "otlp.mjs"].map((name) => [name, Buffer.from(name)]));
    const agentBundle = { hash: "a".repeat(64), files };
    const options = { api, clock: systemClock, secretSource: randomSecrets, agentBundle };
    const offering = (hash: string): Step[] => [
      { kind: "OfferAgent", manifest: buildAgentOffer(contextOf(), hash), hash, reason: "members are to take it" },
    ];
    await act(options, offering(agentBundle.hash), ledger(), signal);
    const [[verb, manifest] = []] = calls as [string, { readonly binaryData: Record<string, string> }][];
    expect([verb, (await unpackBundle(manifest?.binaryData ?? {})).files]).toEqual(["apply", files]);
    await expect(act(options, offering("b".repeat(64)), ledger(), signal)).rejects.toThrow("is not the one");
    expect(calls).toHaveLength(1);
  });

  test("tells applications both ways to connect, where the engine has a port of its own for TLS", async () => {
    const context = contextOf();
    const connection = {
      type: "example",
      uri: "example://$(host):$(port)",
      tlsUri: "examples://$(password)@$(host):$(port)",
    };
    const engine = { ...context.engine, accounts: [{ name: "app", connection }], clientTls: true, tlsPort: 5433 };
    const versions = { credentialsVersion: "1", peerVersion: "1" };
    const [made] = buildConnections({ ...context, engine }, versions);
    if (made === undefined) throw new Error("no connection");
    const { api, calls } = recordingApi();
    const encoded = (text: string) => Buffer.from(text).toString("base64");
    const data = { app: encoded("p/w"), "ca.crt": encoded("authority") };
    const reading = { ...api, get: () => Promise.resolve({ metadata: {}, data }) } as unknown as KubeApi;
    const names = { cluster: "orders", credentialsName: "orders-credentials", peerName: "orders-peer" };
    const step: Step = {
      kind: "WriteConnection",
      metadata: made.metadata,
      connection: made,
      ...names,
      reason: "it is missing",
    };
    await act({ api: reading, clock: systemClock, secretSource: randomSecrets }, [step], ledger(), signal);
    const [[, secret] = []] = calls as [string, { readonly data: Record<string, string> }][];
    const texts = Object.entries(secret?.data ?? {}).map(([key, text]) => [
      key,
      Buffer.from(text, "base64").toString(),
    ]);
    expect(Object.fromEntries(texts)).toMatchObject({
      ...{ port: "5432", uri: "example://orders-rw.shop.svc:5432", "ca.crt": "authority" },
      ...{ "tls-port": "5433", "tls-uri": "examples://p%2Fw@orders-rw.shop.svc:5433" },
    });
  });

  test("deletes exactly the incarnation that was seen", async () => {
    const { api, calls } = recordingApi();
    await act(
      { api, clock: systemClock, secretSource: randomSecrets },
      [{ kind: "Delete", object: POD, reason: "old" }],
      ledger(),
      signal,
    );
    const { uid, ...ref } = POD;
    expect(calls).toEqual([["delete", ref, { uid, propagationPolicy: "Background", signal }]]);
  });

  test("stops at the first error", async () => {
    const { api, calls } = recordingApi({ delete: conflict("Conflict") });
    const noted = ledger();
    const steps: Step[] = [LEASE, { kind: "Delete", object: POD, reason: "old" }, LEASE];
    await expect(act({ api, clock: systemClock, secretSource: randomSecrets }, steps, noted, signal)).rejects.toThrow(
      "conflict",
    );
    expect(calls.map(([verb]) => verb)).toEqual(["create", "delete"]);
    expect(noted.steps).toEqual([LEASE]);
  });

  test("does nothing more once it shall stop", async () => {
    const { api, calls } = recordingApi();
    await expect(
      act({ api, clock: systemClock, secretSource: randomSecrets }, [LEASE], ledger(), AbortSignal.abort()),
    ).rejects.toThrow("aborted");
    expect(calls).toEqual([]);
  });
});

describe("statuses", () => {
  const LEADS = { type: "Available", status: "True", reason: "LeaderServes", message: "orders-0 leads." } as const;
  const lastTransitionTime = "2030-01-01T00:00:00Z";
  const STORED: ClusterStatus = {
    conditions: [{ ...LEADS, lastTransitionTime }],
    leader: "orders-0",
    members: [
      { name: "orders-0", role: "Leader", state: "Running", ready: true },
      { name: "orders-1", role: "Follower", state: "Cloning", ready: false },
    ],
  };
  const [LEADER, FOLLOWER] = STORED.members as [MemberStatus, MemberStatus];

  /** A writer, and the cluster with a status as it is stored. */
  function begin(status: ClusterStatus): {
    writer: StatusWriter;
    cluster: ClusterView;
    clock: FakeClock;
    calls: unknown[][];
  } {
    const { cluster } = new Simulator({ members: 1 }).observe();
    if (cluster === undefined) throw new Error("no cluster");
    const { api, calls } = recordingApi();
    const clock = new FakeClock();
    return { writer: new StatusWriter(api, clock), cluster: { ...cluster, status }, clock, calls };
  }

  test.each<[string, ClusterStatus]>([
    ["another leader", { ...STORED, leader: "orders-1" }],
    ["no leader", { ...STORED, leader: undefined }],
    ["a condition", { ...STORED, conditions: [{ ...LEADS, status: "False", reason: "NoLeader", lastTransitionTime }] }],
    ["a member that stopped", { ...STORED, members: [{ ...LEADER, state: "Starting" }, FOLLOWER] }],
    ["a member that is not ready any more", { ...STORED, members: [{ ...LEADER, ready: false }, FOLLOWER] }],
    ["a member that is gone", { ...STORED, members: [LEADER] }],
    ["a fenced member", { ...STORED, members: [LEADER, { ...FOLLOWER, state: "Fenced" }] }],
    ["a change", { ...STORED, change: "abcd: 1/3 members done" }],
    ["a generation", { ...STORED, observedGeneration: 2 }],
  ])("with news of %s are written at once", async (_what, status) => {
    const { writer, cluster, calls } = begin(STORED);
    const { written } = await writer.write(cluster, status, signal);
    expect(written).toMatchObject({ metadata: { uid: cluster.uid }, status });
    expect(calls).toHaveLength(1);
  });

  test("with other news wait for more of it, and are written together", async () => {
    const { writer, cluster, clock, calls } = begin(STORED);
    const lagging: ClusterStatus = { ...STORED, members: [LEADER, { ...FOLLOWER, lag: "<1Mi" }] };
    expect(await writer.write(cluster, lagging, signal)).toEqual({ written: undefined, dueInMs: 5_000 });
    expect(writer.lastOf(cluster)).toEqual(lagging); // what was said once is no news any more
    clock.advance(3_000);
    const up: ClusterStatus = { ...STORED, members: [LEADER, { ...FOLLOWER, state: "Running", ready: true }] };
    expect(await writer.write(cluster, up, signal)).toEqual({ written: undefined, dueInMs: 2_000 });
    clock.advance(2_000);
    expect((await writer.write(cluster, up, signal)).written).toMatchObject({ status: up });
    expect(calls).toHaveLength(1);
  });

  test("of a cluster that served before are told at once, whatever is changed in it", async () => {
    const changing = { reason: "Changing", message: "abcd: 1/3", lastTransitionTime };
    const rolling: ClusterStatus = {
      ...STORED,
      initialized: true,
      conditions: [{ ...changing, type: "Reconciling", status: "True" }],
    };
    const { writer, cluster, calls } = begin(rolling);
    await writer.write(cluster, { ...rolling, leader: "orders-1" }, signal);
    expect(calls).toHaveLength(1);
  });

  test("that are as stored again are forgotten", async () => {
    const { writer, cluster, clock, calls } = begin(STORED);
    await writer.write(cluster, { ...STORED, budgetLeft: "90%" }, signal);
    clock.advance(5_000);
    expect(await writer.write(cluster, STORED, signal)).toEqual({ written: undefined, dueInMs: undefined });
    expect(writer.lastOf(cluster)).toBe(STORED);
    expect(calls).toEqual([]);
  });

  test("of a new cluster wait until it serves, unless something is in its way", async () => {
    const { writer, cluster, clock, calls } = begin({});
    const progress = { reason: "Changing", message: "Creating the cluster.", lastTransitionTime };
    const creating: ClusterStatus = {
      conditions: [{ ...progress, type: "Reconciling", status: "True" }],
      change: "Creating the cluster",
    };
    expect((await writer.write(cluster, creating, signal)).dueInMs).toBe(15_000);
    clock.advance(15_000);
    expect((await writer.write(cluster, creating, signal)).written).toMatchObject({ status: creating });
    // It was told once that it is on its way, and still is: who will lead, and how many pods there are, waits again.
    const told = { ...cluster, status: creating };
    const further: ClusterStatus = { ...creating, leader: "orders-0", epoch: 1, initialized: true };
    expect((await writer.write(told, further, signal)).dueInMs).toBe(15_000);
    expect(calls.splice(0)).toHaveLength(1);
    const blocked = { ...progress, type: "Blocked", status: "True", reason: "EngineKnown" } as const;
    for (const before of [cluster, told]) {
      await writer.write(before, { conditions: [...(creating.conditions ?? []), blocked] }, signal);
      await writer.write(before, { conditions: [{ ...LEADS, lastTransitionTime }] }, signal);
      expect(calls.splice(0)).toHaveLength(2);
    }
  });
});
