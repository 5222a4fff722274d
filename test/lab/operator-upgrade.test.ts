/**
 * The operator of an earlier commit on a real cluster, today's in its place by Helm, the earlier one again and today's again, as
 * docs/install.md has it: under a client that counts, over clusters whose members must not notice. At the end today's operator brings its
 * own agents by a roll.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { patchSpec } from "../../hack/scenario/change.ts";
import { earlierRelease, loadImages } from "../../hack/scenario/earlier-release.ts";
import { removeNamespace } from "../../hack/scenario/example.ts";
import { CHART, helm, installOperator, removeOperator } from "../../hack/scenario/install.ts";
import { apply, kubectl, lab, podProcesses } from "../../hack/scenario/lab.ts";
import { until } from "../../hack/scenario/shell.ts";
import { quorateSubject, readCluster } from "../../hack/scenario/subject.ts";
import { WriterRun } from "../../hack/scenario/writer-run.ts";
import { LABEL_CLUSTER } from "../../src/api/names.ts";
import { expectNothingLost } from "./oracle.ts";

/** As in test/api/operator-upgrade.test.ts: the first in which all topologies are. */
const EARLIER = process.env["EARLIER"] ?? "cd415a3";
const earlier = await earlierRelease(EARLIER);
const NAMESPACE = "upgraded";
/** By the name of each cluster: the example that it is, and the name that it has there. */
const CLUSTERS = { orders: "postgres", settings: "etcd" } as const;
const SUBJECT = quorateSubject(NAMESPACE, "orders");
const OPERATOR = ["-n", "quorate-system", "deployment/quorate-operator"];
const WAIT = ["--wait", "--timeout", "5m"];
const TODAY = ["--set", "image.tag=dev,agentImage.tag=dev"];
/** Longer than the operator's regular look at every cluster, which is when a difference of opinion would show. */
const SETTLED_MS = 20_000;

describe.skipIf(earlier === undefined)(`an operator of ${EARLIER}, today's, and the earlier one again`, () => {
  let writer: WriterRun;

  beforeAll(async () => {
    if (earlier === undefined) throw new Error("unreachable: skipped");
    await lab("up");
    await removeOperator();
    // CRDs of an earlier version would take fields from clusters that are somebody else's.
    const strangers = await kubectl("get", "qcs", "-A", "-o", "name");
    if (strangers !== "") throw new Error(`remove these first: ${strangers}`);
    await loadImages(earlier);
    await applyCrds(earlier.chart);
    const tags = ["--set", `image.tag=${earlier.tag},agentImage.tag=${earlier.tag}`];
    await helm("install", "quorate", earlier.chart, "--create-namespace", ...tags, ...WAIT);
    await kubectl("create", "namespace", NAMESPACE);
    for (const example of Object.values(CLUSTERS)) {
      const manifest = await readFile(join(earlier.examples, example, "cluster.yaml"), "utf8");
      await apply(manifest.replace("namespace: demo", `namespace: ${NAMESPACE}`));
    }
    await untilReady();
    writer = new WriterRun({ ...SUBJECT.writer, name: "writer-upgrade", seconds: 0 });
    await writer.start();
  });

  afterAll(async () => {
    writer?.stop();
    await removeNamespace(NAMESPACE);
    await removeOperator();
    await installOperator(); // as the other tests expect it
  });

  test("today's takes over: members run on untouched, and writes go on", async () => {
    await unnoticed(upgrade);
    expect(await operatorImage()).toBe("quorate/operator:dev");
  });

  test("it leads members whose agents are the earlier one's: a switchover, and a parameter", async () => {
    const { member: former } = await SUBJECT.leader();
    await SUBJECT.switchover();
    await until("another leader", 60_000, async () => ((await SUBJECT.leader()).member === former ? undefined : true));
    await untilReady();
    await patchSpec(NAMESPACE, "orders", { parameters: { work_mem: "8MB" } }); // taken without a restart
    await untilReady();
    expect(new Set(await agentImages())).toEqual(new Set([`quorate/agent:${earlier?.tag}`]));
  });

  test("the earlier one goes on where today's was, beside today's CRDs", async () => {
    await unnoticed(async () => void (await helm("rollback", "quorate", "1", ...WAIT)));
    expect(await operatorImage()).toBe(`quorate/operator:${earlier?.tag}`);
  });

  test("it looks after its clusters as before: a member whose pod is lost comes back, and follows", async () => {
    const { member: leader } = await SUBJECT.leader();
    const lost = ["orders-0", "orders-1", "orders-2"].find((member) => member !== leader) ?? "";
    await kubectl("-n", NAMESPACE, "delete", "pod", `${lost}-0`);
    await SUBJECT.untilHealthy(180_000);
    await untilReady();
    expect((await SUBJECT.leader()).member).toBe(leader);
  });

  test("today's after that; its agents come with the next roll, and nothing was lost in all of it", {
    timeout: 900_000,
  }, async () => {
    await unnoticed(upgrade);
    await patchSpec(NAMESPACE, "orders", { resources: { requests: { memory: "320Mi" } } });
    await until("members with today's agent", 420_000, async () => {
      const { metadata, status } = (await readCluster(NAMESPACE, "orders")) ?? {};
      const isTakenIn = status?.observedGeneration === metadata?.generation;
      if (!isTakenIn || status?.rollout?.phase !== "Complete") return undefined;
      return (await agentImages()).every((image) => image === "quorate/agent:dev") ? true : undefined;
    });
    await untilReady();
    const verdict = await writer.finish();
    process.stdout.write(
      `operator upgrade: largest write gap ${verdict.largestGapMs} ms, ${verdict.acked} acknowledged\n`,
    );
    expectNothingLost(verdict);
  });

  /** Does `work`, and waits for what it may set off: every process of every member and every leader is the same afterwards, and writes went on. */
  async function unnoticed(work: () => Promise<void>): Promise<void> {
    const before = [await members(), await epochs()];
    await work();
    await untilReady();
    const acked = writer.lastTick?.acked ?? 0;
    await new Promise((resolve) => setTimeout(resolve, SETTLED_MS));
    expect(writer.lastTick?.acked ?? 0).toBeGreaterThan(acked + 20);
    await untilReady();
    expect([await members(), await epochs()]).toEqual(before);
  }
});

/** As docs/install.md says: CRDs first, which Helm never changes. */
async function upgrade(): Promise<void> {
  await applyCrds(CHART);
  await helm("upgrade", "quorate", CHART, ...TODAY, ...WAIT);
}

async function applyCrds(chart: string): Promise<void> {
  await kubectl("apply", "--server-side", "--force-conflicts", "-f", join(chart, "crds"));
  const names = ["clusterspecs", "engines", "clusteroperations"].map((plural) => `crd/${plural}.quorate.io`);
  await kubectl("wait", "--for=condition=Established", ...names, "--timeout=30s");
}

/** Waits until every cluster is ready for what its spec says, as the present operator sees it. */
async function untilReady(): Promise<void> {
  for (const cluster of Object.keys(CLUSTERS)) {
    await until(`${cluster} to be ready`, 300_000, async () => {
      const { metadata, spec, status } = (await readCluster(NAMESPACE, cluster)) ?? {};
      const ready = status?.conditions?.find(({ type }) => type === "Ready");
      // A new operator shows what it would do to members otherwise, and waits for consent or the next change.
      const isHeldUp = (status?.blocked ?? []).some(({ guard }) => guard !== "TemplateAccepted");
      const isWhole = status?.readyMembers === spec?.members && !isHeldUp;
      return ready?.status === "True" && isWhole && status?.observedGeneration === metadata?.generation
        ? true
        : undefined;
    });
  }
}

async function podNames(): Promise<readonly string[]> {
  const path = "jsonpath={range .items[*]}{.metadata.name}{' '}{end}";
  const text = await kubectl("-n", NAMESPACE, "get", "pods", "-l", LABEL_CLUSTER, "-o", path);
  return text.trim().split(" ").toSorted();
}

/** Each member's pod, its processes' ids as the host has them (but those that engines start for each client), and its restarts. */
async function members(): Promise<readonly unknown[]> {
  const path = "jsonpath={.metadata.uid} {.status.containerStatuses[*].restartCount}";
  return Promise.all(
    (await podNames()).map(async (pod) => {
      const processes = await podProcesses(NAMESPACE, pod);
      const lasting = processes.filter((one) => SUBJECT.isFirstProcess(one) || SUBJECT.isAgent(one) || isServer(one));
      const pids = lasting.map(({ pid }) => pid).toSorted((a, b) => a - b);
      expect(pids.length).toBeGreaterThanOrEqual(3);
      return [pod, await kubectl("-n", NAMESPACE, "get", "pod", pod, "-o", path), pids];
    }),
  );
}

function isServer({ command }: { readonly command: string }): boolean {
  return /^\S*(postgres -D|etcd )/.test(command);
}

async function epochs(): Promise<readonly unknown[]> {
  return Promise.all(
    Object.keys(CLUSTERS).map(async (cluster) => {
      const { status } = (await readCluster(NAMESPACE, cluster)) ?? {};
      return [cluster, status?.leader, status?.epoch];
    }),
  );
}

async function operatorImage(): Promise<string> {
  return kubectl("get", ...OPERATOR, "-o", "jsonpath={.spec.template.spec.containers[0].image}");
}

async function agentImages(): Promise<readonly string[]> {
  const path = "jsonpath={range .items[*]}{.spec.initContainers[0].image}{' '}{end}";
  const text = await kubectl("-n", NAMESPACE, "get", "pods", "-l", `${LABEL_CLUSTER}=orders`, "-o", path);
  return text.trim().split(" ");
}
