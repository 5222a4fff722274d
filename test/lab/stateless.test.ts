/** Servers without data on a real cluster, under a client that counts requests: a canary goes out, a bad one comes back, a node is drained. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { drain, patchSpec } from "../../hack/scenario/change.ts";
import { removeNamespace } from "../../hack/scenario/example.ts";
import { installOperator } from "../../hack/scenario/install.ts";
import { apply, kubectl, lab } from "../../hack/scenario/lab.ts";
import { pause, until } from "../../hack/scenario/shell.ts";
import { readCluster } from "../../hack/scenario/subject.ts";

const NAMESPACE = "fleet";
const CLUSTER = "front";
const EXAMPLE = join(import.meta.dirname, "../../examples/web");

/** Asks the Service every 20 ms on a connection of its own, and counts; a server that is gone is a failure like any other. */
const CLIENT = `
const http = require("node:http");
const [url] = process.argv.slice(1);
const counts = { answered: 0, failed: 0, greetings: [], errors: [] };
const note = (list, value) => { if (!list.includes(value) && list.length < 20) list.push(value); };
const ask = () => {
  const request = http.get(url, { agent: false, timeout: 1000 }, (response) => {
    let text = "";
    response.on("data", (part) => (text += part));
    response.on("end", () => { counts.answered++; note(counts.greetings, text.split(" ")[0]); });
  });
  request.on("timeout", () => request.destroy(new Error("timeout")));
  request.on("error", (error) => { counts.failed++; note(counts.errors, error.message); });
};
setInterval(ask, 20);
setInterval(() => console.log(JSON.stringify(counts)), 500);
`;

interface Counts {
  readonly answered: number;
  readonly failed: number;
  readonly greetings: readonly string[];
  readonly errors: readonly string[];
}

async function startClient(): Promise<void> {
  await apply(
    JSON.stringify({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "client", namespace: NAMESPACE },
      spec: {
        restartPolicy: "Never",
        terminationGracePeriodSeconds: 0,
        nodeSelector: { "quorate.io/client": "true" },
        tolerations: [{ key: "quorate.io/client", operator: "Exists" }],
        automountServiceAccountToken: false,
        securityContext: { runAsNonRoot: true, runAsUser: 65532, seccompProfile: { type: "RuntimeDefault" } },
        containers: [
          {
            name: "client",
            image: "localhost/client:1",
            imagePullPolicy: "IfNotPresent",
            args: ["-e", CLIENT, `http://${CLUSTER}-r.${NAMESPACE}.svc.cluster.local:8080/`],
            securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
          },
        ],
      },
    }),
  );
  await until("the first answers", 60_000, async () => ((await counted()).answered > 20 ? true : undefined));
}

async function counted(): Promise<Counts> {
  const lines = (await kubectl("-n", NAMESPACE, "logs", "client", "--tail=1")).trim();
  return JSON.parse(lines === "" ? '{"answered":0,"failed":0,"greetings":[],"errors":[]}' : lines) as Counts;
}

/** Runs `change` while the client asks. @returns what it saw meanwhile. */
async function whileAsking(what: string, change: () => Promise<void>): Promise<Counts> {
  const before = await counted();
  await change();
  await pause(1500);
  const after = await counted();
  process.stdout.write(`${what}: ${JSON.stringify(after)}\n`);
  expect(after.answered).toBeGreaterThan(before.answered + 50);
  return { ...after, answered: after.answered - before.answered, failed: after.failed - before.failed };
}

async function untilRolled(phase: string): Promise<void> {
  await until(`the roll to be ${phase}`, 240_000, async () => {
    const { status, metadata } = (await readCluster(NAMESPACE, CLUSTER)) ?? {};
    const isTakenIn = status?.observedGeneration === metadata?.generation;
    return isTakenIn && status?.rollout?.phase === phase && (status.change ?? "") === "" ? true : undefined;
  });
}

beforeAll(async () => {
  await lab("up");
  await installOperator();
  await kubectl("create", "namespace", NAMESPACE).catch(() => undefined);
  await apply(await readFile(join(EXAMPLE, "engine.yaml"), "utf8"));
  const cluster = await readFile(join(EXAMPLE, "cluster.yaml"), "utf8");
  await apply(cluster.replace("namespace: demo", `namespace: ${NAMESPACE}`));
  await untilRolled("Complete");
  const update = { canary: { members: 1, bakeSeconds: 5 }, minReadySeconds: 1, progressDeadlineSeconds: 40 };
  await patchSpec(NAMESPACE, CLUSTER, { update });
  await startClient();
});

afterAll(() => removeNamespace(NAMESPACE));

test("a new parameter goes out over a canary, and no request fails", async () => {
  const seen = await whileAsking("canary", async () => {
    await patchSpec(NAMESPACE, CLUSTER, { parameters: { greeting: "welcome" } });
    await untilRolled("Complete");
  });
  expect({ failed: seen.failed, errors: seen.errors }).toEqual({ failed: 0, errors: [] });
  expect(seen.greetings).toEqual(["hello", "welcome"]);
});

test("an image that does not exist is left again, and no request fails", async () => {
  const seen = await whileAsking("bad image", async () => {
    await patchSpec(NAMESPACE, CLUSTER, { engine: { image: "localhost/no-such-image:1" } });
    await untilRolled("RolledBack");
  });
  expect(seen.failed).toBe(0);
  await patchSpec(NAMESPACE, CLUSTER, { engine: { image: null } });
  await untilRolled("Complete");
});

/** Seconds that the operator which leads counted, by whether enough members were ready. */
async function seconds(): Promise<{ readonly good: number; readonly bad: number }> {
  const pods = await kubectl(
    "-n",
    "quorate-system",
    "get",
    "pods",
    "-l",
    "app.kubernetes.io/name=quorate",
    "-o",
    "name",
  );
  const [pod = ""] = pods.split("\n").map((name) => name.replace("pod/", ""));
  const text = await kubectl("get", "--raw", `/api/v1/namespaces/quorate-system/pods/${pod}:8080/proxy/metrics`);
  const of = (result: string) =>
    Number(
      new RegExp(
        `^quorate_cluster_serving_slices_total[{]namespace="${NAMESPACE}",cluster="${CLUSTER}",result="${result}"[}] (\\S+)$`,
        "m",
      ).exec(text)?.[1] ?? 0,
    );
  return { good: of("good"), bad: of("bad") };
}

test("seconds in which too few members are ready are counted, and others are not", async () => {
  await patchSpec(NAMESPACE, CLUSTER, { slo: { whenExhausted: "Warn" } });
  const before = await until("good seconds", 60_000, async () => {
    const now = await seconds();
    return now.good > 5 ? now : undefined;
  });
  expect(before.bad).toBe(0);
  await kubectl("-n", NAMESPACE, "delete", "pods", "-l", `quorate.io/cluster=${CLUSTER}`, "--wait=false");
  const during = await until("a bad second", 30_000, async () => ((await seconds()).bad > 0 ? seconds() : undefined));
  expect(during.good).toBeGreaterThanOrEqual(before.good);
  await until("good seconds again", 60_000, async () => ((await seconds()).good > during.good + 5 ? true : undefined));
  await patchSpec(NAMESPACE, CLUSTER, { slo: null });
});

test("a node is drained, and no request fails", async () => {
  const path = "jsonpath={.items[0].spec.nodeName}";
  const node = await kubectl("-n", NAMESPACE, "get", "pods", "-l", `quorate.io/cluster=${CLUSTER}`, "-o", path);
  const seen = await whileAsking("drain", () => drain(node));
  expect(seen.failed).toBe(0);
});
