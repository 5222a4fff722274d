// The webhook as deploy/webhook installs it, asked by a real API server: what it refuses and warns of, that it never stands in the
// way, and that its certificate and authority change while it is asked.
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { load } from "js-yaml";
import { pino } from "pino";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test, vi } from "vitest";
import { nameOf } from "../../src/api/names.ts";
import { readAuthorityNote } from "../../src/build/certificate.ts";
import { ANNOTATION_ROTATE_AUTHORITY } from "../../src/build/labels.ts";
import { systemClock } from "../../src/clock.ts";
import { claimPorts } from "../../src/conformance/ports.ts";
import type { KubeClient } from "../../src/kube/client.ts";
import type { KubeObject } from "../../src/kube/object.ts";
import { WEBHOOK_PATH } from "../../src/webhook/server.ts";
import { Webhook } from "../../src/webhook/webhook.ts";
import { minimalCluster, minimalEngine, type NamedObject } from "./crd-cases.ts";
import { binary, type ControlPlane, startControlPlane } from "./harness.ts";
import { auditOf, noteOperator, OPERATOR_ACCOUNT } from "./rights.ts";

const run = promisify(execFile);
const root = join(import.meta.dirname, "../..");
const CONFIGURATION = {
  apiVersion: "admissionregistration.k8s.io/v1",
  kind: "ValidatingWebhookConfiguration",
  name: "quorate-operator",
} as const;
let plane: ControlPlane;
let admin: KubeClient;
let operator: KubeClient;
let port: number;
let stop: AbortController;
let running: Promise<unknown>;

interface Configuration extends KubeObject {
  readonly webhooks: readonly { readonly clientConfig: { readonly caBundle?: string } }[];
}

beforeAll(async () => {
  plane = await startControlPlane({ audit: [auditOf(OPERATOR_ACCOUNT)] });
  admin = await plane.client();
  await plane.kubectl("apply", "--server-side", "-k", join(root, "deploy/crds"));
  await plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s");
  await plane.kubectl("create", "namespace", "quorate-system");
  await plane.kubectl("apply", "--server-side", "-k", join(root, "deploy/webhook/rbac"));
  operator = await plane.client(await plane.accountKubeconfig("quorate-system", "quorate-operator"));
  const versions = [
    { version: "1", image: "tiny:1" },
    { version: "2", image: "tiny:2", irreversibleFrom: ["1"] },
  ];
  await admin.create(
    minimalEngine({ versions, parameters: { fixed: ["port"] }, durabilityModes: ["Async", "Quorum"] }),
  );
  [port] = (await claimPorts(1)) as [number];
  await plane.apply(await configuration());
});
afterAll(async () => {
  if (plane !== undefined) await noteOperator(plane.folder, inject("rightsNotes"));
  operator?.close();
  admin?.close();
  await plane?.stop();
});

beforeEach(async () => {
  stop = new AbortController();
  const webhook = new Webhook({
    api: operator,
    clock: systemClock,
    log: pino({ level: "silent" }),
    port,
    namespace: "quorate-system",
    configuration: CONFIGURATION.name,
    hosts: ["localhost"],
    stageMs: 1500,
    lookEveryMs: 100,
  });
  running = Promise.all([webhook.serve(stop.signal), webhook.lead(stop.signal)]);
  await vi.waitUntil(isAsked, 30_000);
});
afterEach(async () => {
  stop.abort();
  await running;
});

/** The configuration that is shipped; no Service reaches the host that tests run on. */
async function configuration(): Promise<string> {
  const text = await readFile(join(root, "deploy/webhook/configuration/webhook.yaml"), "utf8");
  const shipped = load(text) as { readonly webhooks: readonly { readonly clientConfig: object }[] };
  const clientConfig = { url: `https://localhost:${port}${WEBHOOK_PATH}` };
  return JSON.stringify({ ...shipped, webhooks: shipped.webhooks.map((one) => ({ ...one, clientConfig })) });
}

function cluster(spec: object = {}, name = "orders"): NamedObject {
  return minimalCluster({ engine: { name: "tiny" }, slo: undefined, ...spec }, name);
}

/** One that is refused while the webhook is asked. */
const BAD = cluster({ engine: { name: "none" } }, "bad");

/** Why the API server would not store it; undefined when it would. */
async function refusal(object: NamedObject): Promise<string | undefined> {
  try {
    await admin.create(object, { dryRun: true });
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

async function isAsked(): Promise<boolean> {
  return (await refusal(BAD))?.includes("no Engine") === true;
}

/** What kubectl tells a person who applies it. */
async function told(object: object): Promise<string> {
  const file = join(plane.folder, "told.json");
  await writeFile(file, JSON.stringify(object));
  const args = ["--kubeconfig", plane.kubeconfig, "apply", "--server-side", "--force-conflicts", "-f", file];
  return (await run(binary("kubectl"), args)).stderr;
}

describe("refuses what the Engine cannot run, with the field and the fix", () => {
  test.each([
    [{ engine: { name: "none" } }, "spec.engine.name: There is no Engine none. See kubectl get engines, or apply it."],
    [
      { engine: { name: "tiny", version: "3" } },
      "spec.engine.version: Engine tiny has no version 3. Set spec.engine.version to one of 1, 2.",
    ],
    [
      { topology: "Consensus", durability: { mode: "Quorum" } },
      "spec.topology: Engine tiny cannot form the topology Consensus.",
    ],
    [{ parameters: { port: "1" } }, "spec.parameters: quorate sets port itself. Remove it from spec.parameters."],
    [
      { durability: { mode: "All" } },
      "spec.durability.mode: Engine tiny cannot keep durability All. Set spec.durability.mode to one of Async, Quorum.",
    ],
    [
      { maintenanceWindows: [{ name: "night", cron: "0 3 * * *", timeZone: "Mars/North", durationMinutes: 60 }] },
      "spec.maintenanceWindows: spec.maintenanceWindows (night).timeZone Mars/North is not known.",
    ],
  ])("%j", async (spec, says) => {
    expect(await refusal(cluster(spec))).toContain(says);
  });

  test("and takes what it can run", async () => {
    expect(await refusal(cluster())).toBeUndefined();
  });

  test("and lets everything else be changed about what is wrong already", async () => {
    const ref = { apiVersion: "quorate.io/v1alpha1", kind: "ClusterSpec", namespace: "default", name: "old" };
    await plane.kubectl("delete", "validatingwebhookconfiguration", CONFIGURATION.name);
    await vi.waitFor(() => admin.create(cluster({ engine: { name: "tiny", version: "3" } }, "old")), 10_000);
    await plane.apply(await configuration());
    await vi.waitUntil(isAsked, 10_000);
    await admin.mergePatch(ref, { spec: { members: 5 } });
    await expect(admin.mergePatch(ref, { spec: { engine: { version: "4" } } })).rejects.toThrow("has no version 4");
    await admin.delete(ref);
  });
});

describe("warns of what clusters die of", () => {
  test("when it is new, and not at each change of something else", async () => {
    const risky = { members: 2, durability: { mode: "Async" }, failover: { profile: "Fast" } };
    const first = await told(cluster(risky));
    expect(first).toContain("Warning: A lease so short that clocks and API servers break it: profile Fast");
    expect(first).toContain("Warning: A quorum of the wrong size: durability.mode Async");
    const second = await told(cluster({ ...risky, failover: { profile: "Fast", maxLag: "1Gi" } }));
    expect(second.match(/Warning/g)).toHaveLength(1);
    expect(second).toContain("Warning: Reads from members that lag: failover.maxLag is 1Gi; lower it");
  });

  test("and of an update that cannot be taken back", async () => {
    await told(cluster({ engine: { name: "tiny", version: "1" } }, "one-way"));
    expect(await told(cluster({ engine: { name: "tiny", version: "2" } }, "one-way"))).toContain(
      "Warning: spec.engine.version 2: members cannot go back to 1 once it led",
    );
  });
});

test("nobody waits for an operator that is away", async () => {
  stop.abort();
  await running;
  expect(await refusal(cluster({ engine: { name: "none" } }, "unasked"))).toBeUndefined();
});

test("its authority changes while it is asked, and every question is answered", async () => {
  const stages = new Set<string>();
  const answers: (string | undefined)[] = [];
  const before = await believed();
  const earlier = await failures(); // before there was anybody to ask
  const asking = new AbortController();
  const asked = (async () => {
    // One that could not be asked would let it pass: failurePolicy is Ignore.
    while (!asking.signal.aborted) answers.push(await refusal(BAD));
  })();
  await admin.mergePatch(CONFIGURATION, { metadata: { annotations: { [ANNOTATION_ROTATE_AUTHORITY]: "now" } } });
  await vi.waitFor(
    async () => {
      const ref = {
        apiVersion: "v1",
        kind: "Secret",
        namespace: "quorate-system",
        name: nameOf.peerSecret("quorate-webhook"),
      };
      const note = readAuthorityNote((await admin.get(ref))?.metadata.annotations);
      stages.add(note?.stage ?? "");
      expect([note?.request, note?.stage]).toEqual(["now", "Settled"]);
    },
    { timeout: 40_000, interval: 100 },
  );
  await vi.waitFor(async () => expect((await believed()).split("BEGIN")).toHaveLength(2), 10_000);
  await new Promise((resolve) => setTimeout(resolve, 500));
  asking.abort();
  await asked;
  expect([...stages]).toEqual(["Settled", "Trust", "Sign"]);
  expect(await believed()).not.toBe(before);
  expect(answers.length).toBeGreaterThan(20);
  const unanswered = answers.filter((answer) => answer?.includes("no Engine") !== true);
  const said = (await failures()).slice(earlier.length);
  expect({ unanswered, said }).toEqual({ unanswered: [], said: [] });
});

/** What the API server says of questions that it got no answer to. */
async function failures(): Promise<readonly string[]> {
  const log = await readFile(join(plane.folder, "kube-apiserver.log"), "utf8");
  return log.split("\n").filter((line) => line.includes("ailed calling webhook"));
}

/** The authorities that the API server believes. */
async function believed(): Promise<string> {
  const found = await admin.get<Configuration>(CONFIGURATION);
  return Buffer.from(found?.webhooks[0]?.clientConfig.caBundle ?? "", "base64").toString();
}
