/** One cluster of three members as a real API server has it: all that the operator watches or reads of it, recorded once. */
import { fork } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pino } from "pino";
import { API_VERSION } from "../../src/api/names.ts";
import { Controller } from "../../src/controller/controller.ts";
import type { KubeObject, Stored } from "../../src/kube/object.ts";
import { WATCHED } from "../../src/observe/kinds.ts";
import { startWorld } from "../scale/world.ts";
import { ClusterRegistry } from "../../src/telemetry/cluster-registry.ts";

/** Words that are in no object but as names of the recorded cluster and its namespace, so that copies can have others. */
export const RECORDED = { namespace: "xqnsp", cluster: "xqclu" } as const;

/** An object as the API server sends it. */
export type Wire = Stored<KubeObject> & { readonly [field: string]: unknown };

const FILE = join(import.meta.dirname, "../../dist/heap-recording.json");
const READ_BY_NAME = [
  { apiVersion: "coordination.k8s.io/v1", kind: "Lease" },
  { apiVersion: "v1", kind: "Secret" },
];
const QUIET_MS = 5_000;

/** The recorded objects; they are recorded when that was not done yet, which takes a minute. */
export async function recording(): Promise<readonly Wire[]> {
  const known = await readFile(FILE, "utf8").catch(() => undefined);
  if (known !== undefined) return JSON.parse(known) as Wire[];
  const objects = await recordCluster();
  await writeFile(FILE, JSON.stringify(objects));
  return objects;
}

async function recordCluster(): Promise<readonly Wire[]> {
  const plane = await startWorld(3);
  const admin = await plane.client();
  const members = fork(join(import.meta.dirname, "../scale/members.ts"), {
    env: { ...process.env, KUBECONFIG: plane.kubeconfig },
  });
  const stop = new AbortController();
  let lastMs = performance.now();
  const controller = new Controller({
    api: admin,
    settings: { agentImage: "quorate/agent:bench" },
    registry: new ClusterRegistry(),
    log: pino({ level: "warn" }),
    instance: "recording",
    onPass: (_, { steps, wroteStatus, requeueAfterMs }) => {
      if (steps > 0 || wroteStatus || (requeueAfterMs ?? QUIET_MS) < QUIET_MS) lastMs = performance.now();
    },
  });
  const running = [controller.watch(stop.signal), controller.lead(stop.signal)];
  try {
    const { namespace, cluster: name } = RECORDED;
    await admin.create({ apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
    const spec = { engine: { name: "postgres" }, members: 3 };
    const made: KubeObject & { readonly spec: object } = {
      apiVersion: API_VERSION,
      kind: "ClusterSpec",
      metadata: { namespace, name },
      spec,
    };
    await admin.create(made);
    for (;;) {
      await sleep(500);
      // The revision is recorded as one that works once its members have stayed in sync for a while.
      const isGood = controller.stores.of("ControllerRevision").size > 0;
      if (isGood && performance.now() - lastMs > 2 * QUIET_MS) break;
    }
    const selections = [
      ...WATCHED.map(({ selection }) => selection),
      ...READ_BY_NAME.map((kind) => ({ ...kind, namespace })),
    ];
    const lists = await Promise.all(selections.map((selection) => admin.list<Wire>(selection)));
    return lists.flatMap(({ items }) => items);
  } finally {
    stop.abort();
    await Promise.all(running);
    members.kill("SIGTERM");
    admin.close();
    await plane.stop();
  }
}
