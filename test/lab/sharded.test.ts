/** Shards that speak TLS, as the example makes them, under a client in a pod that believes nobody but their authority. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { removeNamespace } from "../../hack/scenario/example.ts";
import { installOperator } from "../../hack/scenario/install.ts";
import { apply, kubectl, lab } from "../../hack/scenario/lab.ts";
import { until } from "../../hack/scenario/shell.ts";
import { podBySelector, readCluster } from "../../hack/scenario/subject.ts";

const NAMESPACE = "sharded";
const CLUSTER = "cache";

/** A pod that has what applications are given, and runs a script with it. */
function clientPod(name: string, script: string): string {
  const connect = `
    export REDISCLI_AUTH=$(cat /given/password)
    ask() { timeout 5 redis-cli -c --tls --cacert /given/ca.crt -h "$(cat /given/host)" -p "$(cat /given/tls-port)" --user app "$@" 2>/dev/null; }`;
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: NAMESPACE },
    spec: {
      restartPolicy: "Never",
      terminationGracePeriodSeconds: 1,
      containers: [
        {
          name: "client",
          image: "localhost/redis:7.0",
          imagePullPolicy: "IfNotPresent",
          command: ["bash", "-c", `${connect}\n${script}`],
          volumeMounts: [{ name: "given", mountPath: "/given" }],
        },
      ],
      volumes: [{ name: "given", secret: { secretName: `${CLUSTER}-app` } }],
    },
  });
}

/** Starts a client and waits until its container runs: before that it has no log to be read. */
async function startClient(name: string, script: string): Promise<void> {
  await apply(clientPod(name, script));
  await kubectl(
    "-n",
    NAMESPACE,
    "wait",
    `pod/${name}`,
    "--for=jsonpath={.status.containerStatuses[0].started}=true",
    "--timeout=60s",
  );
}

/** Numbers of the lines `WORD NUMBER` that a client has printed. */
async function numbers(pod: string, word: string): Promise<number[]> {
  const text = await kubectl("-n", NAMESPACE, "logs", pod);
  return [...text.matchAll(new RegExp(`^${word} (\\d+)$`, "gm"))].map(([, number]) => Number(number));
}

async function untilReady(shards: number): Promise<void> {
  await until(`${shards} shards that own all slots`, 400_000, async () => {
    const { status } = (await readCluster(NAMESPACE, CLUSTER)) ?? {};
    const ready = status?.conditions?.find(({ type }) => type === "Ready")?.status;
    return ready === "True" && status?.readyRatio === `${shards}/${shards}` ? true : undefined;
  });
}

const patch = (spec: object): Promise<string> =>
  kubectl("-n", NAMESPACE, "patch", "qcs", CLUSTER, "--type", "merge", "-p", JSON.stringify({ spec }));

/** Waits for what is written after now. */
async function untilWritten(more: number): Promise<void> {
  const before = (await numbers("writer", "acked")).length;
  await until("writes to go on", 120_000, async () =>
    (await numbers("writer", "acked")).length > before + more ? true : undefined,
  );
}

beforeAll(async () => {
  await lab("up");
  await installOperator();
  await kubectl("create", "namespace", NAMESPACE).catch(() => undefined);
});
afterAll(() => removeNamespace(NAMESPACE));

test("a leader's pod that is deleted, and a shard more, under a client with TLS: nothing that was acknowledged is lost", async () => {
  const example = await readFile(join(import.meta.dirname, "../../examples/redis/sharded.yaml"), "utf8");
  expect(example).toContain("tls: true");
  const small = example
    .replace("namespace: demo", `namespace: ${NAMESPACE}`)
    .replace("members: 3", "members: 2")
    .replace("shards: 3, batchSlots: 64, slotsPerSecond: 32", "shards: 2, batchSlots: 512, slotsPerSecond: 512");
  await apply(small);
  await untilReady(2);
  await startClient("writer", 'for ((n = 0; ; n++)); do [[ $(ask set "key $n" "$n") != OK ]] || echo "acked $n"; done');
  await untilWritten(50);

  const leader = await podBySelector(NAMESPACE, `quorate.io/cluster=${CLUSTER}-s0,quorate.io/role=leader`);
  await kubectl("-n", NAMESPACE, "delete", "pod", leader?.pod ?? "", "--wait=false");
  await untilWritten(100);
  await untilReady(2);

  // The certificate has no name of the third yet: it is made anew before that is there, and slots move to it.
  await patch({ sharding: { shards: 3 } });
  await until("the third shard", 120_000, async () => await readCluster(NAMESPACE, `${CLUSTER}-s2`));
  await untilReady(3);
  await untilWritten(50);
  const acked = await numbers("writer", "acked");
  await kubectl("-n", NAMESPACE, "delete", "pod", "writer");
  const read = `for ((n = 0; n <= ${Math.max(...acked)}; n++)); do
      for try in 1 2 3; do [[ $(ask get "key $n") != "$n" ]] || { echo "found $n"; break; }; done
    done; echo "over 1"`;
  await startClient("reader", read);
  await until("the reader", 600_000, async () => ((await numbers("reader", "over")).length > 0 ? true : undefined));
  const found = new Set(await numbers("reader", "found"));
  process.stdout.write(`sharded: ${acked.length} acknowledged\n`);
  expect(acked.filter((number) => !found.has(number))).toEqual([]);
}, 1_500_000);
