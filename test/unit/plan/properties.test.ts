// Whatever is observed, the planner answers, answers the same in any order, and never does certain things.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { HookName, type HookRequest, type MemberReport } from "../../../src/api/agent-wire.ts";
import { deepFreeze } from "../../../src/kube/deep-freeze.ts";
import type { MemberView, Observation } from "../../../src/plan/observation.ts";
import { GUARDS } from "../../../src/plan/guards.ts";
import { planCluster } from "../../../src/plan/plan-cluster.ts";
import { computeStatus } from "../../../src/status/status.ts";
import { hookedEngine, intentOf } from "./fixture.ts";
import { NO_REPORT } from "./views.ts";

const anyAnswer = fc.option(
  fc.record({
    id: fc.constantFrom("op-a", "drain.1893456000", "rollout.1", "other"),
    result: fc.constantFrom("Running", "Done", "Refused", "Failed"),
    message: fc.string(),
  }),
);

const anyReport: fc.Arbitrary<MemberReport> = fc
  .record({
    role: fc.constantFrom("leader", "follower", "none"),
    epoch: fc.integer({ min: 0, max: 5 }),
    state: fc.constantFrom("Starting", "Running", "Cloning", "Fenced", "Blocked"),
    lagBucket: fc.constantFrom("0", "<1Mi", "<1Gi", "unknown"),
    syncNames: fc.subarray(["orders-0", "orders-1", "orders-2", "orders-3"]),
    switchover: anyAnswer,
    restart: anyAnswer,
    rebuild: anyAnswer,
    hook: anyAnswer,
  })
  .map((report) => ({ ...NO_REPORT, ...report }));

const anyPod = fc.record({
  uid: fc.constantFrom("p1", "p2"),
  resourceVersion: fc.constant("1"),
  ready: fc.boolean(),
  readySinceMs: fc.constantFrom(undefined, 0, 1_893_455_999_000),
  deletingSinceMs: fc.option(fc.constantFrom(0, 1_893_456_000_000), { nil: undefined }),
  node: fc.option(fc.constantFrom("a", "b", "gone"), { nil: undefined }),
  templateHash: fc.constantFrom("h1", "h2", undefined),
  createdMs: fc.constant(0),
  report: fc.option(anyReport, { nil: undefined }),
  trouble: fc.constantFrom(undefined, "ImagePullBackOff"),
});

const anyVolume = fc.record({
  uid: fc.constantFrom("v1", "v2"),
  resourceVersion: fc.constant("1"),
  phase: fc.constantFrom("Bound", "Pending", "Lost"),
  createdMs: fc.constantFrom(0, 2_000_000_000_000),
  deleting: fc.boolean(),
  deleteWith: fc.constantFrom(undefined, "uid-orders", "uid-former"),
  clusterUid: fc.constantFrom(undefined, "uid-orders", "uid-former"),
  requestedBytes: fc.constantFrom(1, 10 * 2 ** 30, 20 * 2 ** 30),
  className: fc.constantFrom(undefined, "fast"),
  capacityBytes: fc.constantFrom(0, 1, 20 * 2 ** 30),
  resize: fc.constantFrom(
    { state: "None", message: "" },
    { state: "FileSystemPending", message: "" },
    { state: "Refused", message: "no" },
  ),
  volumeName: fc.constantFrom(undefined, "pv"),
  homes: fc.constantFrom([], [{ node: "gone", gone: "Deleted" }], [{ node: "b", gone: "No" }]),
});

const anySet = fc.record({
  uid: fc.constantFrom("s1", "s2"),
  resourceVersion: fc.constant("1"),
  revision: fc.option(
    fc.record({ templateHash: fc.constantFrom("h1", "h2"), inputHash: fc.constantFrom("i1", "i2") }),
    {
      nil: undefined,
    },
  ),
  template: fc.constant({}),
  replicas: fc.constantFrom(0, 1),
  deleting: fc.boolean(),
});

const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });

const anyMembers: fc.Arbitrary<MemberView[]> = fc
  .uniqueArray(fc.integer({ min: 0, max: 5 }), { maxLength: 6 })
  .chain((ordinals) =>
    fc.tuple(
      ...ordinals.map((ordinal) =>
        fc
          .record({
            pod: optional(anyPod),
            volume: optional(anyVolume),
            statefulSet: optional(anySet),
            isOfEarlierCluster: fc.boolean(),
          })
          .map((view) => {
            const name = `orders-${ordinal}`;
            const pod = view.pod && { ...view.pod, name: `${name}-0` };
            const volume = view.volume && { ...view.volume, name: `${name}-data` };
            return { ...view, name, ordinal, pod, volume };
          }),
      ),
    ),
  );

const anyRequest = fc.option(
  fc.record({
    id: fc.constantFrom("op-a", "drain.1893456000", "rollout.1"),
    from: fc.constantFrom("orders-0", "orders-9", null),
    to: fc.constantFrom("orders-1", null),
  }),
);

const anyHook = fc.option(
  fc.record({
    id: fc.constantFrom("before-update-1.1893455999", "can-roll-back-2.1", "op-a"),
    action: fc.constantFrom(...HookName.options),
    member: fc.constantFrom("orders-0", "orders-9"),
    epoch: fc.integer({ min: 0, max: 2 }),
    update: fc.constantFrom("h1.0", "h2.1"),
    fromVersion: fc.constantFrom("1", ""),
    fromRevision: fc.constant("h1"),
    toVersion: fc.constant("2"),
    toRevision: fc.constant("h2"),
    consent: fc.boolean(),
  }),
);

const anyOperation = fc.record({
  name: fc.constantFrom("a", "b"),
  uid: fc.constantFrom("op-a", "op-b"),
  resourceVersion: fc.constant("1"),
  createdMs: fc.integer({ min: 0, max: 2 }),
  intent: fc.record({
    clusterName: fc.constant("orders"),
    type: fc.constantFrom("Switchover", "Restart", "Rebuild", "Promote", "Abort"),
    member: fc.constantFrom("orders-0", "orders-1", "orders-9", undefined),
    role: fc.constantFrom("Followers", "Leader", undefined),
    deadlineSeconds: fc.constantFrom(1, 300),
  }),
  status: fc.constantFrom({}, { phase: "Running", startTime: "2029-12-31T23:59:00Z" }, { phase: "Done" }),
});

const anyObservation = fc
  .record({
    members: anyMembers,
    wanted: fc.integer({ min: 1, max: 5 }),
    listed: fc.option(fc.uniqueArray(fc.integer({ min: 0, max: 5 }), { minLength: 1, maxLength: 5 })),
    switchover: anyRequest,
    hook: anyHook,
    operations: fc.uniqueArray(anyOperation, { maxLength: 2, selector: (operation) => operation.name }),
    spec: fc.constantFrom(
      {},
      { paused: true },
      { stopped: true },
      { disruption: { singleMember: "Surge", deadNode: "Replace" } },
      { storage: { data: { size: "30Gi" } } },
      { deletionProtection: false, volumeRetention: { whenScaled: "Delete", whenDeleted: "Delete" } },
      { engine: { name: "example", version: "9" } },
      { parameters: { port: "1" } },
    ),
    fate: fc.constantFrom("lives", "deleting", "gone"),
    initializedFor: fc.constantFrom(undefined, "uid-orders", "uid-former"),
    status: fc.constantFrom({}, { initialized: true, leader: "orders-0", epoch: 1 }),
    stateMayHaveGoneBack: fc.boolean(),
  })
  .map(toObservation);

interface Drawn {
  readonly members: MemberView[];
  readonly wanted: number;
  readonly listed: number[] | null;
  readonly switchover: { id: string; from: string | null; to: string | null } | null;
  readonly hook: HookRequest | null;
  readonly operations: unknown[];
  readonly spec: object;
  readonly fate: string;
  readonly initializedFor: string | undefined;
  readonly status: object;
  readonly stateMayHaveGoneBack: boolean;
}

function toObservation(drawn: Drawn): Observation {
  const intent = intentOf({ members: drawn.wanted, ...drawn.spec });
  const identity = { uid: "uid-orders", resourceVersion: "1" };
  const cluster = {
    ...identity,
    namespace: "shop",
    name: "orders",
    generation: 1,
    annotations: {},
    invalid: undefined,
  };
  const members = (drawn.listed ?? []).map((n) => ({
    name: `orders-${n}`,
    host: "h",
    agentPort: 1,
    initPort: 1,
    enginePort: 1,
  }));
  const rest = {
    learners: [],
    bootstrapMember: null,
    initializedFor: drawn.initializedFor,
    durability: intent.durability,
    profile: "Fast",
    maxLagBytes: "1",
    paused: false,
  };
  const requests = { switchover: drawn.switchover, restart: null, rebuild: null, hook: drawn.hook, parameters: {} };
  const observation = {
    nowMs: Date.parse("2030-01-01T00:00:00Z"),
    settings: { agentImage: "quorate/agent:1" },
    namespace: "shop",
    name: "orders",
    cluster:
      drawn.fate === "gone"
        ? undefined
        : { ...cluster, deleting: drawn.fate === "deleting", intent, status: drawn.status },
    engine: hookedEngine,
    members: drawn.members,
    children: new Map(),
    named: {
      hasLease: true,
      lastLeader: "orders-0",
      peerNotAfterMs: 4e12,
      peerHosts: "",
      peerVersion: "1",
      authority: undefined,
      credentialsUid: "c",
      credentialKeys: ["admin", "app"],
      credentialsVersion: "1",
      connections: new Map(),
    },
    intent:
      drawn.listed === null ? undefined : { ...identity, intent: { generation: 1, members, ...rest, ...requests } },
    operations: drawn.operations,
    nodes: new Map([
      ["a", { ready: true, unschedulable: false }],
      ["b", { ready: false, unschedulable: true }],
    ]),
    storageClasses: new Map([["fast", { allowsExpansion: true }]]),
    stateMayHaveGoneBack: drawn.stateMayHaveGoneBack,
  };
  return deepFreeze(observation as unknown as Observation);
}

const RUNS = { numRuns: 400 };

describe("planCluster, whatever is observed,", () => {
  test("answers, and so does the status", () => {
    fc.assert(
      fc.property(anyObservation, (seen) => {
        const plan = planCluster(seen);
        for (const { guard, message, since } of plan.blocked) {
          expect(Object.keys(GUARDS)).toContain(guard);
          expect(message).toMatch(/\.$/);
          expect(since).toMatch(/Z$/);
        }
        expect(plan.requeueAfterMs ?? 1).toBeGreaterThan(0);
        if (seen.cluster !== undefined)
          expect(computeStatus(seen, seen.cluster, plan, undefined).conditions).toBeDefined();
      }),
      RUNS,
    );
  });

  test("answers the same when its lists are in another order", () => {
    fc.assert(
      fc.property(anyObservation, fc.infiniteStream(fc.nat()), (seen, draws) => {
        const shuffle = <T>(items: readonly T[]): T[] =>
          items
            .map((item) => ({ item, at: draws.next().value ?? 0 }))
            .toSorted((a, b) => a.at - b.at)
            .map(({ item }) => item);
        const shuffled = { ...seen, members: shuffle(seen.members), operations: shuffle(seen.operations) };
        expect(planCluster(shuffled)).toEqual(planCluster(seen));
      }),
      RUNS,
    );
  });

  test("deletes nothing while the API server's state may have gone back", () => {
    fc.assert(
      fc.property(anyObservation, (seen) => {
        const plan = planCluster({ ...seen, stateMayHaveGoneBack: true });
        expect(plan.steps.filter((step) => step.kind === "Delete")).toEqual([]);
      }),
      RUNS,
    );
  });

  test("deletes volumes only where it was asked to, or where they are lost or left over", () => {
    fc.assert(
      fc.property(anyObservation, (seen) => {
        const { deletionProtection = true } = seen.cluster?.intent ?? {};
        for (const step of planCluster(seen).steps) {
          if (step.kind !== "Delete" || step.object.kind !== "PersistentVolumeClaim") continue;
          const volume = seen.members.find((m) => m.volume?.name === step.object.name)?.volume;
          const isLeftover = volume?.deleteWith !== undefined && volume.deleteWith !== seen.cluster?.uid;
          const isGone = volume?.homes.some((home) => home.gone === "Deleted") === true;
          expect(!deletionProtection || isLeftover || isGone || volume?.phase === "Lost").toBe(true);
          expect(step.object.uid).toBe(volume?.uid);
        }
      }),
      RUNS,
    );
  });

  test("never writes the Lease, and never lets an empty volume be initialised once a leader has served", () => {
    fc.assert(
      fc.property(anyObservation, (seen) => {
        for (const step of planCluster(seen).steps) {
          if (!("manifest" in step)) continue;
          expect(step.manifest.kind).not.toBe("Lease"); // it exists in all of these
          const text = JSON.stringify(step.manifest["data"] ?? {});
          const known = [seen.intent?.intent?.initializedFor, seen.cluster?.status.initialized && "uid-orders"];
          if (!known.includes("uid-orders") || step.manifest.metadata.name !== "orders-intent") continue;
          expect(text).toContain('bootstrapMember\\":null');
          expect(text).toContain('initializedFor\\":\\"uid-orders'); // and nobody forgets it
        }
      }),
      RUNS,
    );
  });

  test("asks for one switchover at a time, and only of the leader", () => {
    fc.assert(
      fc.property(anyObservation, (seen) => {
        const applied = planCluster(seen).steps.find(
          (s) => s.kind === "Apply" && s.manifest.metadata.name === "orders-intent",
        );
        if (applied?.kind !== "Apply") return;
        const data = applied.manifest["data"] as Record<string, string>;
        const { switchover } = JSON.parse(data["intent.json"] ?? "") as {
          switchover: { id: string; from: string } | null;
        };
        if (switchover === null || switchover.id === seen.intent?.intent?.switchover?.id) return;
        const from = seen.members.find((m) => m.name === switchover.from)?.pod?.report;
        expect(from).toMatchObject({ role: "leader", state: "Running" });
      }),
      RUNS,
    );
  });
});
