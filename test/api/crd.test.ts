// The CRDs against a real API server: accepted, defaulted, and every rule refuses with its own message.
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { objectSchema } from "../../hack/generate/crd.ts";
import { KINDS } from "../../hack/generate/kinds.ts";
import type { StructuralSchema } from "../../hack/generate/structural-schema.ts";
import { parseClusterSpec } from "../../src/api/parse.ts";
import { apiStatusOf } from "../../src/kube/api-error.ts";
import type { KubeClient } from "../../src/kube/client.ts";
import type { KubeObject } from "../../src/kube/object.ts";
import {
  clusterCreations,
  minimalCluster,
  type NamedObject,
  operation,
  updates as otherUpdates,
  withoutValue,
} from "./crd-cases.ts";
import { engineCreations } from "./engine-cases.ts";
import { LOOSE, LOOSENING, setAt } from "./loosening.ts";
import { checkout, objectiveCreations } from "./objective-cases.ts";
import { operationCreations } from "./operation-cases.ts";
import { type ControlPlane, startControlPlane } from "./harness.ts";
import { shardingCreations, shardingUpdates } from "./sharding-cases.ts";
import { statelessCreations } from "./stateless-cases.ts";

const creations = [
  ...clusterCreations,
  ...engineCreations,
  ...objectiveCreations,
  ...operationCreations,
  ...shardingCreations,
  ...statelessCreations,
];
const updates = [...otherUpdates, ...shardingUpdates];
const root = join(import.meta.dirname, "../..");

let plane: ControlPlane;
let client: KubeClient;

beforeAll(async () => {
  plane = await startControlPlane();
  await plane.kubectl("apply", "--server-side", "-k", join(root, "crds"));
  await plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s");
  client = await plane.client();
});

afterAll(async () => {
  client?.close();
  await plane?.stop();
});

/** What the API server says to a call that it must refuse. */
async function refusal(call: Promise<unknown>): Promise<string> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  const status = apiStatusOf(error);
  if (status === undefined) throw new Error("the API server accepted it", { cause: error });
  return withoutValue(status.message);
}

/** Deletes what a test created. */
async function withObject<T>(object: NamedObject, use: () => Promise<T>): Promise<T> {
  await client.create(object);
  try {
    return await use();
  } finally {
    await client.delete({ ...object, ...object.metadata });
  }
}

/** All messages of CEL rules in a schema. */
function messagesOf(schema: StructuralSchema): string[] {
  const inner = [...Object.values(schema.properties ?? {}), schema.items, schema.additionalProperties];
  return [
    ...(schema["x-kubernetes-validations"] ?? []).map(({ message }) => message),
    ...inner.filter((child) => child !== undefined).flatMap(messagesOf),
  ];
}

test("every rule has a case below", () => {
  const said = [...creations, ...updates].map(({ says }) => says);
  const rules = new Set(KINDS.flatMap((kind) => messagesOf(objectSchema(kind))));
  expect([...rules].filter((rule) => !said.some((says) => says.includes(rule)))).toEqual([]);
});

describe("refused when created", () => {
  test.each(creations)("$why", async ({ object, says }) => {
    expect(await refusal(client.create(object, { dryRun: true }))).toBe(says);
  });
});

describe("refused when changed", () => {
  test.each(updates)("$why", async ({ object, patch, says }) => {
    const ref = { ...object, ...object.metadata };
    expect(await withObject(object, () => refusal(client.mergePatch(ref, patch, { dryRun: true })))).toBe(says);
  });
});

test("nothing that would loosen pods can be asked for: each such field is refused by its name", async () => {
  const spec: Record<string, unknown> = {};
  for (const path of LOOSENING) setAt(spec, path, LOOSE[path.at(-1) ?? ""] ?? true);
  const object = minimalCluster(spec);
  const file = join(plane.folder, "loose.json");
  await writeFile(file, JSON.stringify(object));
  const said = await plane.kubectl("create", "--dry-run=server", "-f", file).then(
    () => "accepted",
    (error: unknown) => String(error),
  );
  const named = LOOSENING.map((path) => ["spec", ...path].join(".").replaceAll(".0.", "[0]."));
  expect(named.filter((path) => !said.includes(`unknown field "${path}"`))).toEqual([]);
});

describe("accepted", () => {
  test("sizes that grow, in other units too", async () => {
    const object = minimalCluster({ storage: { data: { size: "1Gi" } } });
    const changed = await withObject(object, () =>
      client.mergePatch<KubeObject>(
        { ...object, ...object.metadata },
        { spec: { storage: { data: { size: "2048Mi" } } } },
      ),
    );
    expect(changed).toMatchObject({ spec: { storage: { data: { size: "2048Mi" } } } });
  });

  test("volumes that go with the cluster, once they are not protected", async () => {
    const spec = { deletionProtection: false, volumeRetention: { whenDeleted: "Delete", whenScaled: "Delete" } };
    expect(await client.create(minimalCluster(spec), { dryRun: true })).toMatchObject({ spec });
  });

  test("quantities without quotes", async () => {
    const resources = { requests: { cpu: 1 }, limits: { cpu: 2, memory: 1073741824 } };
    expect(await client.create(minimalCluster({ resources }), { dryRun: true })).toMatchObject({ spec: { resources } });
  });

  test("objectives without a word about them, with defaults that hold", async () => {
    const slo = {
      window: "30d",
      dataPlane: { availabilityPercent: "99.9" },
      controlPlane: {},
      whenExhausted: "Freeze",
    };
    expect(await client.create(minimalCluster({ slo: {} }), { dryRun: true })).toMatchObject({ spec: { slo } });
  });

  test.each(["ActivePassive", "Stateless"])("objectives of the user's own in topology %s", async (topology) => {
    const objectives = [checkout, { name: "quick", targetPercent: "95", badRatioQuery: "slow:ratio$(WINDOW)" }];
    expect(await client.create(minimalCluster({ topology, slo: { objectives } }), { dryRun: true })).toMatchObject({
      spec: { slo: { objectives } },
    });
  });

  test.each(["0 3 * * 6", "*/15 1-5 1,15 JAN-MAR MON-FRI", "0-30/10 */2 * * 7"])("windows at '%s'", async (cron) => {
    const maintenanceWindows = [{ name: "w", cron, timeZone: "UTC", durationMinutes: 60 }];
    expect(await client.create(minimalCluster({ maintenanceWindows }), { dryRun: true })).toMatchObject({
      spec: { maintenanceWindows },
    });
  });

  test("analyses by measure and by query", async () => {
    const analysis = [
      { name: "restarts", measure: "Restarts", max: "0", overSeconds: 60 },
      { name: "errors", query: 'max(errors{pod=~"$(PODS)"})', maxRatio: "1.5", ignoreUpTo: "3", overSeconds: 60 },
    ];
    const update = { strategy: "Canary", canary: { analysis } };
    expect(await client.create(minimalCluster({ update }), { dryRun: true })).toMatchObject({ spec: { update } });
  });

  test("a switchover that leaves the choice of the new leader open", async () => {
    const object = operation({ type: "Switchover" });
    expect(await client.create(object, { dryRun: true })).toMatchObject({ spec: { type: "Switchover" } });
  });

  test("a cluster that says no more what it began with", async () => {
    const backup = { s3: { endpoint: "https://store.example", bucket: "copies", secretName: "store" } };
    const restored = minimalCluster({ backup, restore: { path: "shop/orders/20261128T000000Z-nightly" } }, "restored");
    const ref = { ...restored, ...restored.metadata };
    const patched = await withObject(restored, () =>
      client.mergePatch<KubeObject>(ref, { spec: { restore: null } }, { dryRun: true }),
    );
    expect(patched).not.toHaveProperty("spec.restore");
  });
});

test("the API server fills in the defaults that parsing fills in", async () => {
  const created = await client.create(minimalCluster(), { dryRun: true });
  expect(created).toHaveProperty("spec", parseClusterSpec(minimalCluster()).spec);
});

describe("strict field validation", () => {
  test.each([
    { field: "spec.engin", spec: { engine: { name: "postgres" }, engin: 1 } },
    { field: "spec.storage.data.sizes", spec: { engine: { name: "postgres" }, storage: { data: { sizes: "1Gi" } } } },
    {
      field: "spec.pods.tolerations[0].ky",
      spec: { engine: { name: "postgres" }, pods: { tolerations: [{ ky: "a" }] } },
    },
  ])("refuses the unknown field $field", async ({ field, spec }) => {
    const applied = plane.apply(JSON.stringify({ ...minimalCluster(), spec }));
    const unknown =
      field
        .split(".")
        .at(-1)
        ?.replace(/.*\]\./, "") ?? "";
    await expect(applied).rejects.toThrow(unknown);
    await expect(applied).rejects.toThrow(/field not declared in schema|unknown field/);
  });
});

describe("kubectl", () => {
  const object = minimalCluster({ engine: { name: "postgres", version: "15" } });
  const ref = { ...object, ...object.metadata };
  const status = {
    observedGeneration: 1,
    readyMembers: 2,
    readyRatio: "2/3",
    leader: "orders-1",
    epoch: 7,
    change: "Cloning orders-2",
    blocked: [{ guard: "QuorumKept", object: "orders-1", message: "Too few.", since: "2026-11-24T13:00:00Z" }],
    budgetLeft: ">=75%",
    selector: "quorate.io/cluster=orders",
    conditions: [
      {
        type: "Ready",
        status: "False",
        reason: "MembersNotReady",
        message: "2 of 3 members are ready.",
        lastTransitionTime: "2026-11-24T13:00:00Z",
      },
    ],
  };

  /** Cells of a printed table, split where two or more blanks are. */
  async function printed(...args: string[]): Promise<string[][]> {
    const text = await plane.kubectl("get", ...args);
    return text
      .trimEnd()
      .split("\n")
      .map((line) => line.trim().split(/\s{2,}/));
  }

  beforeAll(async () => {
    await client.create(object);
    await client.mergePatch(ref, { status }, { subresource: "status" });
  });
  afterAll(() => client.delete(ref));

  test("get qcs prints what a person wants to know", async () => {
    const [header, row] = await printed("qcs");
    expect(header).toEqual([
      "NAME",
      "TOPOLOGY",
      "ENGINE",
      "READY",
      "LEADER",
      "CHANGE",
      "BLOCKED",
      "SLO",
      "STATUS",
      "AGE",
    ]);
    expect(row?.slice(0, 9)).toEqual([
      "orders", "ActivePassive", "postgres", "2/3", "orders-1", "Cloning orders-2", "QuorumKept", ">=75%", "MembersNotReady",
    ]); // biome-ignore format: one row
  });

  test("get -o wide adds epoch and version", async () => {
    const [header, row] = await printed("quorate", "-o", "wide");
    expect(header?.slice(-2)).toEqual(["EPOCH", "VERSION"]);
    expect(row?.slice(-2)).toEqual(["7", "15"]);
  });

  test("get all lists no cluster, so that delete all deletes none", async () => {
    expect(await plane.kubectl("get", "all")).not.toContain("orders");
  });

  test.each(["spec.engine.name=postgres", "spec.topology=ActivePassive"])("selects by %s", async (selector) => {
    expect(await plane.kubectl("get", "qcs", "-o", "name", "--field-selector", selector)).toBe(
      "clusterspec.quorate.io/orders\n",
    );
    const other = `${selector.split("=")[0]}=other`;
    expect(await plane.kubectl("get", "qcs", "-o", "name", "--field-selector", other)).toBe("");
  });

  test("scale changes members, and reads ready members and selector", async () => {
    await plane.kubectl("scale", "qcs", "orders", "--replicas=5");
    expect(await client.get(ref)).toMatchObject({ spec: { members: 5 } });
    const scale: unknown = JSON.parse(
      await plane.kubectl("get", "--raw", "/apis/quorate.io/v1alpha1/namespaces/default/clusterspecs/orders/scale"),
    );
    expect(scale).toMatchObject({
      spec: { replicas: 5 },
      status: { replicas: 2, selector: "quorate.io/cluster=orders" },
    });
  });

  test("scale obeys the limits of members", async () => {
    await expect(plane.kubectl("scale", "qcs", "orders", "--replicas=9")).rejects.toThrow(
      "members must be at most 5 where members hold data: lower members",
    );
  });

  test("explain shows the manual", async () => {
    expect(await plane.kubectl("explain", "qcs.spec.durability.mode")).toContain(
      "mode says when a write is acknowledged",
    );
  });

  test("status does not change through the object itself, nor spec through status", async () => {
    await client.mergePatch(ref, { status: { leader: "nobody" } });
    await client.mergePatch(ref, { spec: { paused: true } }, { subresource: "status" });
    expect(await client.get(ref)).toMatchObject({ spec: { paused: false }, status: { leader: "orders-1" } });
  });
});

test("the built-in engines are accepted", async () => {
  const files = (await readdir(join(root, "engines"))).filter((name) => name.endsWith(".yaml"));
  expect(files).not.toEqual([]);
  for (const file of files)
    await plane.kubectl("apply", "--server-side", "--dry-run=server", "-f", join(root, "engines", file));
});
