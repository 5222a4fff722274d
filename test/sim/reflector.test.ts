/**
 * W1–W8: what a watch promises (etcd's robustness tests), kept by our reflector and store whatever happens to its connections: silent,
 * broken, held back, begun from a version that was forgotten. The truth to compare with is the model's own log.
 */
import { expect, test } from "vitest";
import type { KubeObject } from "../../src/kube/object.ts";
import { Reflector } from "../../src/kube/reflector.ts";
import { type Change, Store } from "../../src/kube/store.ts";
import { type Emitted, type TruthEvent, violationsOf } from "../api/watch-validators.ts";
import { type Fault, FaultPlan } from "./faults.ts";
import { type Found, ModelApi } from "./model-api.ts";
import { Network } from "./network.ts";
import { EPOCH_MS, randomOf, Scheduler } from "./scheduler.ts";
import { SimClient } from "./sim-client.ts";

const SELECTION = { apiVersion: "v1", kind: "ConfigMap", namespace: "shop", labelSelector: "colour=red" };
const NAMES = ["a", "b", "c", "d"];
const FAULTS = ["HoldWatch", "SilenceWatch", "BreakWatch", "ForgetVersions"] as const;

/** Writers make, change, relabel and delete objects for some minutes, while the reflector's connections suffer. */
async function record(seed: number): Promise<{ emitted: Emitted[]; truth: TruthEvent[]; isCurrent: boolean }> {
  const scheduler = new Scheduler(seed);
  const random = randomOf(seed);
  const api = new ModelApi(() => EPOCH_MS + scheduler.nowMs);
  const actor = scheduler.actor("operator");
  const faults = new FaultPlan(Array.from({ length: 6 }, () => drawFault(random)));
  faults.begin();
  const client = new SimClient(actor, {
    scheduler,
    network: new Network(scheduler),
    api,
    faults,
    crash: () => undefined,
    onBug: (_who, error) => expect.unreachable(String(error)),
    onRequest: () => undefined,
    evict: () => undefined,
  });
  const emitted: Emitted[] = [];
  const store = new Store<KubeObject>("ConfigMap");
  let changes: Change<KubeObject>[] = [];
  store.subscribe((change) => changes.push(change));
  const stop = new AbortController();
  const reflector = new Reflector<KubeObject>({
    api: client,
    selection: SELECTION,
    clock: actor.clock,
    random,
    sink: (event) => {
      changes = [];
      store.ingest(event);
      emitted.push({ event, changes });
    },
  });
  const running = reflector.run(stop.signal);
  for (let written = 0; written < 80; written += 1) {
    scheduler.after(random() * 400_000, () => write(api, random));
  }
  await scheduler.run(1_200_000); // longer than a silent connection can go unnoticed
  const live = api.list(SELECTION).map(({ metadata }) => metadata.resourceVersion);
  const known = store.all().map(({ metadata }) => metadata.resourceVersion);
  stop.abort();
  await scheduler.run(1_300_000);
  await running;
  return { emitted, truth: truthOf(api), isCurrent: live.toSorted().join() === known.toSorted().join() };
}

function drawFault(random: () => number): Fault {
  const kind = FAULTS[Math.floor(random() * FAULTS.length)] ?? "BreakWatch";
  const at = { actor: "operator", of: "ConfigMap", event: 1 + Math.floor(random() * 60) };
  return kind === "HoldWatch" ? { kind, ...at, forMs: random() * 120_000 } : { kind, ...at };
}

function write(api: ModelApi, random: () => number): void {
  const name = NAMES[Math.floor(random() * NAMES.length)] ?? "a";
  const ref = { apiVersion: "v1", kind: "ConfigMap", namespace: "shop", name };
  const labels = { colour: random() < 0.7 ? "red" : "blue" };
  if (api.get(ref) === undefined) api.create({ ...ref, metadata: { namespace: "shop", name, labels } }, { by: "user" });
  else if (random() < 0.3) api.delete(ref, {}, "user");
  else api.mergePatch(ref, { metadata: { labels }, data: { at: String(random()) } }, { by: "user" });
}

function truthOf({ log }: ModelApi): TruthEvent[] {
  const toTruth = ({ metadata }: Found) => ({
    uid: metadata.uid,
    revision: Number(metadata.resourceVersion),
    labels: metadata.labels ?? {},
  });
  return log.map(({ revision, before, after }) => ({
    revision,
    name: (after ?? before)?.metadata.name ?? "",
    ...(after === undefined ? {} : { object: toTruth(after) }),
    ...(before === undefined ? {} : { previous: toTruth(before) }),
  }));
}

test("the eight promises of a watch hold whatever happens to connections, and the store ends with what is there", async () => {
  for (let seed = 1; seed <= 30; seed += 1) {
    const { emitted, truth, isCurrent } = await record(seed);
    const matches = (_name: string, labels: Readonly<Record<string, string>>) => labels["colour"] === "red";
    expect({ seed, violations: violationsOf(emitted, truth, matches), isCurrent }).toEqual({
      seed,
      violations: [],
      isCurrent: true,
    });
    expect(emitted.length).toBeGreaterThan(10);
  }
});
