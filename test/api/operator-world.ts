// A real API server with the operator's controller on it, which has the rights that it is installed with. There is no kubelet and
// no StatefulSet controller: tests make the pods and speak for the agents. One API server for each test file, one operator for each
// test.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { pino } from "pino";
import { afterAll, afterEach, beforeAll, beforeEach, expect, inject, vi } from "vitest";
import { INTENT_KEY, Intent, type MemberReport } from "../../src/api/agent-wire.ts";
import type { ClusterStatus } from "../../src/api/cluster-status.ts";
import { API_VERSION, nameOf } from "../../src/api/names.ts";
import { Controller, type ControllerOptions } from "../../src/controller/controller.ts";
import type { PassResult } from "../../src/controller/reconcile.ts";
import type { ApiCall, KubeClient } from "../../src/kube/client.ts";
import type { KubeObject, ObjectRef, Stored } from "../../src/kube/object.ts";
import { minimalCluster } from "./crd-cases.ts";
import { runMember as runMemberAt } from "./fake-members.ts";
import { type ControlPlane, startControlPlane } from "./harness.ts";
import { auditOf, noteOperator, OPERATOR_ACCOUNT } from "./rights.ts";
import { ClusterRegistry } from "../../src/telemetry/cluster-registry.ts";

/** Any object, with the parts that tests look into. */
export interface Any extends KubeObject {
  readonly spec?: Record<string, unknown>;
  readonly status?: Record<string, unknown>;
  readonly data?: Record<string, string>;
  readonly binaryData?: Record<string, string>;
  readonly rules?: readonly {
    readonly resources: string[];
    readonly verbs: string[];
    readonly resourceNames?: string[];
  }[];
}

export const NAMESPACE = "default";
const WRITES = ["create", "update", "apply", "patch", "delete"];
export let plane: ControlPlane;
export let admin: KubeClient;
/** What the present operator asked of the API server. */
export let calls: ApiCall[] = [];
/** How the present operator's passes ended. */
export let passes: PassResult[] = [];
/** The present operator's metrics. */
export let registry: ClusterRegistry;
/** What all operators of this file logged, a line each. */
export const logged: string[] = [];
/** The present operator. */
export let controller: Controller;
let agentImage = "quorate/agent:test";
let stopOperator: () => Promise<void> = () => Promise.resolve();

beforeAll(async () => {
  plane = await startControlPlane({ audit: [auditOf(OPERATOR_ACCOUNT)] });
  admin = await plane.client();
  await plane.kubectl("create", "namespace", OPERATOR_ACCOUNT.namespace);
  await plane.kubectl("apply", "--server-side", "-k", join(import.meta.dirname, "../../deploy/rbac"));
  await plane.kubectl("apply", "--server-side", "-k", join(import.meta.dirname, "../../crds"));
  await plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s");
  await plane.apply(await readFile(join(import.meta.dirname, "../../engines/postgres.yaml"), "utf8"));
});

afterAll(async () => {
  if (plane !== undefined) await noteOperator(plane.folder, inject("rightsNotes"));
  admin?.close();
  await plane?.stop();
});

beforeEach(async () => {
  agentImage = "quorate/agent:test";
  await startOperator();
});

afterEach(() => stopOperator());

/** Stops the present operator; whatever happens until `startOperator` happens without one. */
export function withoutOperator(): Promise<void> {
  return stopOperator();
}

/** Starts a new operator, maybe of another version: one that brings another agent. @param more - What else is different about it. */
export async function startOperator(image = agentImage, more: Partial<ControllerOptions> = {}): Promise<void> {
  agentImage = image;
  registry = new ClusterRegistry();
  const stop = new AbortController();
  calls = [];
  passes = [];
  const { namespace, name } = OPERATOR_ACCOUNT;
  const kubeconfig = await plane.accountKubeconfig(namespace, name);
  const api = await plane.client(kubeconfig, { observe: (call) => calls.push(call) });
  controller = new Controller({
    api,
    settings: { agentImage },
    registry,
    log: pino({ level: "debug" }, { write: (line: string) => void logged.push(line) }),
    instance: "test",
    onPass: (_key, result) => passes.push(result),
    ...more,
  });
  const watching = controller.watch(stop.signal);
  const leading = controller.lead(stop.signal);
  stopOperator = async () => {
    stop.abort();
    await Promise.all([watching, leading]);
    api.close();
    stopOperator = () => Promise.resolve();
  };
}

export const ref = (apiVersion: string, kind: string, name: string): ObjectRef => ({
  apiVersion,
  kind,
  namespace: NAMESPACE,
  name,
});
export const clusterRef = (name: string) => ref(API_VERSION, "ClusterSpec", name);

export async function read(apiVersion: string, kind: string, name: string): Promise<Stored<Any>> {
  const object = await admin.get<Any>(ref(apiVersion, kind, name));
  if (object === undefined) throw new Error(`${kind} ${name} is not there`);
  return object;
}

export async function statusOf(cluster: string): Promise<ClusterStatus> {
  return (await read(API_VERSION, "ClusterSpec", cluster)).status ?? {};
}

export async function intentOf(cluster: string): Promise<Intent> {
  const map = await read("v1", "ConfigMap", nameOf.intent(cluster));
  return Intent.parse(JSON.parse(map.data?.[INTENT_KEY] ?? ""));
}

export async function eventually<T>(look: () => Promise<T>): Promise<T> {
  return vi.waitFor(look, { timeout: 15_000, interval: 50 });
}

/** Waits until passes have come to rest: the last ones did nothing, and no more come. */
export async function atRest(): Promise<void> {
  await vi.waitFor(
    async () => {
      const before = passes.length;
      await new Promise((resolve) => setTimeout(resolve, 300));
      expect(passes.length).toBe(before);
      expect(before).toBeGreaterThan(0);
    },
    { timeout: 15_000 },
  );
}

export function runMember(member: string, report: Partial<MemberReport>): Promise<void> {
  return runMemberAt(admin, { namespace: NAMESPACE, member }, report);
}

export async function createCluster(name: string, spec: object = {}): Promise<Stored<KubeObject>> {
  const created = await admin.create(minimalCluster({ resources: { requests: { memory: "1Gi" } }, ...spec }, name));
  await eventually(async () => {
    const { bootstrapMember, members } = await intentOf(name);
    expect(bootstrapMember).toBe(nameOf.member(name, 0));
    for (const member of members) await read("apps/v1", "StatefulSet", member.name); // they come right after the intent
  });
  return created;
}

/** A cluster of three whose member 0 leads. */
export async function runningCluster(name: string, spec: object = {}): Promise<Stored<KubeObject>> {
  const created = await createCluster(name, spec);
  for (const ordinal of [0, 1, 2]) {
    await runMember(nameOf.member(name, ordinal), ordinal === 0 ? { role: "leader" } : {});
  }
  await eventually(async () => expect(await statusOf(name)).toMatchObject({ leader: `${name}-0`, readyMembers: 3 }));
  await atRest();
  return created;
}

export function writes(): readonly string[] {
  return calls.filter((call) => WRITES.includes(call.verb)).map((call) => `${call.verb} ${call.resource} ${call.code}`);
}
