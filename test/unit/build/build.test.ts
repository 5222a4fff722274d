// Builders are tables: a context in, one manifest out, always the same bytes.
import { RevisionNote } from "../../../src/api/revision-note.ts";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parametersInForce } from "../../../src/agent/parameters.ts";
import { readRestartParameters } from "../../../src/agent/settings.ts";
import { nameOf } from "../../../src/api/names.ts";
import { buildAccess } from "../../../src/build/access.ts";
import { buildBudget } from "../../../src/build/budget.ts";
import { buildEngineFiles, buildIntent, buildIntentConfigMap, buildLease } from "../../../src/build/config.ts";
import { canonicalJson, contentHash } from "../../../src/build/hash.ts";
import type { Manifest } from "../../../src/build/manifest.ts";
import { buildPodTemplate } from "../../../src/build/pod-template.ts";
import { formatBytes, formatCpu, parseQuantity } from "../../../src/build/quantity.ts";
import { buildRevision, parseRevision, pinnedTemplate, renderRevision } from "../../../src/build/revision.ts";
import { buildEndpointSlices, buildNetworkPolicy, buildServices } from "../../../src/build/services.ts";
import { buildStatefulSet, revisionOf } from "../../../src/build/stateful-set.ts";
import { buildFreshVolume, buildVolume } from "../../../src/build/volume.ts";
import { contextOf } from "../plan/fixture.ts";

const STATE = {
  generation: 7,
  members: ["orders-0", "orders-1"],
  learners: [],
  bootstrapMember: "orders-0",
  initialized: false,
  switchover: null,
  restart: null,
  rebuild: null,
  hook: null,
};

function everything(spec: object = {}): Manifest[] {
  const context = contextOf(spec);
  const members = ["orders-0", "orders-1"];
  return [
    ...buildAccess(context, members),
    ...buildServices(context),
    ...buildEndpointSlices(context),
    buildNetworkPolicy(context),
    buildBudget(context, members.length),
    buildEngineFiles(context),
    buildIntentConfigMap(context, buildIntent(context, STATE)),
    buildLease(context),
    buildFreshVolume(context, "orders-0"),
    buildStatefulSet(context, "orders-0"),
  ];
}

interface PodSpec {
  readonly containers: readonly {
    readonly resources: object;
    readonly env: readonly { name: string; value?: string }[];
  }[];
  readonly affinity: { readonly podAntiAffinity: object };
  readonly tolerations?: readonly object[];
}

function podSpecOf(spec: object): PodSpec {
  const { template } = buildStatefulSet(contextOf(spec), "orders-0")["spec"] as { template: { spec: PodSpec } };
  return template.spec;
}

test("all manifests of a cluster, as they are sent", async () => {
  const text = `${everything()
    .map((manifest) => JSON.stringify(manifest, null, 1))
    .join("\n")}\n`;
  await expect(text).toMatchFileSnapshot("manifests.golden.txt");
});

test("the same cluster gives the same bytes, whatever the order of its keys", () => {
  const one = { parameters: { a: "1", b: "2" }, pods: { labels: { x: "1", y: "2" } } };
  const other = { pods: { labels: { y: "2", x: "1" } }, parameters: { b: "2", a: "1" } };
  expect(everything(one).map(canonicalJson)).toEqual(everything(other).map(canonicalJson));
});

test("the template hash is pinned: changing it asks the users of every cluster to accept a rollout", () => {
  expect(revisionOf(contextOf()).templateHash).toBe("9d17de6443ccad82");
});

test.each([
  [{}, "323816246f4043e0"],
  [{ resources: { requests: { memory: "1Gi" } } }, "cb79f276b824aec5"],
  [
    { engine: { name: "example", version: "2" }, pods: { labels: { a: "b" } }, parameters: { size: "12" } },
    "20299b3384cd0a6c",
  ],
])(
  "the input hash is pinned: changing it restarts every cluster with the next version of the operator",
  (spec, hash) => {
    expect(revisionOf(contextOf(spec)).inputHash).toBe(hash);
  },
);

describe("revisions", () => {
  const base = revisionOf(contextOf());
  test.each([
    ["another version", { engine: { name: "example", version: "2" } }],
    ["another image", { engine: { name: "example", image: "other" } }],
    ["more memory", { resources: { requests: { memory: "2Gi" } } }],
    ["a pod label", { pods: { labels: { team: "a" } } }],
    ["a toleration", { pods: { tolerations: [{ key: "spot", operator: "Exists" }] } }],
    ["a parameter that needs a restart", { parameters: { size: "20" } }],
  ])("%s is the user's change", (_why, spec) => {
    const changed = revisionOf(contextOf(spec));
    expect(changed.inputHash).not.toBe(base.inputHash);
    expect(changed.templateHash).not.toBe(base.templateHash);
  });

  test.each([
    ["more members", { members: 5 }],
    ["a reloadable parameter", { parameters: { verbosity: "3" } }],
    ["a larger volume", { storage: { data: { size: "20Gi" } } }],
    ["another profile", { failover: { profile: "Fast" } }],
    ["a service annotation", { services: { annotations: { a: "b" } } }],
  ])("%s restarts nothing", (_why, spec) => {
    expect(revisionOf(contextOf(spec))).toEqual(base);
  });

  test("another agent image is the operator's change", () => {
    const changed = revisionOf(contextOf({}, "quorate/agent:2"));
    expect(changed.inputHash).toBe(base.inputHash);
    expect(changed.templateHash).not.toBe(base.templateHash);
  });

  test("a collector of traces is the operator's change: agents get the memory that sending takes with the next roll", () => {
    const context = contextOf({ resources: { requests: { memory: "1Gi" }, limits: { memory: "1Gi" } } });
    const settings = { ...context.settings, tracesUrl: "http://collector:4318" };
    const [without, sending] = [context, { ...context, settings }].map((one) => ({
      ...revisionOf(one),
      spec: buildPodTemplate(one, "orders-0").spec as unknown as PodSpec,
    }));
    expect(sending?.inputHash).toBe(without?.inputHash);
    expect(sending?.templateHash).not.toBe(without?.templateHash);
    expect(without?.spec.containers[0]?.resources).toMatchObject({ limits: { memory: "1088Mi" } });
    expect(sending?.spec.containers[0]?.resources).toMatchObject({
      requests: { memory: "1112Mi" },
      limits: { memory: "1112Mi" },
    });
  });

  test("a pinned StatefulSet keeps template and revision", () => {
    const pinned = { templateHash: "t", inputHash: "i", template: { spec: "as it was" } };
    const set = buildStatefulSet(contextOf(), "orders-0", { pinned });
    expect(set["spec"]).toMatchObject({ template: { spec: "as it was" }, replicas: 1 });
    expect(set.metadata.annotations).toMatchObject({ "quorate.io/template-hash": "t", "quorate.io/input-hash": "i" });
  });
});

test("a recorded revision gives every member the template that it was rendered with", () => {
  const note = RevisionNote.parse({ state: "Good", startedAt: "", failures: 0, reason: "", promoted: "None" });
  const context = contextOf({ pods: { annotations: { owner: "orders-0" } } });
  const record = parseRevision(buildRevision(context, renderRevision(context, note)));
  if (record === undefined) throw new Error("not read back");
  for (const member of ["orders-0", "orders-1"]) {
    const { template } = pinnedTemplate(record, member);
    expect(canonicalJson(template)).toBe(canonicalJson(buildPodTemplate(context, member)));
  }
  expect(record).toMatchObject({ ...revisionOf(context), note });
});

describe("parameters", () => {
  const spec = { parameters: { size: "20", verbosity: "3" } };

  test("that need a restart come with the pod, the others with the intent: no member takes a value of another revision", () => {
    const variables = podSpecOf(spec).containers[0]?.env.filter((e) => e.name.startsWith("QUORATE_PARAMETER_"));
    expect(variables).toEqual([{ name: "QUORATE_PARAMETER_size", value: "20" }]);
    expect(buildIntent(contextOf(spec), STATE).parameters).toEqual({ verbosity: "3" });
  });

  test("reach the agent as they were written, whatever the kubelet expands in a variable", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom("$", "(", ")", "QUORATE_POD", "a") }), (size) => {
        const variables = podSpecOf({ parameters: { size } }).containers[0]?.env ?? [];
        const env = Object.fromEntries(variables.map(({ name, value = "" }) => [name, expandedByKubelet(value)]));
        expect(readRestartParameters(env)).toEqual({ size });
      }),
    );
  });

  test("that came with the pod are not replaced by the intent's", () => {
    expect(parametersInForce({ parameters: { size: "20", verbosity: "3" } }, { size: "10" })).toEqual({
      size: "10",
      verbosity: "3",
    });
  });
});

/** What the kubelet makes of a variable's value; see k8s.io/kubernetes/third_party/forked/golang/expansion. */
function expandedByKubelet(value: string): string {
  return value.replaceAll(/\$(\$|\(([^)]*)\))/g, (text, after: string) => (after === "$" ? "$" : `expanded ${text}`));
}

describe("resources", () => {
  test.each([
    ["the Engine's when none are given", {}, { requests: { cpu: "250m", memory: "576Mi" } }],
    [
      "the agent's share on top",
      { resources: { requests: { cpu: "0.5", memory: "1Gi" }, limits: { memory: "2Gi" } } },
      { requests: { cpu: "500m", memory: "1088Mi" }, limits: { memory: "2112Mi" } },
    ],
    [
      "a limit alone is a request, too",
      { resources: { limits: { cpu: "2", memory: "1G" } } },
      { requests: { cpu: "250m", memory: "1067108864" }, limits: { cpu: "2", memory: "1067108864" } },
    ],
  ])("%s", (_why, spec, want) => {
    expect(podSpecOf(spec).containers[0]?.resources).toEqual(want);
  });

  test("tell the engine its memory without the agent's share", () => {
    const env = podSpecOf({ resources: { requests: { memory: "1Gi" } } }).containers[0]?.env;
    expect(env?.find((e) => e.name === "QUORATE_MEMORY_BYTES")?.value).toBe(String(2 ** 30));
  });
});

describe("placement", () => {
  test("never two members on a node when required", () => {
    const { podAntiAffinity } = podSpecOf({ pods: { antiAffinity: "Required" } }).affinity;
    expect(Object.keys(podAntiAffinity)).toEqual(["requiredDuringSchedulingIgnoredDuringExecution"]);
  });

  test("keeps the cluster's own tolerations for lost nodes", () => {
    expect(podSpecOf({}).tolerations).toBeUndefined(); // admission adds not-ready and unreachable, 300 s each
  });
});

describe("what users add to pods and Services", () => {
  interface Pod {
    readonly affinity: { readonly nodeAffinity?: unknown };
    readonly imagePullSecrets?: unknown;
    readonly containers: readonly { readonly env: readonly { readonly name: string; readonly value?: string }[] }[];
  }
  const podOf = (spec: object) => buildPodTemplate(contextOf(spec), "orders-0").spec as unknown as Pod;

  test("is there, and nothing else changes", () => {
    const requirement = { key: "disk", operator: "In", values: ["ssd"] };
    const pods = {
      nodeRequirements: [requirement],
      imagePullSecrets: [{ name: "registry" }],
      env: [{ name: "TZ", value: "$(HOME)" }],
    };
    const pod = podOf({ pods });
    expect(pod.imagePullSecrets).toEqual([{ name: "registry" }]);
    expect(pod.affinity.nodeAffinity).toEqual({
      requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions: [requirement] }] },
    });
    expect(pod.containers[0]?.env.at(-1)).toEqual({ name: "TZ", value: "$$(HOME)" });
    const plain = podOf({});
    expect({ ...pod, affinity: undefined, imagePullSecrets: undefined, containers: undefined }).toEqual({
      ...plain,
      affinity: undefined,
      imagePullSecrets: undefined,
      containers: undefined,
    });
  });

  test("exposes each client Service by itself, and never the members'", () => {
    const services = {
      annotations: { "example.com/all": "1" },
      readWrite: {
        type: "LoadBalancer",
        loadBalancerClass: "example.com/internal",
        loadBalancerSourceRanges: ["203.0.113.0/24"],
        annotations: { "example.com/rw": "2" },
      },
    };
    const built = buildServices(contextOf({ services })).map(({ metadata, spec }) => {
      const { type, loadBalancerClass } = spec as { readonly type: string; readonly loadBalancerClass?: string };
      const annotations = Object.keys(metadata.annotations ?? {}).filter((key) => key.startsWith("example.com/"));
      return { name: metadata.name, type, loadBalancerClass, annotations };
    });
    const both = ["example.com/all", "example.com/rw"];
    expect(built).toEqual([
      { name: "orders-rw", type: "LoadBalancer", loadBalancerClass: "example.com/internal", annotations: both },
      { name: "orders-ro", type: "ClusterIP", loadBalancerClass: undefined, annotations: ["example.com/all"] },
      { name: "orders-r", type: "ClusterIP", loadBalancerClass: undefined, annotations: ["example.com/all"] },
      { name: "orders-members", type: "ClusterIP", loadBalancerClass: undefined, annotations: [] },
    ]);
  });
});

describe("budget", () => {
  test.each([
    [1, 0],
    [2, 1],
    [3, 2],
    [5, 4],
  ])("of %i members keeps %i", (members, minAvailable) => {
    expect(buildBudget(contextOf(), members)["spec"]).toMatchObject({ minAvailable });
  });

  test.each([
    ["Allow", 0],
    ["Block", 1],
    ["Surge", 1],
  ])("of a single member with %s keeps %i", (singleMember, minAvailable) => {
    const context = contextOf({ members: 1, disruption: { singleMember } });
    expect(buildBudget(context, 1)["spec"]).toMatchObject({ minAvailable });
    expect(buildBudget(context, 2)["spec"]).toMatchObject({ minAvailable: 1 }); // while it surges
  });
});

describe("volumes", () => {
  const live = { clusterUid: "uid-orders", requestedBytes: 20 * 2 ** 30, className: "fast" };

  test("never shrink, and never change their class", () => {
    expect(buildVolume(contextOf(), "orders-0", live, 1)["spec"]).toMatchObject({
      storageClassName: "fast",
      resources: { requests: { storage: "20Gi" } },
    });
  });

  test("of an earlier cluster are not claimed as ours", () => {
    const former = { ...live, clusterUid: "uid-former" };
    const { annotations } = buildVolume(contextOf(), "orders-0", former, 1).metadata;
    expect(annotations).toEqual({ "quorate.io/cluster-uid": "uid-former" });
  });

  test.each([
    [{}, false],
    [{ volumeRetention: { whenDeleted: "Delete" } }, false],
    [{ volumeRetention: { whenDeleted: "Delete" }, deletionProtection: false }, true],
  ])("go with their cluster only when not protected: %j", (spec, goes) => {
    const { annotations = {} } = buildVolume(contextOf(spec), "orders-0", live, 1).metadata;
    expect("quorate.io/delete-with" in annotations).toBe(goes);
  });

  test("have no owner", () => {
    expect(buildFreshVolume(contextOf(), "orders-0").metadata.ownerReferences).toBeUndefined();
  });
});

test("members may not create Leases, and may touch only what is named", () => {
  const role = buildAccess(contextOf(), ["orders-0"]).find((manifest) => manifest.kind === "Role");
  const rules = role?.["rules"] as { resources: string[]; resourceNames?: string[]; verbs: string[] }[];
  const lease = rules.find((rule) => rule.resources.includes("leases"));
  expect(lease?.verbs).not.toContain("create");
  expect(rules.filter((rule) => rule.resourceNames === undefined).map((rule) => rule.resources)).toEqual([["events"]]);
  expect(rules.flatMap((rule) => rule.resourceNames ?? [])).toContain(nameOf.pod("orders-0"));
});

describe("quantities", () => {
  test.each([
    ["1Gi", 2 ** 30],
    ["1.5Gi", 1.5 * 2 ** 30],
    ["500m", 0.5],
    ["10G", 1e10],
    ["7", 7],
  ])("%s is %d", (text, value) => {
    expect(parseQuantity(text)).toBe(value);
  });

  test.each([
    [2 ** 30, "1Gi"],
    [2 ** 30 + 64 * 2 ** 20, "1088Mi"],
    [1000, "1000"],
    [0, "0"],
  ])("%d bytes are %s", (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });

  test.each([
    [0.5, "500m"],
    [0.07, "70m"],
    [2, "2"],
    [0.0001, "1m"],
  ])("%d cores are %s", (cores, text) => {
    expect(formatCpu(cores)).toBe(text);
  });

  test("refuses what is none", () => {
    expect(() => parseQuantity("1 Gi")).toThrow(TypeError);
  });
});

describe("hashes", () => {
  test("are equal for equal content and differ for different content", () => {
    expect(contentHash({ a: 1, b: [1, 2] })).toBe(contentHash({ b: [1, 2], a: 1, c: undefined }));
    expect(contentHash({ a: 1, b: [1, 2] })).not.toBe(contentHash({ a: 1, b: [2, 1] }));
  });

  test("spread: no two of 20,000 short texts collide, in neither half", () => {
    const hashes = Array.from({ length: 20_000 }, (_, i) => contentHash(`orders-${i}`));
    expect(new Set(hashes).size).toBe(hashes.length);
    expect(new Set(hashes.map((hash) => hash.slice(0, 8))).size).toBeGreaterThan(19_990);
    expect(new Set(hashes.map((hash) => hash.slice(8))).size).toBeGreaterThan(19_990);
  });
});
