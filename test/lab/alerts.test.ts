/**
 * A real Prometheus and a real Alertmanager with what we ship for them, and a cluster broken for every indicator and every failure
 * mode: the series moves, the alert is there in its promised time, goes to the right people, its runbook can be followed, and it ends.
 * While members are rolled, moved and taken away as planned, nobody is called. In the end every panel of every dashboard has
 * something to show.
 */
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DASHBOARDS } from "../../hack/generate/dashboards/dashboards.ts";
import { dataOf, filledIn, takePicture } from "../../hack/pictures/picture.ts";
import { askRange, type Range } from "../../hack/pictures/range.ts";
import { measureChange, patchSpec } from "../../hack/scenario/change.ts";
import { applyExample, type ExampleCluster, removeNamespace } from "../../hack/scenario/example.ts";
import { inject } from "../../hack/scenario/faults.ts";
import { installOperator } from "../../hack/scenario/install.ts";
import { KUBECONFIG, KUBECTL, kubectl, lab } from "../../hack/scenario/lab.ts";
import {
  burnProcessor,
  cutSessions,
  freezePods,
  type Heal,
  holdReplay,
  slowApiServer,
  slowEngine,
} from "../../hack/scenario/lasting-faults.ts";
import { type Monitoring, startMonitoring } from "../../hack/scenario/monitoring.ts";
import { commandsOf, Terminal } from "../../hack/scenario/runbook.ts";
import { pause, until } from "../../hack/scenario/shell.ts";
import { quorateSubject, readCluster, type Subject } from "../../hack/scenario/subject.ts";
import { nameOf } from "../../src/api/names.ts";
import { Prometheus } from "../../src/observe/prometheus.ts";
import { expectNothingLost } from "./oracle.ts";
import { type Broken, PROMISES, type Promised } from "./promises.ts";

const NAMESPACE = "alerts";
/** Where pictures go, for people to look at. */
const PICTURES = join(import.meta.dirname, "../../dist/pictures");
/** A page without a chart takes less. */
const BLANK_PICTURE_BYTES = 30_000;
const MINUTE_MS = 60_000;
const STORY_MS = 28 * MINUTE_MS;
/** A member that must connect anew again and again is slow as well, and a slow member explains lag: that is to be told before. */
const CUT_LATER_MS = 2 * MINUTE_MS;
/** Alertmanager sends what is new of a group that it has told of already after five minutes. */
const TOLD_WITHIN_MS = 6 * MINUTE_MS;
/** Evaluations before an objective of a cluster that is young can alert. */
const MEASURED = 20;

type ClusterName = Exclude<Broken, "Operator">;
const CLUSTERS: Readonly<Record<ClusterName, Omit<ExampleCluster, "namespace" | "cluster">>> = {
  rolled: { profile: "Standard", spec: { update: { minReadySeconds: 2, progressDeadlineSeconds: 40 } } },
  slow: { profile: "Standard" },
  // Its window never opens: a change that is asked for is held back.
  late: {
    profile: "Standard",
    spec: { maintenanceWindows: [{ name: "never", cron: "0 3 29 2 *", timeZone: "UTC", durationMinutes: 30 }] },
  },
  starved: {
    members: 1,
    profile: "Standard",
    spec: { resources: { requests: { cpu: "100m", memory: "256Mi" }, limits: { cpu: "300m", memory: "512Mi" } } },
  },
  // The shortest window that there is: its alerts end soonest.
  outage: { spec: { slo: { window: "7d" } } },
};

/** One whose engine measures its requests, for the panels about them; nothing is done to it. */
const MEASURING: ExampleCluster = {
  namespace: NAMESPACE,
  cluster: "sessions",
  members: 1,
  profile: "Standard",
  spec: {
    engine: { name: "redis", version: "7.0" },
    durability: { mode: "Async" },
    parameters: {},
    resources: { requests: { cpu: "50m", memory: "128Mi" }, limits: { memory: "128Mi" } },
  },
};

const subjectOf = (cluster: ClusterName): Subject => quorateSubject(NAMESPACE, cluster);
const never = new AbortController().signal;

/** The lab has no metrics server and no Prometheus operator, and a program that never ended has no earlier log. */
const NOT_HERE = [/ top /, / podmonitors /, / --previous /];

let folder: string;
let terminal: Terminal;
let monitoring: Monitoring;
let client: Prometheus;
let beganSeconds: number;
const kept = new Set<Promised>();

beforeAll(async () => {
  await lab("up");
  await installOperator();
  const names = Object.keys(CLUSTERS) as ClusterName[];
  for (const cluster of names) await applyExample({ namespace: NAMESPACE, cluster, ...CLUSTERS[cluster] });
  await applyExample(MEASURING);
  await Promise.all(names.map((cluster) => subjectOf(cluster).untilHealthy(480_000)));
  // Only to a revision that all members ran in sync can a change be taken back.
  await until("the first revision to have proven itself", 120_000, async () =>
    (await readCluster(NAMESPACE, "rolled"))?.status?.rollout?.phase === "Complete" ? true : undefined,
  );
  folder = await mkdtemp(join(tmpdir(), "quorate-alerts-"));
  terminal = await Terminal.open(folder, KUBECTL[0] ?? "kubectl", KUBECONFIG);
  const objectives = await terminal.paste(`kubectl quorate rules -n ${NAMESPACE} outage`);
  // After the clusters have been made, which is planned work, too: alerts that count over an hour keep still for one.
  monitoring = await startMonitoring([objectives]);
  client = new Prometheus(monitoring.prometheusUrl);
  beganSeconds = Date.now() / 1000;
  // What is counted from now on is counted from what was there before.
  await untilTrue("every cluster to be known", Date.now() + 3 * MINUTE_MS, async () => {
    const of = `{namespace="${NAMESPACE}"}`;
    const known = `quorate:membership_changes:increase1h${of} and on (cluster) quorate:leader_changes:delta1h${of}`;
    return (await valuesOf(known)).length === [...names, MEASURING].length;
  });
}, 900_000);

afterAll(async () => {
  await removeNamespace(NAMESPACE);
  await monitoring?.stop();
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
});

async function valuesOf(expr: string): Promise<number[]> {
  return (await client.query(expr, never)).map(({ value }) => value);
}

/** Asks every two seconds. */
async function untilTrue(what: string, endMs: number, ask: () => Promise<boolean>): Promise<void> {
  await until(what, endMs - Date.now(), async () => {
    const isSo = await ask();
    if (!isSo) await pause(2_000);
    return isSo ? true : undefined;
  });
}

const clusterOf = ({ breaks }: Promised): string | undefined => (breaks === "Operator" ? undefined : breaks);

/** Waits until the series of a promise has moved and those it is made to are told of it. @param sinceMs - When the fault began. */
async function keep(promise: Promised, sinceMs: number): Promise<void> {
  const { indicator, record, moves, alert, who, withinMinutes } = promise;
  const cluster = clusterOf(promise);
  const endMs = sinceMs + withinMinutes * MINUTE_MS;
  const series = cluster === undefined ? record : `${record}{namespace="${NAMESPACE}",cluster="${cluster}"}`;
  await untilTrue(`${series} ${moves}`, endMs, async () => (await valuesOf(`${series} ${moves}`)).length > 0);
  await untilTrue(`${alert} about ${cluster ?? "the operator"}`, endMs, async () =>
    (await monitoring.held()).some(
      (one) => one.name === alert && one.cluster === cluster && !one.isHidden && one.receivers.includes(who),
    ),
  );
  process.stdout.write(`${indicator}: ${alert} ${Math.round((Date.now() - sinceMs) / 1000)} s after its fault\n`);
  await follow(promise);
  // Before it is healed: nobody is told of what ends within the first half minute.
  await untilTrue(`${who} to be told of ${alert}`, Date.now() + TOLD_WITHIN_MS, () =>
    Promise.resolve(isToldOf(promise)),
  );
  kept.add(promise);
}

/** Whether a message about the cluster went to those who were promised one. */
function isToldOf(promise: Promised): boolean {
  return monitoring.messages.some(
    ({ receiver, groupLabels }) => receiver === promise.who && groupLabels["cluster"] === clusterOf(promise),
  );
}

/** Runs what the runbooks say to do first, as somebody does who was just told. */
async function follow(promise: Promised): Promise<void> {
  const { alert, hides = [] } = promise;
  const pages = [alert, ...hides].map((name) => commandsOf(name, NAMESPACE, clusterOf(promise) ?? "outage"));
  const lines = [...new Set((await Promise.all(pages)).flat())];
  for (const line of lines.filter((one) => !NOT_HERE.some((needs) => needs.test(`${one} `))))
    await terminal.paste(line);
}

/** Waits until those alerts have ended that do within minutes. @param sinceMs - When the fault ended. */
async function untilEnded(promises: readonly Promised[], sinceMs: number): Promise<void> {
  const ended = promises.map(async (promise) => {
    const { alert, endsWithinMinutes } = promise;
    if (endsWithinMinutes === undefined) return;
    await untilTrue(`the end of ${alert}`, sinceMs + endsWithinMinutes * MINUTE_MS, async () => {
      const held = await monitoring.held();
      return !held.some(({ name, cluster }) => name === alert && cluster === clusterOf(promise));
    });
    process.stdout.write(`${alert} ended ${Math.round((Date.now() - sinceMs) / 1000)} s after its fault\n`);
  });
  await Promise.all(ended);
}

const promisesOf = (broken: Broken): readonly Promised[] => PROMISES.filter(({ breaks }) => breaks === broken);

/** Breaks something until all promises about it have been kept, heals it as the runbook says, and waits until the alerts have ended. */
async function tellOf(promises: readonly Promised[], breakIt: () => Promise<Heal> | Heal): Promise<void> {
  const sinceMs = Date.now();
  const heal = await breakIt();
  try {
    await Promise.all(promises.map((promise) => keep(promise, sinceMs)));
  } finally {
    await heal();
  }
  await untilEnded(promises, Date.now());
}

/** Pods of the members that follow. */
async function followersOf(cluster: ClusterName): Promise<string[]> {
  const { member: leader } = await subjectOf(cluster).leader();
  const { members = [] } = (await readCluster(NAMESPACE, cluster))?.status ?? {};
  return members.filter(({ name }) => name !== leader).map(({ name }) => nameOf.pod(name));
}

/** The CPU limit of the leader's container; empty when it has none. */
async function cpuLimitOf(cluster: ClusterName): Promise<string> {
  const { pod } = await subjectOf(cluster).leader();
  return kubectl("-n", NAMESPACE, "get", "pod", pod, "-o", "jsonpath={.spec.containers[0].resources.limits.cpu}");
}

/** Everything that people do with a cluster on purpose, and nobody is called. */
async function workAsPlanned(): Promise<void> {
  const subject = subjectOf("rolled");
  const startMs = Date.now();
  const roll = await measureChange(subject, "rolled", {
    name: "roll",
    spec: { parameters: { max_connections: "110" } },
  });
  expect(roll.phase).toBe("Complete");
  expectNothingLost(roll);
  for (const _ of ["there", "back", "there"]) {
    const { member: before } = await subject.leader();
    await subject.switchover();
    await until("another leader", 120_000, async () => ((await subject.leader()).member === before ? undefined : true));
    await subject.untilHealthy(120_000);
  }
  for (const members of [2, 3]) {
    await patchSpec(NAMESPACE, "rolled", { members });
    await subject.untilHealthy(240_000);
  }
  const of = `{namespace="${NAMESPACE}",cluster="rolled"}`;
  const seconds = () => Math.ceil((Date.now() - startMs) / 1000);
  await untilTrue("the indicators of what was planned to have moved", Date.now() + 2 * MINUTE_MS, async () => {
    const moved = `quorate:leader_changes:delta1h${of} > 2 and quorate:membership_changes:increase1h${of} > 4`;
    return (await valuesOf(moved)).length > 0;
  });
  await pause(MINUTE_MS); // two evaluations
  const fired = `count_over_time(ALERTS{alertstate="firing",namespace="${NAMESPACE}",cluster="rolled"}[${seconds()}s])`;
  expect((await client.query(fired, never)).map(({ labels }) => labels["alertname"])).toEqual([]);
  expect(monitoring.messages.filter(({ groupLabels }) => groupLabels["cluster"] === "rolled")).toEqual([]);
}

/** How each is broken. */
const STORIES: Readonly<Record<Broken, () => Promise<void>>> = {
  rolled: async () => {
    const spec = { engine: { image: "localhost/no-such-image:1" } };
    const result = await measureChange(subjectOf("rolled"), "rolled", { name: "bad-image", spec });
    expect(result.phase).toBe("RolledBack");
    expectNothingLost(result);
    const failedMs = Date.now();
    await Promise.all(promisesOf("rolled").map((promise) => keep(promise, failedMs)));
    await patchSpec(NAMESPACE, "rolled", { engine: { image: null } }); // the runbook: correct the ClusterSpec
    await until("a revision that is not given up", 120_000, async () =>
      (await readCluster(NAMESPACE, "rolled"))?.status?.rollout?.phase === "Complete" ? true : undefined,
    );
    await subjectOf("rolled").untilHealthy(120_000);
  },

  Operator: () => tellOf(promisesOf("Operator"), slowApiServer),

  slow: async () => {
    const subject = subjectOf("slow");
    const { pod, member } = await subject.leader();
    await tellOf(promisesOf("slow"), () => slowEngine(subject, pod));
    expect((await subject.leader()).member).not.toBe(member); // the runbook has moved it
  },

  late: async () => {
    await patchSpec(NAMESPACE, "late", { parameters: { max_connections: "110" } }); // held back all the time
    const [first = "", second = ""] = await followersOf("late");
    const [lag, errors] = ["M4", "M9"].map((code) => promisesOf("late").filter(({ indicator }) => indicator === code));
    const cutLater = async (): Promise<void> => {
      await pause(CUT_LATER_MS);
      await tellOf(errors ?? [], () => cutSessions(NAMESPACE, second));
    };
    await Promise.all([tellOf(lag ?? [], () => holdReplay(NAMESPACE, first)), cutLater()]);
  },

  starved: () =>
    tellOf(promisesOf("starved"), async () => {
      const subject = subjectOf("starved");
      await burnProcessor(NAMESPACE, (await subject.leader()).pod);
      return async () => {
        await patchSpec(NAMESPACE, "starved", { resources: { limits: { cpu: null } } });
        await until("a pod without the limit", 180_000, async () => (await cpuLimitOf("starved")) === "" || undefined);
        await subject.untilHealthy(180_000);
      };
    }),

  outage: async () => {
    const subject = subjectOf("outage");
    const isOfAnHour = ({ endsWithinMinutes }: Promised) => endsWithinMinutes === undefined;
    for (const _ of ["one", "two", "three"]) {
      await inject("container-kill", subject);
      await pause(15_000); // a leader that is new has a better claim to its office than one that comes and goes
      await subject.untilHealthy(180_000);
    }
    const churnedMs = Date.now();
    const churns = promisesOf("outage").filter(isOfAnHour);
    await Promise.all(churns.map((promise) => keep(promise, churnedMs)));
    const led = `count_over_time(quorate:cluster_led:bool{namespace="${NAMESPACE}",cluster="outage"}[1h])`;
    await untilTrue("the objective to have been measured", Date.now() + 12 * MINUTE_MS, async () =>
      (await valuesOf(`${led} > ${MEASURED}`)).some(Boolean),
    );
    const outages = promisesOf("outage").filter((promise) => !isOfAnHour(promise));
    await tellOf(outages, async () => freezePods(NAMESPACE, await followersOf("outage")));
  },
};

describe("what is promised is kept", () => {
  // What waits for minutes waits beside the rest.
  const together: readonly Broken[] = ["slow", "late", "starved", "outage"];
  test.concurrent.each(together)("%s", { timeout: STORY_MS }, async (broken) => {
    await STORIES[broken]();
    expect(promisesOf(broken).filter((promise) => !kept.has(promise))).toEqual([]);
  });

  test.concurrent("rolled as planned; then with a bad image, while the API server is slow", {
    timeout: STORY_MS,
  }, async () => {
    await workAsPlanned();
    await Promise.all([STORIES.rolled(), STORIES.Operator()]);
    const promises = [...promisesOf("rolled"), ...promisesOf("Operator")];
    expect(promises.filter((promise) => !kept.has(promise))).toEqual([]);
  });
});

test("every indicator and every failure mode was tried", () => {
  expect(PROMISES.filter((promise) => !kept.has(promise)).map(({ indicator }) => indicator)).toEqual([]);
});

test("every target is scraped", async () => {
  const up = await client.query("min by (job) (max_over_time(up[5m]))", never);
  const jobs = Object.fromEntries(up.map(({ labels, value }) => [labels["job"], value]));
  expect(jobs).toEqual({
    "quorate-system/quorate-operator": 1,
    "quorate-system/quorate-members": 1,
    apiserver: 1,
    kubelet: 1,
    cadvisor: 1,
  });
});

describe("dashboards", () => {
  const rangeSoFar = (): Range => ({ startSeconds: beganSeconds, endSeconds: Date.now() / 1000, stepSeconds: 15 });

  test.each(DASHBOARDS)("$uid: every query of every panel has data", async ({ rows }) => {
    const panels = rows.flatMap((row) => row.panels);
    const queries = panels.flatMap(({ title, queries: all }) => all.map(({ expr }) => ({ title, expr })));
    const missing: string[] = [];
    for (const { title, expr } of queries) {
      const series = await askRange(monitoring.prometheusUrl, filledIn(expr), rangeSoFar());
      if (!series.some(({ points }) => points.length > 0)) missing.push(`${title}: ${expr}`);
    }
    expect(missing).toEqual([]);
  });

  test.each(DASHBOARDS)("$uid: a picture", { timeout: 120_000 }, async (dashboard) => {
    const range = rangeSoFar();
    const data = await dataOf(dashboard, monitoring.prometheusUrl, range);
    const file = join(PICTURES, `${dashboard.uid}.png`);
    await takePicture(dashboard, data, range, file);
    expect((await stat(file)).size).toBeGreaterThan(BLANK_PICTURE_BYTES);
  });
});
