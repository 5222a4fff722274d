import { describe, expect, test } from "vitest";
import { SyncSet } from "../../../src/api/agent-wire.ts";
import { deadlineSeconds } from "../../../src/api/cluster-operation.ts";
import { parseClusterOperation, parseClusterSpec, parseEngine, parseText } from "../../../src/api/parse.ts";
import { TerminalError } from "../../../src/errors.ts";

const minimal = {
  apiVersion: "quorate.io/v1alpha1",
  kind: "ClusterSpec",
  metadata: { name: "orders", namespace: "shop" },
  spec: { engine: { name: "postgres" } },
};

/** The error that a call ends in. */
function errorOf(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error;
  }
  throw new Error("the call did not throw");
}

describe("parseClusterSpec", () => {
  test("fills in the defaults that the API server fills in", () => {
    expect(parseClusterSpec(minimal).spec).toEqual({
      engine: { name: "postgres" },
      topology: "ActivePassive",
      accounts: [],
      members: 3,
      storage: { data: { size: "10Gi" } },
      durability: { mode: "Quorum", whenDegraded: "Block" },
      failover: { profile: "Standard", maxLag: "1Mi" },
      update: {
        agents: "WithPods",
        strategy: "Rolling",
        maxUnavailable: 1,
        minReadySeconds: 10,
        partition: 0,
        pending: "OnApproval",
        jitterSeconds: 0,
        switchoverDeadlineSeconds: 60,
        onSwitchoverFailure: "Block",
        progressDeadlineSeconds: 600,
        onFailure: "Rollback",
        canary: { members: 1, bakeSeconds: 300, promotion: "Automatic", analysis: [] },
      },
      parameters: {},
      maintenanceWindows: [],
      volumeRetention: { whenDeleted: "Retain", whenScaled: "Retain" },
      deletionProtection: true,
      disruption: { singleMember: "Allow", deadNode: "Wait" },
      paused: false,
      stopped: false,
      pods: { antiAffinity: "Preferred", topologyKey: "topology.kubernetes.io/zone" },
      services: { readWrite: { type: "ClusterIP" }, readOnly: { type: "ClusterIP" }, read: { type: "ClusterIP" } },
    });
  });

  test("gives quantities as strings, however they were written", () => {
    const resources = { requests: { cpu: 2, memory: "1Gi" }, limits: { memory: 2147483648 } };
    const { spec } = parseClusterSpec({ ...minimal, spec: { ...minimal.spec, resources } });
    expect(spec.resources).toEqual({ requests: { cpu: "2", memory: "1Gi" }, limits: { memory: "2147483648" } });
  });

  test("leaves out fields of a newer version", () => {
    expect(parseClusterSpec({ ...minimal, spec: { ...minimal.spec, tiers: {} } }).spec).not.toHaveProperty("tiers");
  });

  test("keeps metadata that it does not know", () => {
    const metadata = { ...minimal.metadata, finalizers: ["x"] };
    expect(parseClusterSpec({ ...minimal, metadata }).metadata).toEqual(metadata);
  });

  test("names every wrong field and the object", () => {
    const spec = { engine: {}, members: 0, storage: { data: { size: "ten" } } };
    const error = errorOf(() => parseClusterSpec({ ...minimal, spec }));
    expect(error).toBeInstanceOf(TerminalError);
    expect(error).toMatchObject({
      reason: "InvalidObject",
      object: "ClusterSpec shop/orders",
      message:
        "Invalid fields (spec.engine.name: Invalid input: expected string, received undefined; " +
        "spec.members: Too small: expected number to be >=1; " +
        "spec.storage.data.size: expected a quantity such as 10Gi, 500m or 2): ClusterSpec shop/orders",
    });
  });

  test.each([
    { why: "nothing at all", object: undefined, named: "object" },
    { why: "a text", object: "ClusterSpec", named: "object" },
    { why: "a kind that is a number", object: { kind: 1, metadata: { name: "x" } }, named: "object x" },
  ])("survives $why", ({ object, named }) => {
    expect(errorOf(() => parseClusterSpec(object))).toMatchObject({ reason: "InvalidObject", object: named });
  });

  test("counts what would make the message too long", () => {
    const tolerations = Array.from({ length: 12 }, () => ({ key: 1 }));
    const error = errorOf(() => parseClusterSpec({ ...minimal, spec: { ...minimal.spec, pods: { tolerations } } }));
    expect(String(error)).toContain(
      "spec.pods.tolerations[7].key: Invalid input: expected string, received number; and 4 more)",
    );
  });
});

test("parseEngine names the engine", () => {
  expect(errorOf(() => parseEngine({ kind: "Engine", metadata: { name: "postgres" } }))).toMatchObject({
    object: "Engine postgres",
  });
});

test.each([
  [{ type: "Switchover" }, 300],
  [{ type: "Backup" }, 86_400],
  [{ type: "Verify" }, 86_400],
  [{ type: "Backup", deadlineSeconds: 60 }, 60],
])("the deadline of %j is after %i s", (spec, seconds) => {
  const operation = parseClusterOperation({
    apiVersion: "quorate.io/v1alpha1",
    kind: "ClusterOperation",
    metadata: { name: "once" },
    spec: { clusterName: "orders", ...spec },
  });
  expect(deadlineSeconds(operation.spec)).toBe(seconds);
});

describe("parseText", () => {
  const where = "annotation quorate.io/sync of Lease orders";

  test("says where text that is no JSON was read from", () => {
    expect(errorOf(() => parseText(SyncSet, "{", where))).toMatchObject({
      reason: "InvalidText",
      message: `${where} is not JSON`,
    });
  });

  test("names the field that is wrong", () => {
    expect(String(errorOf(() => parseText(SyncSet, `{"names":[1],"ack":0}`, where)))).toContain(
      `${where} is not as expected (names[0]: Invalid input: expected string, received number`,
    );
  });
});
