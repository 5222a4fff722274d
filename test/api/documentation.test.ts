// Every command that documentation tells people to type is run as it is printed: here, with the operator on a real API server; or by the
// test that is named for it below. A command that is new is run here, and fails until the page, this world or that list has what it needs.
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import type { Server } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dump, load, loadAll } from "js-yaml";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { commandsOfNotes, type PrintedCommand, printedCommands } from "../../hack/scenario/documentation.ts";
import { Terminal } from "../../hack/scenario/runbook.ts";
import { pause, until } from "../../hack/scenario/shell.ts";
import { ANNOTATION_LEADER, ANNOTATION_SYNC } from "../../src/api/names.ts";
import type { KubeObject } from "../../src/kube/object.ts";
import { ELSEWHERE } from "./documented-elsewhere.ts";
import { namespaceOf, pastHour, pricesOfPage, readersOwn, surroundings, usageKinds } from "./documented-world.ts";
import { startKubelet } from "./fake-kubelet.ts";
import { binary, type ControlPlane, monitoringKinds, startControlPlane } from "./harness.ts";
import { admin, plane } from "./operator-world.ts";
import { REDIS_PROGRAMS } from "../engine/host-redis.ts";
import { HostPrometheus } from "../prometheus/harness.ts";
import { PlayingCluster } from "./playing-cluster.ts";

const ROOT = join(import.meta.dirname, "../..");
const COMMANDS = await printedCommands();

/** Whose no (exit code 2) is an answer that its page speaks of: this is no production, nobody is lost, and advice is given. */
const MAY_SAY_NO = [/^kubectl quorate (preflight|force-promote|chaos run|advise) /];
/** Changes what is there: the next page finds it as it was. */
const TOUCHES = / (patch|annotate|apply|create|delete|restart|switchover|force-promote|run) /;
/** Goes on until somebody ends it. */
const ENDLESS = / --watch$/;
/** Of an installation, for which nothing may be installed yet. */
const INSTALLATION = /^helm |^kubectl apply .*-k deploy[/]/;

/** What Helm says when it has done what it was told, by its command. */
const SAYS: Readonly<Record<string, string>> = {
  install: "STATUS: deployed",
  upgrade: "has been upgraded",
  uninstall: "uninstalled",
  test: "Succeeded",
  show: "serverside-applied",
};

const rest = COMMANDS.filter((printed) => !ELSEWHERE.some(({ covers }) => covers(printed)));
const [installing, operating] = [true, false].map((isInstallation) =>
  rest.filter(({ command }) => INSTALLATION.test(command) === isInstallation),
) as [PrintedCommand[], PrintedCommand[]];

test.each(ELSEWHERE)("$file runs what is left out here", async ({ covers, file, says }) => {
  expect(COMMANDS.filter((printed) => covers(printed))).not.toEqual([]);
  expect(await readFile(join(ROOT, file), "utf8")).toContain(says);
});

test("pages of scenarios are all among those that are followed", async () => {
  const walks = await readFile(join(ROOT, "test/lab/scenarios.test.ts"), "utf8");
  const pages = new Set(COMMANDS.map(({ page }) => page).filter((page) => page.startsWith("docs/runbooks/scenarios/")));
  expect(pages.size).toBeGreaterThan(3);
  for (const page of pages) {
    const name = page.slice("docs/runbooks/".length, -".md".length);
    expect(walks).toContain(`"${name}": async`);
    expect(walks).toMatch(new RegExp(`(follow|commandsOf)\\("${name}"`));
  }
});

test("there is no command without a page that is looked at", () => {
  expect(new Set(COMMANDS.map(({ page }) => page)).size).toBeGreaterThan(50);
  expect(COMMANDS.length).toBeGreaterThan(200);
});

/** A terminal in a working copy of its own, with kubectl, the plugin as it is shipped, and Helm. */
async function openTerminal(of: ControlPlane, namespace: string): Promise<{ folder: string; terminal: Terminal }> {
  const folder = await mkdtemp(join(of.folder, "checkout-"));
  const config = JSON.parse(await readFile(of.kubeconfig, "utf8")) as {
    readonly contexts: readonly { readonly context: object }[];
  };
  const contexts = config.contexts.map((one) => ({ ...one, context: { ...one.context, namespace } }));
  const kubeconfig = join(folder, "kubeconfig");
  await writeFile(kubeconfig, JSON.stringify({ ...config, contexts }));
  for (const name of ["charts", "crds", "deploy", "engines", "examples"]) {
    await symlink(join(ROOT, name), join(folder, name));
  }
  const terminal = await Terminal.open(folder, binary("kubectl"), kubeconfig);
  await symlink(binary("helm"), join(folder, "programs/helm"));
  const plugin = `#!/bin/sh\nexec ${process.execPath} ${inject("pluginProgram")} "$@"\n`;
  await writeFile(join(folder, "programs/kubectl-quorate"), plugin);
  await chmod(join(folder, "programs/kubectl-quorate"), 0o755);
  return { folder, terminal };
}

/** Programs of the Engine that somebody has written, where whoever it runs as can reach them. */
const ENGINE_PROGRAMS = await mkdtemp(join(tmpdir(), "quorate-programs-"));

/** What is not there yet when it is asked for too early. */
const NOT_YET = /NotFound|not found|no matching resources|there is no |is not there/;

/** Runs a command as it stands, in that folder; what comes into being a moment later is waited for, as people do. */
async function paste(terminal: Terminal, folder: string, command: string): Promise<string> {
  const orNo = MAY_SAY_NO.some((one) => one.test(command)) ? "|| [ $? = 2 ]" : "";
  const line = ENDLESS.test(command) ? `timeout 3 ${command} || [ $? = 124 ]` : `{ ${command}\n} 2>&1 ${orNo}`;
  const endMs = performance.now() + 20_000;
  for (;;) {
    try {
      return await terminal.paste(`cd ${folder}; PATH=${ENGINE_PROGRAMS}:$PATH; set -o pipefail; ${line}`);
    } catch (error) {
      const { message, stdout = "" } = error as Error & { readonly stdout?: string };
      const said = `${stdout}${message}`;
      if (!NOT_YET.test(said) || performance.now() > endMs) throw new Error(`${command}\n${said}`, { cause: error });
      await pause(300);
    }
  }
}

describe("with an operator that runs", () => {
  const NODE = "n1";
  let terminal: Terminal;
  let folder: string;
  let playing: PlayingCluster;
  let kubelet: Server;
  let prometheus: HostPrometheus;
  let fill: (command: string) => string;
  let isTouched = true;
  const looked = new Set<string>();

  beforeAll(async () => {
    const logs = new Map(
      [0, 1, 2].map((ordinal): [string, string] => [`orders-${ordinal}-0`, "2030-01-01T00:00:00Z it runs\n"]),
    );
    logs.set("quorate-operator-0/operator", '{"level":"info","message":"This replica leads"}\n');
    kubelet = await startKubelet(plane, admin, NODE, logs);
    for (const file of ["etcd", "galera", "rabbitmq", "redis"]) {
      await plane.kubectl("apply", "--server-side", "-f", join(ROOT, `engines/${file}.yaml`));
    }
    await plane.kubectl("apply", "--server-side", "-k", join(ROOT, "deploy/operator"));
    await plane.kubectl("apply", "--server-side", "-k", join(ROOT, "deploy/flowschema"));
    await plane.kubectl("apply", "--server-side", "-f", monitoringKinds());
    await plane.apply(usageKinds());
    await plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s");
    await plane.apply(await surroundings());
    ({ folder, terminal } = await openTerminal(plane, "shop"));
    await chmod(ENGINE_PROGRAMS, 0o755);
    await symlink(REDIS_PROGRAMS["redis-server"], join(ENGINE_PROGRAMS, "redis-server"));
    await mkdir(join(folder, "dist"));
    await symlink(inject("pluginProgram"), join(folder, "dist/kubectl-quorate.mjs"));
    await mkdir(join(folder, "installed"));
    await writeFile(join(folder, "orders.yaml"), await readersOwn());
    await symlink(join(ROOT, "engines/redis.yaml"), join(folder, "example.yaml")); // the Engine that somebody has written
    await writeFile(join(folder, "prices.yaml"), await pricesOfPage());
    prometheus = await HostPrometheus.start(() => Promise.resolve(""), [], pastHour());
    fill = (command) =>
      command
        .replaceAll("<revision>", "7c9f")
        .replaceAll("<try>", "1")
        .replaceAll("/usr/local/bin", join(folder, "installed"))
        .replaceAll("http://localhost:9090", prometheus.url);
    playing = new PlayingCluster(admin, NODE);
    playing.start();
  });

  afterAll(async () => {
    await rm(ENGINE_PROGRAMS, { recursive: true });
    await playing?.stop();
    await prometheus?.stop();
    kubelet?.close();
  });

  test.each([...new Set(operating.map(({ page }) => page))])("%s", { timeout: 180_000 }, async (page) => {
    if (isTouched) await resetOrders();
    isTouched = false;
    const refused: string[] = [];
    for (const { command } of operating.filter((one) => one.page === page)) {
      const touches = TOUCHES.test(command);
      isTouched ||= touches;
      if (!touches && looked.has(command)) continue; // pages of alerts begin alike
      looked.add(command);
      for (const [needs, give] of GIVEN) if (needs.test(command)) await give();
      await paste(terminal, folder, fill(command)).catch((error: Error) => refused.push(error.message));
    }
    expect(refused).toEqual([]);
  });

  test("a command that does not do what its page says would be found", async () => {
    await expect(paste(terminal, folder, "kubectl quorate status orders --colour")).rejects.toThrow("unknown option");
    await expect(paste(terminal, folder, "kubectl apply -f examples/nowhere.yaml")).rejects.toThrow("does not exist");
    await expect(paste(terminal, folder, "kubectl get orders")).rejects.toThrow("doesn't have a resource type");
  });

  /** What must be there before a command can be typed, on pages that say so in words. */
  const GIVEN: readonly (readonly [RegExp, () => Promise<unknown>])[] = [
    [/^kubectl create namespace demo$/, () => forgetNamespace("demo")],
    [/-n demo|examples[/]\w+[/]\w+.yaml/, () => plane.apply(namespaceOf("demo"))],
    [/ validatingwebhookconfiguration /, () => applyWebhook()],
    [/^kubectl quorate force-promote /, () => tellWhoConfirms()],
  ];

  async function resetOrders(): Promise<void> {
    const orders = load(await readersOwn()) as { readonly spec: object };
    const live = await terminal
      .paste("kubectl get qcs orders -o json")
      .then((text) => JSON.parse(text) as { readonly spec: { readonly storage: object } })
      .catch(() => undefined);
    // Volumes do not shrink.
    const spec = live === undefined ? orders.spec : { ...orders.spec, storage: live.spec.storage };
    const file = join(folder, "reset.json");
    await writeFile(file, JSON.stringify({ ...orders, spec }));
    // The operator may write the status between kubectl's look and its write.
    await until("orders to be replaced", 20_000, () =>
      terminal.paste(
        `cd ${folder}; kubectl delete clusteroperations --all --wait=false && ` +
          `if kubectl get qcs orders >/dev/null 2>&1; then kubectl replace -f reset.json; else kubectl create -f reset.json; fi`,
      ),
    );
    await until("orders to be as they were", 60_000, () => terminal.paste("kubectl quorate wait orders --timeout 60"));
  }

  async function tellWhoConfirms(): Promise<void> {
    const sync = JSON.stringify({ epoch: 1, names: ["orders-1"] });
    const lease = { apiVersion: "coordination.k8s.io/v1", kind: "Lease", namespace: "shop", name: "orders" };
    const annotations = { [ANNOTATION_SYNC]: sync, [ANNOTATION_LEADER]: "orders-0" };
    await admin.mergePatch(lease, { metadata: { annotations } });
  }

  /** Without the controller that empties a namespace it would stay for ever. */
  async function forgetNamespace(name: string): Promise<void> {
    const namespace = { apiVersion: "v1", kind: "Namespace", name };
    if ((await admin.delete(namespace)) === "Absent") return;
    const leaving = await admin.get<KubeObject & { readonly spec?: object }>(namespace);
    const file = join(folder, "namespace.json");
    await writeFile(file, JSON.stringify({ ...leaving, spec: { finalizers: [] } }));
    await plane.kubectl("replace", "--raw", `/api/v1/namespaces/${name}/finalize`, "-f", file);
  }

  /** The configuration alone: nobody asks an operator that does not serve it. */
  async function applyWebhook(): Promise<void> {
    const text = await plane.kubectl("kustomize", join(ROOT, "deploy/webhook"));
    const objects = loadAll(text) as KubeObject[];
    const found = objects.filter(({ kind }) => kind === "ValidatingWebhookConfiguration");
    await plane.apply(found.map((object) => dump(object)).join("---\n"));
  }
});

describe("with nothing but Kubernetes", () => {
  let bare: ControlPlane;
  let terminal: Terminal;
  let folder: string;
  let notes = "";

  beforeAll(async () => {
    bare = await startControlPlane();
    ({ folder, terminal } = await openTerminal(bare, "default"));
    await bare.kubectl("apply", "--server-side", "-f", monitoringKinds());
  });
  afterAll(() => bare?.stop());

  /** Leaves one release at most: two operators would look after the same clusters. */
  async function uninstall(...namespaces: readonly string[]): Promise<void> {
    for (const namespace of namespaces) {
      await terminal.paste(`helm uninstall quorate --namespace ${namespace} --ignore-not-found`);
    }
  }

  async function install(): Promise<void> {
    await uninstall("team-b");
    const releases = await terminal.paste("helm list --short --namespace quorate-system");
    const chart = join(folder, "charts/quorate");
    if (releases.trim() === "") {
      await terminal.paste(`helm install quorate ${chart} --namespace quorate-system --create-namespace`);
    }
  }

  test.each(installing.filter(({ command }) => !command.startsWith("kubectl")))(
    "$page: $command",
    { timeout: 120_000 },
    async ({ command }) => {
      if (command.startsWith("helm install")) await uninstall("quorate-system", "team-b");
      else await install();
      const playing = command.startsWith("helm test") ? endTestPod() : Promise.resolve();
      const [said] = await Promise.all([paste(terminal, folder, command), playing]);
      if (said.includes("NOTES:")) notes = said.split("NOTES:")[1] ?? "";
      const [, verb = ""] = command.split(" ");
      expect(said).toContain(SAYS[verb] ?? "?");
    },
  );

  test("what the chart says after an installation", { timeout: 60_000 }, async () => {
    await install();
    const commands = commandsOfNotes(notes);
    expect(commands.length).toBeGreaterThan(4);
    for (const command of commands) {
      if (command.includes(" rollout status ")) await pretendReady();
      const playing = command.startsWith("helm test") ? endTestPod() : Promise.resolve();
      await Promise.all([paste(terminal, folder, command), playing]);
    }
  });

  test.each(installing.filter(({ command }) => command.startsWith("kubectl")))(
    "$page: $command",
    { timeout: 60_000 },
    async ({ command }) => {
      await uninstall("quorate-system", "team-b");
      expect(await paste(terminal, folder, command)).toContain("serverside-applied");
    },
  );

  /** What a kubelet would say of the pod that asks the operator. */
  async function endTestPod(): Promise<void> {
    const api = await bare.client();
    try {
      await until("the chart's test", 30_000, async () => {
        const text = await bare.kubectl("-n", "quorate-system", "get", "pods", "-o", "json");
        const { items } = JSON.parse(text) as {
          readonly items: readonly { readonly metadata: { readonly name: string } }[];
        };
        const name = items[0]?.metadata.name;
        if (name === undefined) return undefined;
        const pod = { apiVersion: "v1", kind: "Pod", namespace: "quorate-system", name };
        await api.mergePatch<KubeObject & { readonly status: object }>(
          pod,
          { status: { phase: "Succeeded" } },
          { subresource: "status" },
        );
        return true;
      });
    } finally {
      api.close();
    }
  }

  async function pretendReady(): Promise<void> {
    const api = await bare.client();
    const counts = { replicas: 1, updatedReplicas: 1, readyReplicas: 1, availableReplicas: 1 };
    const ref = { apiVersion: "apps/v1", kind: "Deployment", namespace: "quorate-system", name: "quorate-operator" };
    try {
      const { metadata } = (await api.get(ref)) as { readonly metadata: { readonly generation?: number } };
      const status = { ...counts, observedGeneration: metadata.generation };
      await api.mergePatch<KubeObject & { readonly status: object }>(ref, { status }, { subresource: "status" });
    } finally {
      api.close();
    }
  }
});
