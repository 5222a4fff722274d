/**
 * One trace from a change of a ClusterSpec to what engines are told, by way of a real OpenTelemetry Collector. The operator looks after
 * a ClusterSpec whose pods nobody starts; real members follow what it wrote on the intent, which this test passes on to them.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { pino } from "pino";
import { afterAll, beforeAll, expect, test } from "vitest";
import { API_VERSION, nameOf } from "../../src/api/names.ts";
import { Controller } from "../../src/controller/controller.ts";
import type { KubeClient } from "../../src/kube/client.ts";
import type { KubeObject } from "../../src/kube/object.ts";
import { openTracer, type Tracer } from "../../src/telemetry/tracer.ts";
import { type Collector, startCollector } from "../../hack/scenario/collector.ts";
import { pause, until } from "../../hack/scenario/shell.ts";
import type { ArrivedSpan } from "../../hack/scenario/span-inbox.ts";
import { MemberCluster, type TestMember } from "./harness.ts";
import { ClusterRegistry } from "../../src/telemetry/cluster-registry.ts";

const ROOT = join(import.meta.dirname, "../..");
/** Where the operator's ClusterSpec is: the members' own objects have the same names. */
const NAMESPACE = "operated";
const SPEC = { apiVersion: API_VERSION, kind: "ClusterSpec", namespace: NAMESPACE, name: "orders" } as const;
const INTENT = { apiVersion: "v1", kind: "ConfigMap", namespace: NAMESPACE, name: nameOf.intent("orders") };

let collector: Collector;
let cluster: MemberCluster;
let tracer: Tracer;
let api: KubeClient;
const stop = new AbortController();
let operating: Promise<unknown> = Promise.resolve();

beforeAll(async () => {
  collector = await startCollector();
  cluster = await MemberCluster.create(3);
  await cluster.want({ profile: "Standard" }); // elections of their own are not what is tried here
  const { plane } = cluster;
  await plane.kubectl("create", "namespace", NAMESPACE);
  await plane.kubectl("apply", "--server-side", "-k", join(ROOT, "crds"));
  await plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s");
  await plane.apply(await readFile(join(ROOT, "engines/postgres.yaml"), "utf8"));
  const log = pino({ level: "fatal" });
  tracer = await openTracer({ url: collector.url, resource: { "service.name": "quorate-operator" }, log });
  api = await plane.client(undefined, {
    observe: ({ verb, resource, seconds }) => tracer.noteEnded({ name: `${verb} ${resource}`, seconds }),
  });
  const settings = { agentImage: "quorate/agent:test", tracesUrl: collector.url };
  const controller = new Controller({ api, settings, tracer, registry: new ClusterRegistry(), log, instance: "test" });
  operating = Promise.all([controller.watch(stop.signal), controller.lead(stop.signal)]);
}, 900_000);

afterAll(async () => {
  stop.abort();
  await operating;
  await tracer?.close();
  api?.close();
  await cluster?.stop();
  await collector?.stop();
});

/** What the operator wrote on the intent, once it is not `before`. */
function annotationsAfter(before: string): Promise<Readonly<Record<string, string>>> {
  return until("the intent of the change", 30_000, async () => {
    const annotations = (await cluster.api.get<KubeObject>(INTENT))?.metadata.annotations;
    const traceparent = annotations?.["quorate.io/traceparent"];
    return traceparent === undefined || traceparent === before ? undefined : annotations;
  });
}

/** Names from a span up to the root of its trace, as far as they arrived. */
function pathOf(span: ArrivedSpan): string[] {
  const parent = collector.inbox.spans.find(
    ({ spanId, traceId }) => spanId === span.parentSpanId && traceId === span.traceId,
  );
  return [span.name, ...(parent === undefined ? [] : pathOf(parent))];
}

interface Status {
  readonly observation: { readonly followers: readonly { readonly streaming: boolean }[] } | null;
}

/** The leader, once both others follow it: a switchover has somewhere to go then. */
async function ledAndFollowed(): Promise<TestMember | undefined> {
  const leader = await cluster.routed();
  if (leader === undefined) return undefined;
  const { observation } = (await cluster.status(leader)) as Status;
  return observation?.followers.filter(({ streaming }) => streaming).length === 2 ? leader : undefined;
}

const sender = (span: ArrivedSpan | undefined) => span?.resource.get("service.name");

test("a change, the steps and calls that follow, and what members and engines do are one trace", {
  timeout: 300_000,
}, async () => {
  await api.create({
    ...SPEC,
    metadata: { namespace: NAMESPACE, name: "orders" },
    spec: { engine: { name: "postgres" } },
  });
  const created = await annotationsAfter("");
  await cluster.annotate(created);
  for (const member of cluster.members) cluster.run(member);
  const first = await until("a leader that two others follow", 120_000, ledAndFollowed);

  await cluster.api.mergePatch(SPEC, { spec: { members: 5 } });
  const changed = await annotationsAfter(created["quorate.io/traceparent"] ?? "");
  await cluster.annotate(changed);
  const target = cluster.members.find((member) => member !== first)?.name ?? "";
  await until("the other leader", 120_000, async () => {
    if ((await cluster.routed())?.name === target) return true;
    // A leader refuses while the other is late, as on a busy machine; the operator asks anew, too.
    await cluster.want({ switchover: { id: `switchover-${Date.now()}`, from: first.name, to: target } });
    await pause(5_000);
    return undefined;
  });

  const [, traceId, root] = changed["quorate.io/traceparent"]?.split("-") ?? [];
  const ofChange = () => collector.inbox.spans.filter((span) => span.traceId === traceId);
  await until("what the new leader told its engine", 20_000, () =>
    Promise.resolve(ofChange().find(({ name }) => name === "engine promote")),
  );
  const spans = ofChange();
  const of = (name: string) => spans.find((span) => span.name === name);

  expect(of("ClusterSpec changed")).toMatchObject({ spanId: root, parentSpanId: "" });
  expect(of("ClusterSpec changed")?.attributes.get("cluster")).toBe("orders");
  const call = of("apply configmaps");
  expect(sender(call)).toBe("quorate-operator");
  expect(call === undefined ? [] : pathOf(call)).toEqual([
    "apply configmaps",
    "Apply ConfigMap",
    "reconcile",
    "ClusterSpec changed",
  ]);
  const promoted = of("engine promote");
  expect(sender(promoted)).toBe("quorate-agent");
  expect(promoted?.resource.get("member")).toBe(target);
  expect(promoted === undefined ? [] : pathOf(promoted)).toEqual(["engine promote", "Promote", "ClusterSpec changed"]);
});
