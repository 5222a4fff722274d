// What kube-linter would say of the installations and of the objects of clusters: nothing. Each check has an object that it must find.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { loadAll } from "js-yaml";
import { describe, expect, test } from "vitest";
import { CLUSTERS } from "./cluster-objects.ts";
import { CHECKS, LEFT_OUT, type Thing } from "./linter-checks.ts";

const ROOT = join(import.meta.dirname, "../../..");

/** Every object below a folder, but what only says which files there are. */
function filesOf(folder: string): readonly Thing[] {
  const files = readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" });
  const yaml = files.filter((file) => file.endsWith(".yaml") && !file.endsWith("kustomization.yaml"));
  return yaml.flatMap((file) => loadAll(readFileSync(join(ROOT, folder, file), "utf8")) as Thing[]);
}

const SUBJECTS: readonly (readonly [name: string, things: readonly Thing[]])[] = [
  ["deploy/default", ["rbac", "operator", "flowschema", "admission"].flatMap((name) => filesOf(`deploy/${name}`))],
  ["deploy/namespaced", filesOf("deploy/namespaced")],
  ["deploy/webhook", filesOf("deploy/webhook")],
  ...CLUSTERS,
];

describe.each(SUBJECTS)("%s", (_name, things) => {
  test.each(Object.entries(CHECKS))("%s", (_check, find) => {
    expect(things.length).toBeGreaterThan(3);
    expect(find(things)).toEqual([]);
  });
});

type Changes = Readonly<Record<string, unknown>>;

/** An object with one field of another value; the path has the names and places of what holds it. */
function changed(thing: unknown, path: readonly (string | number)[], value: unknown): unknown {
  const [first, ...rest] = path;
  if (first === undefined) return value;
  if (Array.isArray(thing))
    return thing.map((item, at) => (at === first ? changed(item, rest, value) : (item as unknown)));
  return { ...(thing as Changes), [first]: changed((thing as Changes)[first] ?? {}, rest, value) };
}

const POD = ["spec", "template", "spec"] as const;
const CONTAINER = [...POD, "containers", 0] as const;
type Flaw = readonly [kind: string, path: readonly (string | number)[], value: unknown];

/** For each check what makes it find something. */
const FLAWS: Readonly<Record<string, Flaw>> = {
  "cluster-admin-role-binding": ["RoleBinding", ["roleRef", "name"], "cluster-admin"],
  "dangling-horizontalpodautoscaler": ["HorizontalPodAutoscaler", ["spec", "scaleTargetRef", "name"], "other"],
  "dangling-networkpolicy": ["NetworkPolicy", ["spec", "podSelector", "matchLabels", "app"], "other"],
  "dangling-networkpolicypeer-podselector": [
    "NetworkPolicy",
    ["spec", "ingress"],
    [{ from: [{ podSelector: { matchLabels: { app: "other" } } }] }],
  ],
  "dangling-service": ["Service", ["spec", "selector"], { app: "other" }],
  "default-service-account": ["StatefulSet", [...POD, "serviceAccountName"], "default"],
  "deprecated-service-account-field": ["StatefulSet", [...POD, "serviceAccount"], "orders"],
  "docker-sock": ["StatefulSet", [...POD, "volumes"], [{ hostPath: { path: "/var/run/docker.sock" } }]],
  "drop-net-raw-capability": ["StatefulSet", [...CONTAINER, "securityContext", "capabilities"], { drop: ["CHOWN"] }],
  "duplicate-env-var": ["StatefulSet", [...CONTAINER, "env"], [{ name: "A" }, { name: "A" }]],
  "env-var-secret": ["StatefulSet", [...CONTAINER, "env"], [{ name: "APP_SECRET", value: "1234" }]],
  "exposed-services": ["Service", ["spec", "type"], "NodePort"],
  "host-ipc": ["StatefulSet", [...POD, "hostIPC"], true],
  "host-network": ["StatefulSet", [...POD, "hostNetwork"], true],
  "host-pid": ["StatefulSet", [...POD, "hostPID"], true],
  "invalid-target-ports": ["Service", ["spec", "ports"], [{ targetPort: "Client_Port" }]],
  "latest-tag": ["StatefulSet", [...CONTAINER, "image"], "registry:5000/engine"],
  "liveness-port": ["StatefulSet", [...CONTAINER, "livenessProbe"], { httpGet: { port: 1 } }],
  "mismatching-selector": ["StatefulSet", ["spec", "selector", "matchLabels"], { app: "other" }],
  "no-anti-affinity": ["StatefulSet", [...POD, "affinity"], {}],
  "no-extensions-v1beta": ["StatefulSet", ["apiVersion"], "extensions/v1beta1"],
  "no-liveness-probe": ["StatefulSet", [...CONTAINER, "livenessProbe"], undefined],
  "no-read-only-root-fs": ["StatefulSet", [...CONTAINER, "securityContext", "readOnlyRootFilesystem"], false],
  "no-readiness-probe": ["StatefulSet", [...CONTAINER, "readinessProbe"], undefined],
  "no-rolling-update-strategy": ["Deployment", ["spec", "strategy", "type"], "Recreate"],
  "non-existent-service-account": ["StatefulSet", [...POD, "serviceAccountName"], "other"],
  "non-isolated-pod": ["NetworkPolicy", ["spec", "podSelector", "matchLabels", "app"], "other"],
  "pdb-max-unavailable": ["PodDisruptionBudget", ["spec", "maxUnavailable"], 0],
  "pdb-min-available": ["PodDisruptionBudget", ["spec", "minAvailable"], "100%"],
  "pdb-unhealthy-pod-eviction-policy": [
    "PodDisruptionBudget",
    ["spec", "unhealthyPodEvictionPolicy"],
    "IfHealthyBudget",
  ],
  "privilege-escalation-container": [
    "StatefulSet",
    [...CONTAINER, "securityContext", "allowPrivilegeEscalation"],
    true,
  ],
  "privileged-container": ["StatefulSet", [...CONTAINER, "securityContext", "privileged"], true],
  "privileged-ports": ["StatefulSet", [...CONTAINER, "ports"], [{ containerPort: 443 }]],
  "read-secret-from-env-var": ["StatefulSet", [...CONTAINER, "env"], [{ name: "A", valueFrom: { secretKeyRef: {} } }]],
  "readiness-port": ["StatefulSet", [...CONTAINER, "readinessProbe"], { httpGet: { port: "other" } }],
  "restart-policy": ["StatefulSet", [...POD, "restartPolicy"], "Never"],
  "run-as-non-root": ["StatefulSet", [...POD, "securityContext", "runAsUser"], 0],
  "sensitive-host-mounts": ["StatefulSet", [...POD, "volumes"], [{ hostPath: { path: "/etc" } }]],
  "ssh-port": ["StatefulSet", [...CONTAINER, "ports"], [{ containerPort: 22 }]],
  "startup-port": ["StatefulSet", [...CONTAINER, "startupProbe"], { httpGet: { port: 1 } }],
  "unsafe-proc-mount": ["StatefulSet", [...CONTAINER, "securityContext", "procMount"], "Unmasked"],
  "unsafe-sysctls": ["StatefulSet", [...POD, "securityContext", "sysctls"], [{ name: "kernel.sem", value: "1" }]],
  "unset-cpu-requirements": ["StatefulSet", [...CONTAINER, "resources", "requests", "cpu"], undefined],
  "unset-memory-requirements": ["StatefulSet", [...CONTAINER, "resources", "limits"], undefined],
  "use-namespace": ["StatefulSet", ["metadata", "namespace"], "default"],
  "wildcard-in-rules": ["Role", ["rules"], [{ verbs: ["*"] }]],
};

test.each(Object.entries(CHECKS))("%s finds what it looks for", (check, find) => {
  const [kind, path, value] = FLAWS[check] ?? ["", [], undefined];
  const sound = CLUSTERS.flatMap(([name, things]) => (/postgres|Stateless/.test(name) ? things : []));
  expect(sound.some((thing) => thing.kind === kind)).toBe(true);
  const flawed = sound.map((thing) => (thing.kind === kind ? (changed(thing, path, value) as Thing) : thing));
  expect(find(flawed)).not.toEqual([]);
});

test("every check is either made or left out for a reason", () => {
  expect(Object.keys(CHECKS).filter((check) => LEFT_OUT[check] !== undefined)).toEqual([]);
  expect(Object.keys(FLAWS).toSorted()).toEqual(Object.keys(CHECKS).toSorted());
});
