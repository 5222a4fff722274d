/** Installs the operator and the built-in engines, by kustomize or by Helm. */
import { readdir } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { KUBECONFIG, KUBECTL, kubectl } from "./lab.ts";
import { run } from "./shell.ts";

const CRDS = ["clusterspecs", "engines", "clusteroperations"].map((plural) => `crd/${plural}.quorate.io`);
const ROOT = join(import.meta.dirname, "../..");

/** The chart in this working copy. */
export const CHART = join(ROOT, "charts/quorate");

/** The program, as `lab build-checkers` made it. */
export const HELM = join(process.env["QUORATE_CACHE"] ?? join(homedir(), ".cache/quorate"), "bin/helm-v3.22.0");

/** Applies deploy/default and engines/, again if need be; resolves once the Deployment is available. */
export async function installOperator(): Promise<void> {
  const serverSide = ["--server-side", "--force-conflicts"];
  await run([...KUBECTL, "apply", ...serverSide, "-k", join(ROOT, "deploy/crds")]);
  await kubectl("wait", "--for=condition=Established", "--timeout=30s", ...CRDS);
  const former = await kubectl("-n", "quorate-system", "get", "deployment", "--ignore-not-found", "-o", "name");
  await run([...KUBECTL, "apply", ...serverSide, "-k", join(ROOT, "deploy/default")]);
  // The tag of a build on this machine stays the same: a pod that runs may be of an earlier one.
  if (former !== "") await kubectl("-n", "quorate-system", "rollout", "restart", "deployment/quorate-operator");
  for (const file of await readdir(join(ROOT, "engines"))) {
    if (file.endsWith(".yaml")) await run([...KUBECTL, "apply", ...serverSide, "-f", join(ROOT, "engines", file)]);
  }
  await kubectl("-n", "quorate-system", "rollout", "status", "deployment/quorate-operator", "--timeout=120s");
}

/** Helm, to its end, in the operator's namespace. */
export function helm(...args: readonly string[]): Promise<string> {
  return run([HELM, "--kubeconfig", KUBECONFIG, "--namespace", "quorate-system", ...args], { timeoutMs: 330_000 });
}

/** Leaves a cluster as Helm wants to find it, whoever installed the operator before: only the CRDs, those of the chart, and clusters stay. */
export async function removeOperator(): Promise<void> {
  await helm("uninstall", "quorate", "--ignore-not-found", "--wait");
  for (const overlay of ["operator", "rbac", "flowschema", "admission"]) {
    await kubectl("delete", "--ignore-not-found", "--wait", "-k", join(ROOT, "deploy", overlay));
  }
  await kubectl("delete", "engines", "--all");
  // What `helm show crds | kubectl apply` does, where an earlier version's are there.
  await kubectl("apply", "--server-side", "--force-conflicts", "-f", join(CHART, "crds"));
}
