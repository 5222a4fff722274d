// The objects of topology Stateless: what must hold of them whatever users and Engines say.
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { EngineSpec } from "../../../src/api/engine.ts";
import { Autoscaling } from "../../../src/api/stateless.ts";
import { buildAutoscaler } from "../../../src/build/autoscaler.ts";
import type { BuildContext } from "../../../src/build/context.ts";
import { buildDeployment } from "../../../src/build/deployment.ts";
import { formatDecimal } from "../../../src/build/quantity.ts";
import { pinnedTemplate, renderRevision } from "../../../src/build/revision.ts";
import { buildStatelessNetworkPolicy } from "../../../src/build/services.ts";
import { contextOf } from "../plan/fixture.ts";
import { httpEngine } from "../plan/fleet-world.ts";

interface PodSpec {
  readonly terminationGracePeriodSeconds: number;
  readonly automountServiceAccountToken: boolean;
  readonly initContainers?: readonly { readonly args: readonly string[] }[];
  readonly containers: readonly {
    readonly command: readonly string[];
    readonly lifecycle?: { readonly preStop: { readonly sleep: { readonly seconds: number } } };
    readonly readinessProbe: { readonly httpGet: { readonly path: string; readonly port: number } };
    readonly livenessProbe?: object;
    readonly startupProbe: { readonly failureThreshold: number; readonly periodSeconds: number };
    readonly volumeMounts: readonly { readonly mountPath: string }[];
  }[];
}

function httpContext(spec: object = {}, engine: object = {}): BuildContext {
  return { ...contextOf({ topology: "Stateless", ...spec }), engine: EngineSpec.parse({ ...httpEngine, ...engine }) };
}

function podOf(context: BuildContext): PodSpec {
  const { template } = buildDeployment(context, "stable", { replicas: 3 })["spec"] as { template: { spec: PodSpec } };
  return template.spec;
}

test("the grace period covers draining and stopping, whatever both take", () => {
  const seconds = fc.integer({ min: 0, max: 600 });
  fc.assert(
    fc.property(seconds, fc.integer({ min: 1, max: 3600 }), (drainSeconds, graceSeconds) => {
      const pod = podOf(httpContext({ serving: { drainSeconds } }, { stop: { graceSeconds } }));
      const sleeps = pod.containers[0]?.lifecycle?.preStop.sleep.seconds ?? 0;
      expect(sleeps).toBe(drainSeconds);
      expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(sleeps + graceSeconds);
    }),
  );
});

test("the probes are the Engine's, on its port; without a live path only the process counts", () => {
  const [engine] = podOf(httpContext()).containers;
  expect(engine?.readinessProbe.httpGet).toMatchObject({ path: "/ready", port: 8080 });
  expect(engine?.livenessProbe).toMatchObject({ httpGet: { path: "/live" } });
  const [patient] = podOf(httpContext({}, { probes: { ready: { path: "/" }, startSeconds: 300 } })).containers;
  expect(patient?.livenessProbe).toBeUndefined();
  expect(patient?.startupProbe).toMatchObject({ failureThreshold: 300, periodSeconds: 1 });
});

test("starts are spread by default, and at once where the user wants it so", () => {
  expect(podOf(httpContext()).initContainers).toMatchObject([{ args: ["wait", "5"] }]);
  expect(podOf(httpContext({ serving: { startJitterSeconds: 0 } })).initContainers).toBeUndefined();
});

test("the Engine's files are mounted where there are some; nothing else of ours is, and no token", () => {
  const pod = podOf(httpContext());
  expect(pod.containers[0]?.volumeMounts.map(({ mountPath }) => mountPath)).toEqual(["/tmp"]);
  expect(pod.automountServiceAccountToken).toBe(false);
  const withFiles = podOf(httpContext({}, { files: { "index.html": "hello" } }));
  expect(withFiles.containers[0]?.volumeMounts.map(({ mountPath }) => mountPath)).toContain("/quorate-engine");
});

test("a recorded revision gives each track the template that it had", () => {
  const context = httpContext();
  const note = { state: "Good", startedAt: "", failures: 0, reason: "", promoted: "None", version: "1" } as const;
  const record = renderRevision(context, { ...note, hooks: {}, irreversible: "" });
  for (const track of ["stable", "canary"] as const) {
    const pinned = buildDeployment(context, track, { replicas: 1, pinned: pinnedTemplate(record, track) });
    expect(pinned).toEqual(buildDeployment(context, track, { replicas: 1 }));
  }
});

test("only the engine's port can be reached", () => {
  expect(buildStatelessNetworkPolicy(httpContext())["spec"]).toMatchObject({
    ingress: [{ ports: [{ port: 8080, protocol: "TCP" }] }],
  });
});

test("the autoscaler moves the stable Deployment between members and maxMembers, by each metric", () => {
  const metrics = [
    { name: "cpu", cpuPercent: 70 },
    { name: "busy", podMetric: "requests_per_second", averageValue: "2500" },
  ];
  const manifest = buildAutoscaler(httpContext({ members: 2 }), Autoscaling.parse({ maxMembers: 8, metrics }));
  expect(manifest["spec"]).toMatchObject({
    scaleTargetRef: { kind: "Deployment", name: "orders" },
    minReplicas: 2,
    maxReplicas: 8,
    metrics: [
      { type: "ContainerResource", containerResource: { target: { averageUtilization: 70 } } },
      { type: "Pods", pods: { metric: { name: "requests_per_second" }, target: { averageValue: "2500" } } },
    ],
  });
});

test.each([
  [100, "100"],
  [1000, "1k"],
  [2500, "2500"],
  [3e6, "3M"],
  [0.25, "250m"],
  [0, "0"],
])("%d is written %s, as the API server does", (value, text) => {
  expect(formatDecimal(value)).toBe(text);
});
