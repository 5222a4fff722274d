// Runbooks, walked through with the operator on a real API server: what is wrong is made, and the page leads out of it. That each of their
// commands can be typed is in documentation.test.ts.
import { mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { commandsOf, Terminal } from "../../hack/scenario/runbook.ts";
import { randomSecrets } from "../../src/act/secret-source.ts";
import { minimalCluster } from "./crd-cases.ts";
import { binary } from "./harness.ts";
import {
  admin,
  atRest,
  clusterRef,
  eventually,
  logged,
  NAMESPACE,
  plane,
  read,
  ref,
  registry,
  runningCluster,
  startOperator,
  statusOf,
  withoutOperator,
} from "./operator-world.ts";

let terminal: Terminal;

beforeAll(async () => {
  terminal = await Terminal.open(await mkdtemp(join(plane.folder, "terminal-")), binary("kubectl"), plane.kubeconfig);
});

async function guards(cluster: string): Promise<string[]> {
  return ((await statusOf(cluster)).blocked ?? []).map(({ guard }) => guard);
}

test("QuorateChangeStuck: why names the guard and the way past it, and the way is one", {
  timeout: 120_000,
}, async () => {
  const never = { name: "never", cron: "0 3 29 2 *", timeZone: "UTC", durationMinutes: 30 };
  await runningCluster("stuck", { maintenanceWindows: [never] });
  await admin.mergePatch(clusterRef("stuck"), { spec: { parameters: { shared_buffers: "64MB" } } });
  await eventually(async () => expect(await guards("stuck")).toContain("WindowOpen"));
  const [, why = ""] = await commandsOf("QuorateChangeStuck", NAMESPACE, "stuck");
  const said = await terminal.paste(why);
  expect(said).toContain("Held back by WindowOpen (stuck)");
  const way = /^ {2}to let it pass: (kubectl .*)$/m.exec(said)?.[1] ?? "";
  expect(way).toContain("quorate.io/urgent-until=");
  await terminal.paste(way);
  await eventually(async () => expect(await guards("stuck")).not.toContain("WindowOpen"));
  const pod = ref("v1", "Pod", "stuck-2-0");
  await eventually(async () => expect(await admin.get(pod)).toBeUndefined()); // the roll has begun
});

test("QuorateVolumeFull: the last command grows the volumes, where the StorageClass allows it", {
  timeout: 120_000,
}, async () => {
  const grows = {
    apiVersion: "storage.k8s.io/v1",
    kind: "StorageClass",
    metadata: { name: "grows" },
    provisioner: "example.com/none",
    allowVolumeExpansion: true,
  };
  await admin.create(grows);
  await runningCluster("full", { storage: { data: { size: "10Gi", className: "grows" } } });
  const report = async (member: string, size: string) => {
    const status = { phase: "Bound", capacity: { storage: size } };
    await admin.mergePatch(ref("v1", "PersistentVolumeClaim", `${member}-data`), { status }, { subresource: "status" });
  };
  for (const member of ["full-0", "full-1", "full-2"]) await report(member, "10Gi");
  await atRest();
  await terminal.paste((await commandsOf("QuorateVolumeFull", NAMESPACE, "full")).at(-1) ?? "");
  // One after the other: each as soon as the driver has grown the one before.
  for (const member of ["full-2", "full-1", "full-0"]) {
    await eventually(async () => {
      const { spec = {} } = await read("v1", "PersistentVolumeClaim", `${member}-data`);
      expect(spec["resources"]).toMatchObject({ requests: { storage: "20Gi" } });
    });
    await report(member, "20Gi");
  }
  await eventually(async () => expect(await guards("full")).toEqual([]));
});

test("QuorateOperatorBug: the log has the stack, the condition says so, and a change gets round it", {
  timeout: 120_000,
}, async () => {
  let isMended = false;
  await withoutOperator();
  await startOperator(undefined, {
    secretSource: {
      ...randomSecrets,
      createPassword: () => {
        if (!isMended) throw new TypeError("nobody foresaw this");
        return randomSecrets.createPassword();
      },
    },
  });
  await admin.create(minimalCluster({}, "bugged"));
  await eventually(async () => {
    const reasons = (await statusOf("bugged")).conditions?.map(({ reason }) => reason);
    expect(reasons).toContain("InternalError");
  });
  // The condition is written within the pass, the log and the count follow when the pass has ended.
  await eventually(async () => {
    expect(logged.filter((line) => line.includes("nobody foresaw this") && line.includes('"stack"'))).not.toEqual([]);
    expect(await registry.metrics()).toMatch(/quorate_reconcile_total\{[^}]*result="bug"[^}]*\} [1-9]/);
  });
  isMended = true;
  await admin.mergePatch(clusterRef("bugged"), {
    spec: { services: { annotations: { "example.com/asked": "again" } } },
  });
  await eventually(async () => {
    const reasons = (await statusOf("bugged")).conditions?.map(({ reason }) => reason);
    expect(reasons).not.toContain("InternalError");
  });
});
