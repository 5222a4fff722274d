// The Helm chart and deploy/: the same objects, accepted by a real API server, and kept to the rules of kubeconform and kube-score.
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { loadAll } from "js-yaml";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { API_VERSION } from "../../src/api/names.ts";
import type { KubeClient } from "../../src/kube/client.ts";
import type { KubeObject } from "../../src/kube/object.ts";
import { minimalCluster } from "./crd-cases.ts";
import { binary, type ControlPlane, KUBERNETES_VERSION, monitoringKinds, startControlPlane } from "./harness.ts";
import { writeSchemas } from "./openapi-schemas.ts";

const run = promisify(execFile);
const root = join(import.meta.dirname, "../..");
const chart = join(root, "charts/quorate");
const DEV = "image.tag=dev,agentImage.tag=dev";
/** Everything that is told to a Prometheus and a Grafana. */
const OBSERVABILITY = ["memberMonitor.enabled=true", "prometheusRule.enabled=true", "dashboards.enabled=true"];
let plane: ControlPlane;
let admin: KubeClient;

beforeAll(async () => {
  plane = await startControlPlane();
  admin = await plane.client();
});

afterAll(async () => {
  admin?.close();
  await plane?.stop();
});

/** What a program printed, also when it failed. */
async function output(
  program: string,
  args: readonly string[],
): Promise<{ readonly code: number; readonly text: string }> {
  try {
    const { stdout, stderr } = await run(binary(program), [...args], { maxBuffer: 64 << 20 });
    return { code: 0, text: stdout + stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as {
      readonly code: number;
      readonly stdout: string;
      readonly stderr: string;
    };
    return { code, text: stdout + stderr };
  }
}

async function rendered(...sets: readonly string[]): Promise<string> {
  const values = [DEV, ...sets].flatMap((set) => ["--set", set]);
  const version = ["--kube-version", KUBERNETES_VERSION, "--skip-tests"];
  const args = ["template", "quorate", chart, "--namespace", "quorate-system", ...version, ...values];
  const { stdout } = await run(binary("helm"), args, { maxBuffer: 64 << 20 });
  return stdout;
}

async function kustomized(overlay: string): Promise<string> {
  const { stdout } = await run(binary("kubectl"), ["kustomize", join(root, "deploy", overlay)], {
    maxBuffer: 64 << 20,
  });
  return stdout;
}

/** Objects by kind and name. Helm makes the Namespace itself, and takes CRDs and Engines from files that are not templates. */
function byName(text: string): Record<string, unknown> {
  const objects = loadAll(text).filter((object) => object !== null) as KubeObject[];
  const elsewhere = ["Namespace", "CustomResourceDefinition", "Engine"];
  const own = objects.filter(({ kind }) => !elsewhere.includes(kind));
  return Object.fromEntries(own.map((object) => [`${object.kind}/${object.metadata.name}`, object]));
}

test.each([
  { overlay: "default", sets: [] },
  { overlay: "high-availability", sets: ["replicas=2"] },
  { overlay: "namespaced", sets: ["watch=ReleaseNamespace"] },
  { overlay: "webhook", sets: ["webhook.enabled=true"] },
])("the chart is deploy/$overlay, object by object", async ({ overlay, sets }) => {
  const expected = byName(await kustomized(overlay));
  expect(Object.keys(expected).length).toBeGreaterThan(10);
  expect(byName(await rendered(...sets))).toEqual(expected);
});

test("the chart's PodMonitor is that of deploy/monitoring", async () => {
  const expected = byName(await kustomized("monitoring"));
  expect(byName(await rendered("podMonitor.enabled=true"))).toMatchObject(expected);
});

test.each(["observability", "observability/dashboards"])("the chart has what is in deploy/%s", async (overlay) => {
  const expected = byName(await kustomized(overlay));
  expect(Object.keys(expected).length).toBeGreaterThan(1);
  expect(byName(await rendered(...OBSERVABILITY))).toMatchObject(expected);
});

test("nothing is told to a Prometheus or a Grafana unasked", async () => {
  const kinds = Object.keys(byName(await rendered())).map((key) => key.split("/")[0]);
  for (const kind of ["PodMonitor", "ServiceMonitor", "PrometheusRule", "ConfigMap"]) expect(kinds).not.toContain(kind);
});

test("links to runbooks lead where the values say, from the chart's alerts and from the operator's", async () => {
  const sets = ["runbooksUrl=https://docs.example/runbooks/", "prometheusRule.labels.release=p"];
  const objects = byName(await rendered(...OBSERVABILITY, ...sets, "prometheusRule.labels.team=a"));
  const text = JSON.stringify(objects["PrometheusRule/quorate"]);
  const links = [...text.matchAll(/"runbook_url":"([^"]*)"/g)].map(([, link = ""]) => link);
  expect(links.length).toBeGreaterThan(20);
  expect(links.filter((link) => !/^https:[/][/]docs[.]example[/]runbooks[/]Quorate\w+[.]md$/.test(link))).toEqual([]);
  expect(objects["PrometheusRule/quorate"]).toMatchObject({ metadata: { labels: { release: "p", team: "a" } } });
  const env = [
    { name: "QUORATE_RUNBOOKS_URL", value: "https://docs.example/runbooks/" },
    { name: "QUORATE_RULE_LABELS", value: "release=p,team=a" },
  ];
  expect(objects["Deployment/quorate-operator"]).toMatchObject({
    spec: { template: { spec: { containers: [{ env: expect.arrayContaining(env) }] } } },
  });
});

test("members are looked for where the operator looks after them", async () => {
  const selector = async (...sets: readonly string[]) => {
    const monitor = byName(await rendered(...OBSERVABILITY, ...sets))["PodMonitor/quorate-members"];
    return (monitor as { readonly spec: { readonly namespaceSelector?: object } }).spec.namespaceSelector;
  };
  expect(await selector()).toEqual({ any: true });
  expect(await selector("watch=ReleaseNamespace")).toBeUndefined();
});

test("every value finds its place", async () => {
  const digest = `sha256:${"0".repeat(64)}`;
  const sets = [
    `image.digest=${digest}`,
    "podLabels.team=a",
    "podAnnotations.note=b",
    "nodeSelector.disk=ssd",
    "imagePullSecrets[0].name=registry",
    "networkPolicy.from[0].podSelector.matchLabels.app=prometheus",
    "prometheusUrl=http://prometheus:9090",
    "tracesUrl=http://collector:4318",
    "serviceMonitor.enabled=true",
    "serviceMonitor.labels.release=p",
    "priorityClass.create=false",
    "priorityClass.name=system-cluster-critical",
    "flowSchema.enabled=false",
    "admissionPolicies.enabled=false",
  ];
  const objects = byName(await rendered(...sets));
  expect(objects["Deployment/quorate-operator"]).toMatchObject({
    spec: {
      template: {
        metadata: { labels: { team: "a" }, annotations: { note: "b" } },
        spec: {
          nodeSelector: { disk: "ssd" },
          imagePullSecrets: [{ name: "registry" }],
          priorityClassName: "system-cluster-critical",
          containers: [
            {
              image: `quorate/operator@${digest}`,
              env: expect.arrayContaining([
                { name: "QUORATE_PROMETHEUS_URL", value: "http://prometheus:9090" },
                { name: "QUORATE_TRACES_URL", value: "http://collector:4318" },
              ]),
            },
          ],
        },
      },
    },
  });
  expect(objects["NetworkPolicy/quorate-operator"]).toMatchObject({
    spec: {
      ingress: expect.arrayContaining([
        { ports: [{ port: "http" }], from: [{ podSelector: { matchLabels: { app: "prometheus" } } }] },
      ]),
    },
  });
  expect(objects["ServiceMonitor/quorate-operator"]).toMatchObject({ metadata: { labels: { release: "p" } } });
  const kinds = Object.keys(objects).map((key) => key.split("/")[0]);
  for (const kind of ["PriorityClass", "FlowSchema", "ValidatingAdmissionPolicy"]) expect(kinds).not.toContain(kind);
});

test("whoever else may read metrics, `helm test` may", async () => {
  const narrowed = "networkPolicy.from[0].podSelector.matchLabels.app=prometheus";
  const text = await run(binary("helm"), [
    "template",
    "quorate",
    chart,
    "--kube-version",
    KUBERNETES_VERSION,
    "--set",
    narrowed,
  ]);
  const objects = byName(text.stdout);
  const { metadata } = objects["Pod/quorate-operator-test"] as KubeObject;
  const { labels } = metadata;
  expect(objects["NetworkPolicy/quorate-operator"]).toMatchObject({
    spec: {
      ingress: [
        { ports: [{ port: "http" }], from: [{ podSelector: { matchLabels: { app: "prometheus" } } }] },
        { ports: [{ port: "http" }], from: [{ podSelector: { matchLabels: labels } }] },
      ],
    },
  });
});

test.each([
  { set: "replicas=0", says: "minimum: got 0, want 1" },
  { set: "watch=team-a", says: "value must be one of 'AllNamespaces', 'ReleaseNamespace'" },
  { set: "replica=2", says: "additional properties 'replica' not allowed" },
  { set: "engines[0]=oracle", says: "at '/engines/0': value must be" },
])("helm refuses $set", async ({ set, says }) => {
  const { code, text } = await output("helm", [
    "template",
    "q",
    chart,
    "--kube-version",
    KUBERNETES_VERSION,
    "--set",
    set,
  ]);
  expect(code).not.toBe(0);
  expect(text).toContain(says);
});

describe("judged by others", () => {
  test("helm lint has nothing to say", async () => {
    const { code, text } = await output("helm", ["lint", "--strict", chart]);
    expect(code).toBe(0);
    expect(text).not.toMatch(/\[(INFO|WARNING|ERROR)\]/);
  });

  test("kubeconform finds every object valid by the API server's own schemas", async () => {
    await plane.kubectl("apply", "--server-side", "-k", join(root, "deploy/crds"));
    await plane.kubectl("apply", "--server-side", "-f", monitoringKinds());
    await plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s");
    const everything = [...OBSERVABILITY, "podMonitor.enabled=true", "serviceMonitor.enabled=true"];
    const text = [
      await rendered("watch=ReleaseNamespace", ...everything),
      await kustomized("default"),
      await kustomized("observability"),
    ].join("\n---\n");
    const file = join(plane.folder, "chart.yaml");
    await writeFile(file, text);
    const kinds = new Set(loadAll(text).map((object) => (object as KubeObject | null)?.kind ?? ""));
    const openapi = await plane.kubectl("get", "--raw", "/openapi/v2");
    const location = await writeSchemas(openapi, kinds, join(plane.folder, "schemas"));
    const result = await output("kubeconform", ["-summary", "-schema-location", location, file]);
    expect(result.text).toMatch(/Valid: \d\d+, Invalid: 0, Errors: 0, Skipped: 0/);
  });

  test("kubeconform would find a mistake", async () => {
    const file = join(plane.folder, "broken.yaml");
    await writeFile(file, (await rendered()).replace("replicas: 1", "replicaz: 1"));
    const location = join(plane.folder, "schemas", "{{ .ResourceKind }}{{ .KindSuffix }}.json");
    expect((await output("kubeconform", ["-schema-location", location, file])).text).toContain("replicaz");
  });
});

describe("a release", { timeout: 180_000 }, () => {
  const release = ["quorate", chart, "--namespace", "quorate-system"];
  const cluster = { apiVersion: API_VERSION, kind: "ClusterSpec", namespace: "default", name: "orders" };
  const crd = "clusterspecs.quorate.io";

  function helm(...args: readonly string[]): ReturnType<typeof output> {
    return output("helm", ["--kubeconfig", plane.kubeconfig, ...args]);
  }

  async function succeed(...args: readonly string[]): Promise<string> {
    const { code, text } = await helm(...args);
    if (code !== 0) throw new Error(text);
    return text;
  }

  test("is installed with CRDs and Engines", async () => {
    await plane.kubectl("delete", "crd", "--all");
    expect(await succeed("install", ...release, "--create-namespace")).toContain(
      "looks after the clusters of all namespaces",
    );
    await admin.create(minimalCluster());
    expect(await admin.get({ apiVersion: API_VERSION, kind: "Engine", name: "postgres" })).toBeDefined();
  });

  test("is not upgraded beside CRDs of another version, and says which command updates them", async () => {
    await plane.kubectl("annotate", "crd", crd, "quorate.io/schema=older", "--overwrite");
    const refused = await helm("upgrade", ...release, "--set", "replicas=2");
    expect(refused.code).not.toBe(0);
    expect(refused.text).toContain(`CustomResourceDefinition ${crd} is of another version than this chart`);
    expect(refused.text).toContain("helm show crds CHART | kubectl apply --server-side --force-conflicts -f -");
    const shown = await helm("show", "crds", chart);
    const file = join(plane.folder, "crds.yaml");
    await writeFile(file, shown.text);
    await plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", file);
    await succeed("upgrade", ...release, "--set", "replicas=2");
    const ref = { apiVersion: "apps/v1", kind: "Deployment", namespace: "quorate-system", name: "quorate-operator" };
    expect(await admin.get(ref)).toMatchObject({ spec: { replicas: 2 } });
  });

  test("is rolled back", async () => {
    await succeed("rollback", "quorate", "1", "--namespace", "quorate-system");
    const ref = { apiVersion: "apps/v1", kind: "Deployment", namespace: "quorate-system", name: "quorate-operator" };
    expect(await admin.get(ref)).toMatchObject({ spec: { replicas: 1 } });
  });

  test("tells a Prometheus and a Grafana, once it is asked to", async () => {
    await plane.kubectl("apply", "--server-side", "-f", monitoringKinds());
    await plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s");
    await succeed("upgrade", ...release, ...OBSERVABILITY.flatMap((set) => ["--set", set]));
    const told = ["podmonitor/quorate-members", "prometheusrule/quorate", "configmap/quorate-debug"];
    const found = await plane.kubectl("get", "-n", "quorate-system", "-o", "name", ...told);
    expect(found.trim().split("\n")).toHaveLength(3);
  });

  test("leaves clusters alone when it is uninstalled, and finds them again", async () => {
    await succeed("uninstall", "quorate", "--namespace", "quorate-system");
    expect(await admin.get(cluster)).toBeDefined();
    expect(
      await plane.kubectl("get", "clusterrole,flowschema,validatingadmissionpolicy,priorityclass", "-o", "name"),
    ).not.toContain("quorate");
    await succeed("install", ...release);
    expect(await admin.get(cluster)).toBeDefined();
  });

  test("in two namespaces, each looking after its own", async () => {
    await helm("uninstall", "quorate", "--namespace", "quorate-system");
    const shared =
      "watch=ReleaseNamespace,engines=null,flowSchema.enabled=false,admissionPolicies.enabled=false,priorityClass.create=false";
    for (const namespace of ["team-a", "team-b"]) {
      const args = ["install", "quorate", chart, "--namespace", namespace, "--create-namespace", "--set", shared];
      await succeed(...args);
    }
    const can = (as: string, ...question: readonly string[]) =>
      output("kubectl", [
        "--kubeconfig",
        plane.kubeconfig,
        "auth",
        "can-i",
        ...question,
        `--as=system:serviceaccount:${as}:quorate-operator`,
      ]);
    expect((await can("team-a", "delete", "pods", "-n", "team-a")).text).toContain("yes");
    expect((await can("team-a", "delete", "pods", "-n", "team-b")).text).toContain("no");
    expect((await can("team-a", "list", "nodes")).text).toContain("yes");
    expect((await can("team-a", "get", "secrets", "-n", "kube-system")).text).toContain("no");
  });
});
