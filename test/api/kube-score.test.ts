// What kube-score says of the chart, and of the objects that the operator makes for clusters of every topology: nothing that is not wrong
// for us, each for a reason that has a name. No check is switched off: what is accepted is one sentence of it, and must still be said.
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CLUSTERS } from "../unit/hack/cluster-objects.ts";
import { binary, KUBERNETES_VERSION } from "./harness.ts";

const run = promisify(execFile);
const CHART = join(import.meta.dirname, "../../charts/quorate");
/** Values under which the chart has other objects. */
const INSTALLATIONS: readonly string[] = [
  "replicas=1",
  "replicas=2",
  "replicas=2,webhook.enabled=true",
  "replicas=2,watch=ReleaseNamespace",
  "replicas=2,podMonitor.enabled=true,memberMonitor.enabled=true,prometheusRule.enabled=true,dashboards.enabled=true",
];

/** Sentences of kube-score that are no finding here, and why. */
const CLUSTER_REASONS: Readonly<Record<string, string>> = {
  "CPU limit is not set":
    "An agent that is throttled renews too late, which looks like a dead leader; who wants a limit sets spec.resources.limits.cpu.",
  "ImagePullPolicy is not set to Always":
    "Tags are fixed, and a node that has the image shall start a member again while the registry is away.",
  "Ephemeral Storage request is not set":
    "A node that does not isolate local storage has none to be requested, so that no member would ever be scheduled there.",
  "Ephemeral Storage limit is not set":
    "Members write to volumes and to memory, which have limits; on the node's disk is the agent, written once, and the root is read-only.",
  "The container is running with a low user ID":
    "The Engine's, whose image has its files under that id, and volumes outlive images; user namespaces are the node's business.",
  "The container running with a low group ID": "The same, for the group.",
  "The pod does not have a matching egress NetworkPolicy":
    "Members must reach the API server, whose address is no pod's: an egress policy that denies by default fences every leader.",
};
const FLEET_REASON: Readonly<Record<string, string>> = {
  "The deployment is targeted by a HPA, but a static replica count is configured in the DeploymentSpec":
    "It is the number that was read, applied with the version it was read from: what the autoscaler sets meanwhile is a conflict, never undone.",
};
const OPERATOR_REASONS: Readonly<Record<string, string>> = {
  "CPU limit is not set": "Throttling looks like a slow API server.",
  "ImagePullPolicy is not set to Always":
    "With a fixed tag a node that has the image needs no registry to start the operator again.",
  "Ephemeral Storage request is not set":
    "A node that does not isolate local storage has none to be requested, so that the operator would never be scheduled.",
  "Ephemeral Storage limit is not set": "It writes nothing: its root is read-only, and it has no emptyDir.",
};
const SINGLE_REASON: Readonly<Record<string, string>> = {
  "Deployment few replicas": "Members elect and fence without it; replicas=2 is there for who wants it.",
};

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quorate-score-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** What kube-score warns of in a manifest, each as its line has it. */
async function findings(manifest: string): Promise<readonly string[]> {
  const file = join(folder, "scored.yaml");
  await writeFile(file, manifest);
  const { stdout } = await run(binary("kube-score"), ["score", "--output-format", "ci", file], {
    maxBuffer: 64 << 20,
  }).catch((error: { readonly code?: unknown; readonly stdout: string }) => {
    if (error.code !== 1) throw error;
    return error; // it has something to say
  });
  expect(stdout).toContain("[OK]");
  return stdout.split("\n").filter((line) => /^\[(WARNING|CRITICAL)\]/.test(line));
}

/** Parts what was found into what has no reason, and reasons for which there is nothing any more. */
function judged(found: readonly string[], reasons: Readonly<Record<string, string>>): object {
  const isSaid = (sentence: string) => found.some((line) => line.endsWith(sentence));
  const sentences = Object.keys(reasons);
  return {
    without: found.filter((line) => !sentences.some((sentence) => line.endsWith(sentence))),
    stale: sentences.filter((sentence) => !isSaid(sentence)),
  };
}

describe("the chart", () => {
  test.each(INSTALLATIONS)("with %s", async (values) => {
    const args = ["--namespace", "quorate-system", "--kube-version", KUBERNETES_VERSION, "--skip-tests"];
    const { stdout } = await run(binary("helm"), ["template", "quorate", CHART, ...args, "--set", values], {
      maxBuffer: 64 << 20,
    });
    const reasons = { ...OPERATOR_REASONS, ...(values.startsWith("replicas=1") ? SINGLE_REASON : {}) };
    expect(judged(await findings(stdout), reasons)).toEqual({ without: [], stale: [] });
  });
});

describe("the objects of", () => {
  test.each(CLUSTERS)("%s", async (name, things) => {
    const found = await findings(things.map((thing) => JSON.stringify(thing)).join("\n---\n"));
    const reasons = { ...CLUSTER_REASONS, ...(name.endsWith("Stateless") ? FLEET_REASON : {}) };
    expect(judged(found, reasons)).toEqual({ without: [], stale: [] });
  });

  test("a cluster whose pods lost a safeguard would be found", async () => {
    const [, things = []] = CLUSTERS[0] ?? [];
    const text = things.map((thing) => JSON.stringify(thing)).join("\n---\n");
    const loosened = text.replaceAll('"readOnlyRootFilesystem":true', '"readOnlyRootFilesystem":false');
    expect(loosened).not.toBe(text);
    expect(judged(await findings(loosened), CLUSTER_REASONS)).toMatchObject({
      without: expect.arrayContaining([expect.stringContaining("root filesystem")]),
    });
  });
});
