/** Installs the operator and the built-in engines, and waits until the operator answers. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { KUBECTL, kubectl } from "./lab.ts";
import { run } from "./shell.ts";

const CRDS = ["clusterspecs", "engines", "clusteroperations"].map((plural) => `crd/${plural}.quorate.io`);
const ROOT = join(import.meta.dirname, "../..");

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
