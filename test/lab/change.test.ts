/**
 * Changes of a real cluster under a client that counts: rolls, revisions that do not work, nodes that fail meanwhile, and
 * drains. No acknowledged row is lost, a majority always serves, and everything ends as asked. Times are printed, never
 * asserted: they belong to the benchmark.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  canaryPod,
  canaryWith,
  type Change,
  type ChangeResult,
  drain,
  measureChange,
  patchSpec,
} from "../../hack/scenario/change.ts";
import { removeNamespace } from "../../hack/scenario/example.ts";
import { foretell, podsOf, replacedSince } from "../../hack/scenario/foretold.ts";
import { installOperator } from "../../hack/scenario/install.ts";
import { apply, kubectl, lab } from "../../hack/scenario/lab.ts";
import { slowEngine } from "../../hack/scenario/lasting-faults.ts";
import { giveOperatorPrometheus } from "../../hack/scenario/prometheus.ts";
import { until } from "../../hack/scenario/shell.ts";
import { quorateSubject, readCluster } from "../../hack/scenario/subject.ts";
import { WriterRun } from "../../hack/scenario/writer-run.ts";
import { expectNothingLost } from "./oracle.ts";

const NAMESPACE = "change";
const SUBJECT = quorateSubject(NAMESPACE, "orders");
const UPDATE = { minReadySeconds: 2, progressDeadlineSeconds: 40 };

beforeAll(async () => {
  await lab("up");
  await installOperator();
  await kubectl("create", "namespace", NAMESPACE).catch(() => undefined);
  const manifest = await readFile(join(import.meta.dirname, "../../examples/postgres/cluster.yaml"), "utf8");
  await apply(manifest.replace("namespace: demo", `namespace: ${NAMESPACE}`));
  await patchSpec(NAMESPACE, "orders", { update: UPDATE });
  await SUBJECT.untilHealthy(300_000);
  // Only to a revision that all members ran in sync can a change be taken back.
  await until("the first revision to have proven itself", 60_000, async () =>
    (await readCluster(NAMESPACE, "orders"))?.status?.rollout?.phase === "Complete" ? true : undefined,
  );
}, 600_000);

afterAll(async () => {
  await lab("heal", "all").catch(() => undefined);
  await removeNamespace(NAMESPACE);
});

/** Makes a change. What comes to its end undisturbed went as it was foretold: the same pods in the same order, as many hand-overs. */
async function made(change: Change): Promise<ChangeResult> {
  await SUBJECT.untilHealthy(180_000);
  const foretold = await foretell(NAMESPACE, "orders", change.spec);
  const before = await podsOf(NAMESPACE, "orders");
  const result = await measureChange(SUBJECT, "orders", change);
  process.stdout.write(`${change.name}: ${JSON.stringify(result)}\n`);
  expectNothingLost(result);
  expect(result.acked).toBeGreaterThan(100);
  if (result.phase === "Complete" && change.disturb === undefined && foretold !== undefined) {
    const replaced = await replacedSince(before, NAMESPACE, "orders");
    expect({ replaced, leaderChanges: result.leaderChanges }).toEqual(foretold);
  }
  return result;
}

/** Cuts the leader's node off; what it returns heals it. */
async function cutLeader(): Promise<() => Promise<unknown>> {
  const { node } = await SUBJECT.leader();
  await lab("cut", node, "all");
  return () => lab("heal", node);
}

describe("a roll", () => {
  test("of three members: one switchover, a majority always serves", async () => {
    const result = await made({ name: "roll", spec: { parameters: { max_connections: "110" } } });
    expect(result).toMatchObject({ phase: "Complete", leaderChanges: 1, leastServing: 2 });
  });

  test("whose leader's node is cut ends as asked", async () => {
    const result = await made({
      name: "roll-cut",
      spec: { parameters: { max_connections: "120" } },
      disturb: cutLeader,
      timeoutMs: 500_000,
    });
    expect(result.phase).toBe("Complete");
  });
});

describe("a revision that does not work is left by itself, and the leader is never touched", () => {
  test("an image that does not exist", async () => {
    const result = await made({ name: "bad-image", spec: { engine: { image: "localhost/no-such-image:1" } } });
    expect(result).toMatchObject({ phase: "RolledBack", leaderChanges: 0, leaderUntouched: true, leastServing: 2 });
    await made({ name: "bad-image-undone", spec: { engine: { image: null } } });
  });

  test("a parameter that the server refuses", async () => {
    const spec = { parameters: { shared_preload_libraries: "no_such_library" } };
    const result = await made({ name: "bad-config", spec });
    expect(result).toMatchObject({ phase: "RolledBack", leaderChanges: 0, leaderUntouched: true, leastServing: 2 });
    await made({ name: "bad-config-undone", spec: { parameters: { shared_preload_libraries: null } } });
  });

  test("also when the leader's node is cut meanwhile", async () => {
    const result = await made({
      name: "bad-image-cut",
      spec: { engine: { image: "localhost/no-such-image:2" } },
      disturb: cutLeader,
      timeoutMs: 500_000,
    });
    expect(result.phase).toBe("RolledBack");
    await made({ name: "bad-image-cut-undone", spec: { engine: { image: null } } });
  });
});

describe("a canary that is judged", () => {
  const CALM = { update: { ...UPDATE, strategy: "Rolling", canary: null } };

  async function undone(name: string): Promise<void> {
    await made({ name: `${name}-undone`, spec: { ...CALM, parameters: { max_connections: "120" } } });
  }

  test.each([
    ["query-bad", "130", { query: "vector(42)", max: "1" }, "42 of at most 1"],
    ["query-refused", "131", { query: "no_such_function(1)", max: "1" }, "could not be measured within 40 s"],
    ["query-empty", "132", { query: 'up{pod=~"$(PODS)"}', max: "1" }, "the query has no result"],
  ])("by a query of the user's: %s", async (name, connections, analysis, reason) => {
    const takePrometheus = await giveOperatorPrometheus();
    try {
      // Each case a revision of its own: one that was taken back is not tried again.
      const spec = { update: canaryWith({ name: "mine", ...analysis }), parameters: { max_connections: connections } };
      const result = await made({ name, spec, timeoutMs: 400_000 });
      expect(result).toMatchObject({ phase: "RolledBack", leaderChanges: 0, leaderUntouched: true, leastServing: 2 });
      expect(result.reason).toContain(reason);
      await undone(name);
    } finally {
      await takePrometheus();
    }
  });

  test("by its latency, which nobody else has", async () => {
    const analysis = { name: "latency", measure: "LatencyP95Milliseconds", maxRatio: "4", ignoreUpTo: "60" };
    const result = await made({
      name: "latency",
      spec: { update: canaryWith(analysis), parameters: { max_connections: "140" } },
      disturb: async () => slowEngine(SUBJECT, await canaryPod(NAMESPACE, "orders")),
      disturbedMs: 240_000,
      timeoutMs: 400_000,
    });
    expect(result).toMatchObject({ phase: "RolledBack", leaderChanges: 0, leaderUntouched: true });
    expect(result.reason).toContain("analysis latency failed");
    await undone("latency");
  });
});

describe("what the Engine wants done around an update", () => {
  const HOOKS = { beforeUpdate: "before", afterUpdate: "after", canRollBack: "back" };
  /** Notes every run down in a table of the database, so that what ran can be asked, whoever leads then. */
  const PROGRAM = `#!/bin/sh
exec /usr/lib/postgresql/15/bin/psql -XqAtw -d "host=$QUORATE_RUN_DIR port=$QUORATE_PORT user=postgres dbname=postgres" \\
  -v ON_ERROR_STOP=1 -v hook="$1" -v id="$QUORATE_UPDATE_ID" <<'SQL'
create table if not exists hooks (hook text, id text, primary key (hook, id));
insert into hooks values (:'hook', :'id') on conflict do nothing;
SQL
`;

  async function setHooks(actions: object, files: object): Promise<void> {
    await kubectl("patch", "engine", "postgres", "--type=merge", "-p", JSON.stringify({ spec: { actions, files } }));
  }

  test("is done once each, and a change declared irreversible waits for consent", async () => {
    const actions = Object.fromEntries(
      Object.entries(HOOKS).map(([action, word]) => {
        return [action, { exec: ["$(QUORATE_ENGINE_DIR)/hook", word], timeoutSeconds: 20 }] as const;
      }),
    );
    await setHooks(actions, { hook: PROGRAM });
    try {
      // The kubelet brings the new files into the pods within about a minute; until then the hook fails and is tried again.
      const result = await made({
        name: "hooks",
        spec: { parameters: { max_connections: "150" } },
        timeoutMs: 500_000,
      });
      expect(result).toMatchObject({ phase: "Complete", leaderChanges: 1 });
      const { pod } = await SUBJECT.leader();
      const psql = ["/usr/lib/postgresql/15/bin/psql", "-XqAt", "-h", "/run", "-U", "postgres", "-c"];
      const rows = await kubectl("-n", NAMESPACE, "exec", pod, "--", ...psql, "select hook from hooks order by hook");
      expect(rows.trim().split("\n")).toEqual(["after", "before"]);
      await setHooks(
        {},
        {
          hook: `#!/bin/sh
[ "$1" != before ] || [ "$QUORATE_CONSENT" = true ] && exit 0
echo 'the schema has no way back' >&2
exit 3
`,
        },
      );
      await until("the kubelet to bring the hook that asks for consent", 180_000, async () => {
        const { pod: leader } = await SUBJECT.leader();
        const text = await kubectl("-n", NAMESPACE, "exec", leader, "--", "cat", "/quorate-engine/hook");
        return text.includes("QUORATE_CONSENT") ? true : undefined;
      });
      await patchSpec(NAMESPACE, "orders", { parameters: { max_connections: "160" } });
      const override = await until("the guard that asks for consent", 240_000, async () => {
        const { status } = (await readCluster(NAMESPACE, "orders")) ?? {};
        return status?.blocked?.find(({ guard }) => guard === "IrreversibleChangeConsented")?.override;
      });
      expect(await kubectl("-n", NAMESPACE, "get", "qcs", "orders")).toContain("IrreversibleChangeConsented");
      await kubectl(...override.split(" ").slice(1));
      await until("the end of the roll", 300_000, async () => {
        const { status } = (await readCluster(NAMESPACE, "orders")) ?? {};
        return status?.rollout?.phase === "Complete" && status.blocked === undefined ? true : undefined;
      });
    } finally {
      await setHooks(Object.fromEntries(Object.keys(HOOKS).map((action) => [action, null])), { hook: null });
    }
  });
});

describe("membership and nodes", () => {
  test("a scale-in during which the leader's node is cut ends as asked", async () => {
    const result = await made({ name: "scale-in-cut", spec: { members: 2 }, disturb: cutLeader, timeoutMs: 500_000 });
    expect(result.phase).toBe("Complete");
    await patchSpec(NAMESPACE, "orders", { members: 3 });
    await SUBJECT.untilHealthy(300_000);
  });

  test("drains of all nodes, one after the other, finish", async () => {
    const writer = new WriterRun({ ...SUBJECT.writer, name: "writer-drains", seconds: 0 });
    await writer.start();
    for (const node of ["n1", "n2", "n3"]) {
      await drain(node);
      await SUBJECT.untilHealthy(180_000);
    }
    expectNothingLost(await writer.finish());
  });
});
