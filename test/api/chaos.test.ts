// kubectl quorate chaos as people run it, against a real API server with the operator on it. Tests speak for the members.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { ANNOTATION_LEADER, nameOf } from "../../src/api/names.ts";
import { EXPERIMENT_NAMES } from "../../src/chaos/experiments.ts";
import type { KubeObject } from "../../src/kube/object.ts";
import {
  admin,
  type Any,
  clusterRef,
  eventually,
  intentOf,
  NAMESPACE,
  plane,
  read,
  ref,
  runMember,
  runningCluster,
  statusOf,
} from "./operator-world.ts";
import { type PluginResult, runPlugin } from "./plugin.ts";

/** Open at any time, and for longer than an experiment takes. */
const ALWAYS = [{ name: "always", cron: "* * * * *", timeZone: "UTC", durationMinutes: 60 }];
const SPEC = { failover: { profile: "Fast" }, maintenanceWindows: ALWAYS };
const TURN = ref("coordination.k8s.io/v1", "Lease", "quorate-chaos");

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quorate-chaos-"));
});
afterAll(() => rm(folder, { recursive: true }));
beforeEach(async () => {
  await admin.delete(TURN);
});

/** The cluster `shown`, which no test changes: made once. */
async function shown(): Promise<void> {
  if ((await admin.get(clusterRef("shown"))) === undefined) await runningCluster("shown", SPEC);
}

/** `chaos run`, of a cluster without objectives. */
function run(experiment: string, cluster: string, ...more: readonly string[]): Promise<PluginResult> {
  return quorate(["chaos", "run", experiment, cluster, "--without-budget", ...more]);
}

function quorate(args: readonly string[], kubeconfig = plane.kubeconfig): Promise<PluginResult> {
  return runPlugin(args, kubeconfig, folder);
}

const pod = (member: string) => ref("v1", "Pod", nameOf.pod(member));

/** What members do when `cluster`-0 is lost: another one leads, and the lost one comes back and follows. */
async function takeOver(cluster: string): Promise<void> {
  const { uid } = (await read("v1", "Pod", `${cluster}-0-0`)).metadata;
  await eventually(async () => expect((await admin.get(pod(`${cluster}-0`)))?.metadata.uid).not.toBe(uid));
  const syncNames = [`${cluster}-0`, `${cluster}-2`]; // writes wait for one of them, which may therefore take over
  await runMember(`${cluster}-1`, { role: "leader", epoch: 2, syncNames, ackCount: 1 });
  await runMember(`${cluster}-2`, { epoch: 2 });
  await runMember(`${cluster}-0`, { epoch: 2 });
}

async function eventsOf(cluster: string): Promise<string[]> {
  const text = await plane.kubectl("get", "events.events.k8s.io", "-o", "json");
  const { items } = JSON.parse(text) as { items: { reason: string; note: string; regarding: { name: string } }[] };
  return items.filter(({ regarding }) => regarding.name === cluster).map(({ reason, note }) => `${reason}: ${note}`);
}

describe("without --yes", () => {
  test("it says what it would do and whether it may, and changes nothing", async () => {
    await shown();
    const before = await read("v1", "Pod", "shown-0-0");
    const { code, out, err } = await run("kill-leader", "shown");
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toContain("would delete Pod default/shown-0-0, with 1 s to end");
    expect(out).toContain("promised: nobody leads for 11.1 s at most, all is as before within 300.0 s");
    expect(out).toContain("✓ A maintenance window is open until the end [window-open]: always");
    expect(out).toContain("Nothing was done. To do it, add --yes.");
    expect((await read("v1", "Pod", "shown-0-0")).metadata.uid).toBe(before.metadata.uid);
    expect(await admin.get(TURN)).toBeUndefined();
    expect((await eventsOf("shown")).filter((event) => event.startsWith("Chaos"))).toEqual([]);
  });

  test("every experiment is one that the API server would take", { timeout: 120_000 }, async () => {
    await runningCluster("tried", SPEC);
    const labels = { "app.kubernetes.io/name": "quorate", "app.kubernetes.io/component": "operator" };
    const containers = [{ name: "operator", image: "operator:test" }];
    const metadata = { name: "quorate-operator-x", namespace: "quorate-system", labels };
    await admin.create({ apiVersion: "v1", kind: "Pod", metadata, spec: { containers } } as KubeObject);
    const refused = await run("evict-member", "tried");
    expect(refused.code).toBe(2); // no controller has counted yet how many may go
    expect(refused.out).toMatch(/✗ The API server would take it \(dry run\) \[allowed\]: Cannot evict pod/);
    const budget = ref("policy/v1", "PodDisruptionBudget", "tried");
    const { generation } = (await read("policy/v1", "PodDisruptionBudget", "tried")).metadata as {
      generation?: number;
    };
    const counts = { currentHealthy: 3, desiredHealthy: 2, expectedPods: 3, disruptionsAllowed: 1 };
    await admin.mergePatch<Any>(
      budget,
      { status: { ...counts, observedGeneration: generation } },
      { subresource: "status" },
    );
    const plan = async (experiment: string) => {
      const { code, out } = await run(experiment, "tried", "-o", "json");
      const { verdict, steps } = JSON.parse(out) as {
        readonly verdict: string;
        readonly steps: readonly { readonly guards: readonly { readonly id: string; readonly result: string }[] }[];
      };
      const held = steps[0]?.guards.filter(({ result }) => !["Pass", "Warn"].includes(result));
      return { experiment, code, verdict, held };
    };
    const experiments = EXPERIMENT_NAMES.filter((name) => name !== "kill-half");
    const planned = experiments.map((experiment) => ({ experiment, code: 0, verdict: "Planned", held: [] }));
    expect(await Promise.all(experiments.map(plan))).toEqual(planned);
  });
});

describe("guard rails", () => {
  test("hold back what is outside a window or without a budget, until somebody says so", async () => {
    await runningCluster("railed", { failover: { profile: "Fast" } });
    const held = await quorate(["chaos", "run", "kill-leader", "railed", "--yes"]);
    expect(held.code).toBe(2);
    expect(held.out).toContain("✗ The error budget has room [budget-left]: spec.slo states no objective");
    expect(held.out).toContain(
      "✗ A maintenance window is open until the end [window-open]: spec.maintenanceWindows has none",
    );
    expect(held.out).toContain("Nothing was done: a guard rail holds it back.");
    const said = await quorate(["chaos", "run", "kill-leader", "railed", "--outside-window", "--without-budget"]);
    expect(said.code).toBe(0);
  });

  test("let one experiment at a time into a namespace; a turn that nobody gave back expires", async () => {
    await shown();
    const lease = (renewTime: string) => ({
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: { name: TURN.name, namespace: NAMESPACE },
      spec: { holderIdentity: "eve: kill-leader of carts", leaseDurationSeconds: 60, renewTime },
    });
    await admin.create<KubeObject>(lease(new Date().toISOString().replace("Z", "000Z")));
    const held = await run("delete-route", "shown", "--yes");
    expect([held.code, held.out]).toEqual([2, expect.stringContaining("[alone]: eve: kill-leader of carts")]);
    await admin.delete(TURN);
    await admin.create<KubeObject>(lease("2020-01-01T00:00:00.000000Z"));
    expect((await run("delete-route", "shown")).code).toBe(0);
  });

  test("tell who has no right to it, before anything is done", async () => {
    await shown();
    const account = await plane.serviceAccount(NAMESPACE, "reader");
    const resources = "clusterspecs.quorate.io,clusteroperations.quorate.io,leases.coordination.k8s.io,pods";
    await plane.kubectl("create", "role", "reader", "--verb=get,list", `--resource=${resources}`);
    await plane.kubectl("create", "rolebinding", "reader", "--role=reader", `--serviceaccount=${NAMESPACE}:reader`);
    const args = ["chaos", "run", "kill-leader", "shown", "--without-budget", "--yes"];
    const { code, out, err } = await quorate(args, account);
    expect({ code, err }).toEqual({ code: 2, err: "" });
    expect(out).toMatch(/\[allowed\]: pods "shown-0-0" is forbidden/);
  });
});

describe("with --yes", () => {
  test("a leader that is killed: figures, Events, and the turn is given back", async () => {
    await runningCluster("killed", SPEC);
    const [{ code, out }] = await Promise.all([
      run("kill-leader", "killed", "--yes", "-o", "json"),
      takeOver("killed"),
    ]);
    const report = JSON.parse(out) as {
      readonly verdict: string;
      readonly steps: { readonly rounds: { readonly acts: string[]; readonly measure: Record<string, unknown> }[] }[];
    };
    expect({ code, verdict: report.verdict }).toEqual({ code: 0, verdict: "Kept" });
    const [round] = report.steps[0]?.rounds ?? [];
    expect(round?.acts).toEqual(["delete Pod default/killed-0-0, with 1 s to end"]);
    expect(round?.measure).toMatchObject({
      leaderBefore: "killed-0",
      leaderAfter: "killed-1",
      epochBefore: 1,
      epochAfter: 2,
      replaced: ["killed-0"],
    });
    expect(round?.measure["leaderlessMs"]).toBeLessThan(11_060);
    expect(round?.measure["wholeAfterMs"]).toBeGreaterThan(0);
    expect(await admin.get(TURN)).toBeUndefined();
    const told = (await eventsOf("killed")).filter((event) => event.startsWith("Chaos"));
    expect(told).toEqual([
      expect.stringContaining("ChaosBegan: kill-leader, by kubectl quorate chaos"),
      expect.stringMatching(/ChaosEnded: kill-leader: nobody led for [0-9.]+ s, not Ready for [0-9.]+ s\./),
    ]);
    expect((await quorate(["why", "killed"])).out).toContain("ChaosEnded ClusterSpec killed");
  });

  test("nobody takes over in the time that was promised: it is broken off, told, and nothing goes on", async () => {
    await runningCluster("lost", SPEC);
    const { code, out } = await run("kill-leader", "lost", "--yes", "--rounds", "3");
    expect(code).toBe(2);
    expect(out).toContain("broken off: LeaderlessTooLong: nobody has led for 11.");
    expect(out.match(/done: delete/g)).toHaveLength(1);
    expect(await admin.get(TURN)).toBeUndefined();
    expect((await eventsOf("lost")).some((event) => event.startsWith("ChaosAborted: kill-leader"))).toBe(true);
  });

  test("a switchover that the cluster refuses is broken off with its words", async () => {
    await runningCluster("refusing", SPEC);
    await runMember("refusing-2", { state: "Stalled", lagBucket: ">=1Gi" });
    const { code, out } = await run("switchover", "refusing", "--member", "refusing-2", "--yes");
    expect(code).toBe(2);
    expect(out).toMatch(/broken off: Refused: Refused: refusing-2 is not in sync|a guard rail holds it back/);
  });

  test("the operator's own repair is measured: a route that was deleted comes back", async () => {
    await runningCluster("routed", SPEC);
    const slice = ref("discovery.k8s.io/v1", "EndpointSlice", "routed-rw");
    const { uid } = (await read("discovery.k8s.io/v1", "EndpointSlice", "routed-rw")).metadata;
    const member = async () => {
      await eventually(async () =>
        expect((await read("discovery.k8s.io/v1", "EndpointSlice", "routed-rw")).metadata.uid).not.toBe(uid),
      );
      const endpoints = [{ addresses: ["10.0.0.1"], conditions: { ready: true } }];
      await admin.mergePatch(slice, { endpoints });
    };
    const [{ code, out }] = await Promise.all([run("delete-route", "routed", "--yes"), member()]);
    expect(out).toContain("✓ it kept what it promises");
    expect(code).toBe(0);
  });
});

describe("a game day", () => {
  test("shows its script first, and names what it cannot try", async () => {
    await shown();
    const { code, out } = await quorate(["chaos", "game-day", "split-brain-post-mortem", "shown", "--without-budget"]);
    expect(code).toBe(0);
    expect(out).toContain("  kubectl -n default get lease shown --watch");
    expect(out).toContain("Step 1 of 2: kill-leader");
    expect(out).toContain("expected: The Lease names that leader and that epoch");
    expect(out).toContain("Not part of it: A leader that is cut off");
  });

  test("is gone through step by step, and each is checked", { timeout: 120_000 }, async () => {
    await runningCluster("played", SPEC);
    const register = async (leader: string, epoch: number) => {
      const annotations = { [ANNOTATION_LEADER]: leader };
      const spec = { holderIdentity: leader, leaseTransitions: epoch };
      await admin.mergePatch(ref("coordination.k8s.io/v1", "Lease", "played"), { metadata: { annotations }, spec });
    };
    const members = async () => {
      await takeOver("played");
      await register("played-1", 2);
      const asked = async () => {
        const { switchover } = await intentOf("played");
        if (switchover === null) throw new Error("nothing was asked yet");
        return switchover;
      };
      const { id } = await vi.waitFor(asked, { timeout: 60_000, interval: 100 }); // the first step has to end before
      await runMember("played-0", { role: "leader", epoch: 3 });
      await runMember("played-1", { epoch: 3, switchover: { id, result: "Done", message: "played-0 leads" } });
      await runMember("played-2", { epoch: 3 });
      await register("played-0", 3);
    };
    await register("played-0", 1);
    const args = [
      "chaos",
      "game-day",
      "split-brain-post-mortem",
      "played",
      "--without-budget",
      "--yes",
      "--pause",
      "1",
    ];
    const [ended] = await Promise.allSettled([quorate(args), members()]);
    const { code, out } = ended.status === "fulfilled" ? ended.value : { code: -1, out: String(ended.reason) };
    expect(out).toContain("✓ Somebody took over, in a higher epoch [epoch-grew]: played-0 (1) → played-1 (2)");
    expect(out).toContain("✓ The Lease names that leader and that epoch [register-agrees]: played-0, epoch 3");
    expect(out).toContain(
      "✓ An Event tells of the change of leader [change-was-told]: played-0 leads now instead of played-1, epoch 3.",
    );
    expect(code).toBe(0);
    expect((await statusOf("played")).leader).toBe("played-0");
  });

  test("ends with 2 where a check fails, and takes no further step", { timeout: 120_000 }, async () => {
    await runningCluster("failing", SPEC); // nobody writes its Lease, so the register does not agree
    const args = ["chaos", "game-day", "split-brain-post-mortem", "failing", "--without-budget", "--yes"];
    const [{ code, out }] = await Promise.all([quorate(args), takeOver("failing")]);
    expect(code).toBe(2);
    expect(out).toContain("✗ The Lease names that leader and that epoch [register-agrees]");
    expect(out).toContain("✗ Broken: kubectl quorate why failing");
    expect(out.match(/done:/g)).toHaveLength(1);
  });
});

test("completion offers experiments, game days and clusters", async () => {
  await shown();
  expect((await quorate(["__complete", "chaos", "r"])).out).toContain("run\t");
  expect((await quorate(["__complete", "chaos", "run", "kill-l"])).out).toBe("kill-leader\n:4\n");
  expect((await quorate(["__complete", "chaos", "run", "kill-leader", "sho"])).out).toBe("shown\n:4\n");
  expect((await quorate(["__complete", "chaos", "game-day", "cold"])).out).toBe("cold-start-burst\n:4\n");
  expect((await quorate(["__complete", "--", "chaos", "run", "kill-leader", "shown", "--outs"])).out).toContain(
    "--outside-window\n",
  );
});
