/** The runbooks of scenarios: each is made, its page is followed command by command, and all is well in the end. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { patchSpec } from "../../hack/scenario/change.ts";
import { applyExample, removeNamespace } from "../../hack/scenario/example.ts";
import { installOperator } from "../../hack/scenario/install.ts";
import { apply, KUBECONFIG, KUBECTL, kubectl, lab } from "../../hack/scenario/lab.ts";
import { freezePods } from "../../hack/scenario/lasting-faults.ts";
import { commandsOf, scenarios, Terminal } from "../../hack/scenario/runbook.ts";
import { pause, until } from "../../hack/scenario/shell.ts";
import { quorateSubject, readCluster } from "../../hack/scenario/subject.ts";
import { WriterRun } from "../../hack/scenario/writer-run.ts";
import { nameOf } from "../../src/api/names.ts";
import { expectNothingLost } from "./oracle.ts";

const NAMESPACE = "scenarios";
const CLUSTERS = ["orders", "front", "pages"];
const DATABASE = quorateSubject(NAMESPACE, "orders");
const EXAMPLES = join(import.meta.dirname, "../../examples");

let folder: string;
let terminal: Terminal;

async function applyFolder(name: string, change: (manifest: string) => string = (same) => same): Promise<void> {
  const manifest = await readFile(join(EXAMPLES, name, "cluster.yaml"), "utf8");
  await apply(change(manifest.replace("namespace: demo", `namespace: ${NAMESPACE}`)));
}

async function isReady(cluster: string): Promise<boolean> {
  const { conditions = [] } = (await readCluster(NAMESPACE, cluster))?.status ?? {};
  return conditions.find(({ type }) => type === "Ready")?.status === "True";
}

async function untilReady(cluster: string): Promise<void> {
  await until(`${cluster} to be ready`, 300_000, async () => ((await isReady(cluster)) ? true : undefined));
}

/** Runs the commands of a page, one after the other. @returns what each of them printed. */
async function follow(page: string): Promise<string[]> {
  const said: string[] = [];
  for (const line of await commandsOf(page, NAMESPACE, "orders")) {
    // Advice ends with 2 where there is some.
    said.push(await terminal.paste(line.includes(" advise ") ? `${line} || [ $? = 2 ]` : line));
  }
  return said;
}

const why = (cluster: string): Promise<string> => terminal.paste(`kubectl quorate -n ${NAMESPACE} why ${cluster}`);

async function podsOf(cluster: string): Promise<string[]> {
  const path = 'jsonpath={range .items[*]}{.metadata.uid}{"\\n"}{end}';
  const text = await kubectl("-n", NAMESPACE, "get", "pods", "-l", `quorate.io/cluster=${cluster}`, "-o", path);
  return text.trim().split("\n");
}

beforeAll(async () => {
  await lab("up");
  await installOperator();
  await applyExample({ namespace: NAMESPACE, cluster: "orders" });
  await apply(await readFile(join(EXAMPLES, "web/engine.yaml"), "utf8"));
  await applyFolder("web");
  await applyFolder("cache", (manifest) => manifest.replace("maxmemory: 96mb", "maxmemory: 16mb"));
  for (const cluster of CLUSTERS) await untilReady(cluster);
  folder = await mkdtemp(join(tmpdir(), "quorate-scenarios-"));
  terminal = await Terminal.open(folder, KUBECTL[0] ?? "kubectl", KUBECONFIG);
});

afterAll(async () => {
  await removeNamespace(NAMESPACE);
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
});

const WALKS: Readonly<Record<string, () => Promise<void>>> = {
  "scenarios/control-plane-outage": async () => {
    const { member } = await DATABASE.leader();
    const writer = new WriterRun({ ...DATABASE.writer, name: "writer-outage", seconds: 0 });
    await writer.start();
    await lab("operator", "stop");
    await lab("apiserver", "stop");
    try {
      await pause(30_000);
    } finally {
      await lab("apiserver", "start");
      // Whoever starts pods has found the API server gone, and looks again later and later.
      await until("the operator to start", 240_000, async () => (await lab("operator", "start")) !== "" || undefined);
    }
    await until(
      "the API server to say so",
      30_000,
      async () => (await kubectl("get", "--raw", "/readyz")) === "ok" || undefined,
    );
    await DATABASE.untilHealthy(120_000);
    const [ready] = await follow("scenarios/control-plane-outage");
    expect(ready).toBe("ok");
    const verdict = await writer.finish();
    expectNothingLost(verdict);
    expect(verdict.timelines).toHaveLength(1);
    expect((await DATABASE.leader()).member).toBe(member);
  },

  "scenarios/split-brain-post-mortem": async () => {
    const writer = new WriterRun({ ...DATABASE.writer, name: "writer-split", seconds: 0 });
    await writer.start();
    const old = await DATABASE.leader();
    // It does not even notice that it is replaced, and takes itself for the leader when it thaws.
    const thaw = await freezePods(NAMESPACE, [old.pod]);
    try {
      await until("another leader", 60_000, async () => {
        const { leader } = (await readCluster(NAMESPACE, "orders"))?.status ?? {};
        return leader !== undefined && leader !== old.member ? true : undefined;
      });
    } finally {
      await thaw();
    }
    await DATABASE.untilHealthy(180_000);
    const [tree = "", lease = ""] = await follow("scenarios/split-brain-post-mortem");
    const { member: leader } = await DATABASE.leader();
    expect(leader).not.toBe(old.member);
    expect(tree).toContain(old.member);
    expect(lease).toContain(leader);
    expectNothingLost(await writer.finish());
  },

  "scenarios/cold-start-burst": async () => {
    await until("the autoscaler to say that it measures nothing", 120_000, async () =>
      (await why("front")).includes("LoadMeasured") ? true : undefined,
    );
    const selector = `quorate.io/cluster=front`;
    await kubectl("-n", NAMESPACE, "delete", "pods", "-l", selector, "--grace-period=0", "--force"); // everything is cold
    await follow("scenarios/cold-start-burst");
    await until("six that are ready", 180_000, async () =>
      (await readCluster(NAMESPACE, "front"))?.status?.readyMembers === 6 ? true : undefined,
    );
  },

  "scenarios/rebalance-storm": async () => {
    const settled = async (phase: string) =>
      until(`the roll to be ${phase}`, 180_000, async () => {
        const { status, metadata } = (await readCluster(NAMESPACE, "front")) ?? {};
        const isTakenIn = status?.observedGeneration === metadata?.generation;
        return isTakenIn && status?.rollout?.phase === phase && (status.change ?? "") === "" ? true : undefined;
      });
    await untilReady("front");
    const before = await podsOf("front");
    await patchSpec(NAMESPACE, "front", { parameters: { greeting: "welcome" } });
    await until("a roll that is under way", 60_000, async () =>
      (await podsOf("front")).some((uid) => !before.includes(uid)) ? true : undefined,
    );
    await follow("scenarios/rebalance-storm");
    await settled("RolledBack");
    const after = await podsOf("front");
    expect(before.filter((uid) => !after.includes(uid))).toEqual([]); // nobody but the canary came or went
    await patchSpec(NAMESPACE, "front", { parameters: null });
    await settled("Complete");
  },

  "scenarios/cache-cost-and-latency": async () => {
    const ask = (command: string): Promise<string> => {
      const client = "REDISCLI_AUTH=$(cat /quorate-credentials/app) redis-cli -s /run/redis.sock --user app";
      const script = `${client} ${command}`;
      return kubectl("-n", NAMESPACE, "exec", nameOf.pod("pages-0"), "-c", "engine", "--", "sh", "-c", script);
    };
    const fill = `eval "for key = 1, 20000 do redis.call('set', ARGV[1] .. key, string.rep('x', 100)) end" 0`;
    const fillUp = async (): Promise<void> => {
      for (let round = 0; round < 8; round++) await ask(`${fill} page-${round}-`);
    };
    const evicted = async () => Number(/evicted_keys:([0-9]+)/.exec(await ask("info stats"))?.[1]);
    await fillUp();
    expect(await evicted()).toBeGreaterThan(0);
    const said = await follow("scenarios/cache-cost-and-latency");
    expect(said.join("\n")).toMatch(/evicted_keys:[1-9]/);
    await until("the members to take what was set", 60_000, async () =>
      (await ask("info memory")).includes(`maxmemory:${160 * 2 ** 20}`) ? true : undefined,
    );
    const before = await evicted();
    await fillUp();
    expect(await evicted()).toBe(before);
    await untilReady("pages");
  },
};

test("every page of a scenario is walked here", async () => {
  expect(Object.keys(WALKS).toSorted()).toEqual((await scenarios()).toSorted());
});

test.each(Object.entries(WALKS))("%s", async (_page, walk) => {
  await walk();
  expect(await Promise.all(CLUSTERS.map(isReady))).toEqual([true, true, true]);
});
