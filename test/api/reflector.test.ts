// Reflectors against a real API server that is killed, paused and compacted, while objects churn.
import { setTimeout as wait } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { KubeApi, Selection } from "../../src/kube/api.ts";
import { TransportError } from "../../src/kube/api-error.ts";
import type { KubeClient } from "../../src/kube/client.ts";
import { listAll } from "../../src/kube/list.ts";
import type { KubeObject } from "../../src/kube/object.ts";
import { Reflector, type ReflectorOptions } from "../../src/kube/reflector.ts";
import { type Change, Store } from "../../src/kube/store.ts";
import { EtcdLog } from "./etcd-log.ts";
import { type ControlPlane, startControlPlane } from "./harness.ts";
import { type Emitted, type Matches, violationsOf } from "./watch-validators.ts";

const THING = { apiVersion: "test.quorate.io/v1", kind: "Thing" } as const;
const CRD = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: "things.test.quorate.io" },
  spec: {
    group: "test.quorate.io",
    scope: "Namespaced",
    names: { plural: "things", kind: "Thing" },
    versions: [
      {
        name: "v1",
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } },
      },
    ],
  },
};

/** A reflector with its store, everything it emitted and why it reconnected. */
class Follower {
  readonly store: Store<KubeObject>;
  readonly emitted: Emitted[] = [];
  readonly reasons: string[] = [];
  sinkErrors = 0;
  /** While true, this follower alone cannot reach the server. */
  isCut = false;
  readonly #client: KubeClient;
  readonly #abort = new AbortController();
  #connection = new AbortController();
  #running: Promise<void> | undefined;

  constructor(client: KubeClient) {
    this.#client = client;
    this.store = new Store("things");
  }

  start(selection: Selection, options: Partial<ReflectorOptions<KubeObject>> = {}): this {
    let changes: Change<KubeObject>[] = [];
    this.store.subscribe((change) => changes.push(change));
    const reflector = new Reflector<KubeObject>({
      api: this.#cuttable(),
      selection,
      sink: (event) => {
        changes = [];
        this.store.ingest(event);
        this.emitted.push({ event, changes });
      },
      observer: {
        reconnecting: (reason) => this.reasons.push(reason),
        sinkFailed: () => (this.sinkErrors += 1),
      },
      silenceMs: 1500,
      watchSeconds: 3, // the server sends a bookmark some 2 s before the end
      baseBackoffMs: 50,
      maxBackoffMs: 500,
      ...options,
    });
    this.#running = reflector.run(this.#abort.signal);
    return this;
  }

  cut(): void {
    this.isCut = true;
    this.#connection.abort();
    this.#connection = new AbortController();
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#running;
  }

  #cuttable(): Pick<KubeApi, "list" | "watch"> {
    const assertReachable = () => {
      if (this.isCut) throw new TransportError("ECONNREFUSED", false);
    };
    return {
      list: async (selection, options) => {
        assertReachable();
        return this.#client.list(selection, options);
      },
      watch: (selection, options) => {
        assertReachable();
        const signals = [this.#connection.signal, ...(options?.signal === undefined ? [] : [options.signal])];
        return this.#client.watch(selection, { ...options, signal: AbortSignal.any(signals) });
      },
    };
  }
}

/** Creates, changes, relabels, deletes and re-creates things until it is stopped. Failures are expected: the server is being tormented. */
class Churn {
  failures = 0;
  writes = 0;
  readonly #client: KubeClient;
  readonly #abort = new AbortController();
  readonly #running: Promise<void>;

  constructor(client: KubeClient) {
    this.#client = client;
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    for (let i = 0; !this.#abort.signal.aborted; i += 1) {
      const ref = { ...THING, namespace: "default", name: `t${i % 7}` };
      const metadata = { namespace: "default", name: ref.name, labels: { watched: i % 5 === 0 ? "no" : "yes" } };
      const options = { timeoutMs: 1000, maxRetries: 0 };
      try {
        if (i % 11 === 3) {
          await this.#client.delete(ref, options); // and re-created at once
          await this.#client.create({ ...THING, metadata, spec: { i } }, options);
        } else if (i % 13 === 5) await this.#client.delete(ref, options);
        else
          await this.#client.apply(
            { ...THING, metadata, spec: { i } },
            { fieldManager: "churn", force: true, ...options },
          );
        this.writes += 1;
      } catch {
        this.failures += 1;
        await wait(50);
      }
      await wait(10);
    }
  }
}

let plane: ControlPlane;
let client: KubeClient;

async function installThings(on: KubeClient): Promise<void> {
  await on.apply(CRD, { fieldManager: "test" });
  await untilServed(on);
}

function untilServed(on: KubeClient): Promise<boolean> {
  return vi.waitUntil(
    () =>
      on.list(THING).then(
        () => true,
        () => false,
      ),
    { timeout: 15_000 },
  );
}

beforeAll(async () => {
  plane = await startControlPlane();
  client = await plane.client();
  await installThings(client);
});

afterAll(async () => {
  client.close();
  await plane.stop();
});

/** What the store shows, in the form that a list of the live server has. */
function shownBy(store: Store<KubeObject>): string[] {
  return store.all().map(versionOf).toSorted();
}

async function liveList(on: KubeClient, selection: Selection): Promise<string[]> {
  return (await listAll(on, selection)).items.map(versionOf).toSorted();
}

function versionOf(object: KubeObject): string {
  return `${object.metadata.name} ${object.metadata.uid} ${object.metadata.resourceVersion}`;
}

describe("while the API server is killed, paused and compacted", () => {
  const all: Matches = () => true;
  const labelled: Matches = (_name, labels) => labels["watched"] === "yes";
  const single: Matches = (name) => name === "t3";
  const selections: readonly [string, Selection, Matches][] = [
    ["everything", THING, all],
    ["by label", { ...THING, namespace: "default", labelSelector: "watched=yes" }, labelled],
    ["one object", { ...THING, namespace: "default", name: "t3" }, single],
  ];
  let log: EtcdLog;
  let followers: Follower[];
  let churn: Churn;

  beforeAll(async () => {
    log = new EtcdLog(plane.etcdUrl, "/registry/test.quorate.io/things/");
    followers = selections.map(([, selection]) => new Follower(client).start(selection));
    churn = new Churn(client);
    await wait(3000);
    await plane.restartApiServer();
    await wait(2000);
    plane.pauseApiServer();
    await wait(3000);
    plane.resumeApiServer();
    await wait(2000);
    // Away while others write, and the versions in between are forgotten: 410.
    for (const follower of followers) follower.cut();
    await wait(1000);
    await plane.compact();
    await plane.restartApiServer();
    await wait(500);
    for (const follower of followers) follower.isCut = false;
    await wait(7000); // long enough for planned ends with their bookmarks
    await plane.killApiServer();
    await wait(500);
    await plane.startApiServer();
    await wait(2000);
    await churn.stop();
    // One last write that all selections show: when it has arrived, all has.
    const end = {
      ...THING,
      metadata: { namespace: "default", name: "t3", labels: { watched: "yes" } },
      spec: { end: true },
    };
    const last = await client.apply(end, { fieldManager: "churn", force: true });
    const arrived = () =>
      followers.every(
        ({ store }) => store.get("default", "t3")?.metadata.resourceVersion === last.metadata.resourceVersion,
      ) && log.revision >= Number(last.metadata.resourceVersion);
    await vi.waitUntil(arrived, { timeout: 30_000 });
    await Promise.all(followers.map((follower) => follower.stop()));
  }, 120_000);

  afterAll(() => log.stop());

  test.each(selections.map(([name], i) => [name, i] as const))("%s: every guarantee of a watch holds", (_name, i) => {
    const [, , matches] = selections[i] ?? [];
    const stream = followers[i]?.emitted ?? [];
    expect(matches && violationsOf(stream, log.events, matches)).toEqual([]);
  });

  test.each(selections.map(([name], i) => [name, i] as const))(
    "%s: the store ends up like the server",
    async (_name, i) => {
      const [, selection] = selections[i] ?? [];
      const follower = followers[i];
      expect(selection && follower && shownBy(follower.store)).toEqual(
        selection && (await liveList(client, selection)),
      );
      expect(follower?.store.timeline).toBe(0);
    },
  );

  test("the faults were real: each way to lose a watch was met", () => {
    expect(churn.writes).toBeGreaterThan(100);
    expect(churn.failures).toBeGreaterThan(0);
    const reasons = new Set(followers.flatMap((follower) => follower.reasons));
    expect([...reasons]).toEqual(expect.arrayContaining(["Broken", "Closed", "Gone", "Silent"]));
    const types = followers[0]?.emitted.map(({ event }) => event.type) ?? [];
    expect(types.filter((type) => type === "Replaced").length).toBeGreaterThan(1);
    expect(types).toContain("Progressed");
    const uids = new Set(
      followers[0]?.emitted.flatMap(({ event }) =>
        "object" in event && event.object.metadata.name === "t3" ? [event.object.metadata.uid] : [],
      ),
    );
    expect(uids.size).toBeGreaterThan(1); // deleted and re-created
  });

  // The validators must be able to fail: the same stream with one mistake in it.
  test.each<[string, (stream: Emitted[]) => Emitted[]]>([
    ["Reliable", (stream) => stream.toSpliced(aLiveChange(stream), 1)],
    [
      "Unique",
      (stream) =>
        stream.toSpliced(aLiveChange(stream), 0, ...stream.slice(aLiveChange(stream), aLiveChange(stream) + 1)),
    ],
    ["Ordered", (stream) => swapped(stream, aLiveChange(stream))],
    [
      "Bookmarkable",
      (stream) =>
        swapped(stream, stream.findIndex(({ event }, i) => event.type === "Progressed" && isChange(stream[i - 1])) - 1),
    ],
    ["IsCreate", (stream) => stream.map((one) => ({ ...one, changes: [] }))],
    ["PrevKV", (stream) => stream.map((one) => ({ ...one, changes: one.changes.map(withoutPast) }))],
    [
      "Resumable",
      (stream) =>
        stream.map((one) =>
          one.event.type === "Replaced"
            ? { ...one, event: { ...one.event, objects: one.event.objects.slice(1) } }
            : one,
        ),
    ],
  ])("a stream that is not %s is caught", (guarantee, spoil) => {
    const violations = violationsOf(spoil(followers[0]?.emitted ?? []), log.events, all);
    expect(violations.map((text) => text.split(":")[0])).toContain(guarantee);
  });

  test("a stream that is not filtered is caught", () => {
    const violations = violationsOf(followers[0]?.emitted ?? [], log.events, labelled);
    expect(violations.map((text) => text.split(":")[0])).toContain("Filter");
  });

  function isChange(one: Emitted | undefined): boolean {
    return one?.event.type === "Upserted" || one?.event.type === "Deleted";
  }

  /** A change in the middle of a run of changes, so that what is spoiled is no edge. */
  function aLiveChange(stream: readonly Emitted[]): number {
    return stream.findIndex((_one, i) => [i - 2, i - 1, i, i + 1, i + 2].every((at) => isChange(stream[at])));
  }

  function swapped(stream: readonly Emitted[], at: number): Emitted[] {
    const pair = stream.slice(at, at + 2).toReversed();
    return stream.toSpliced(at, 2, ...pair);
  }

  function withoutPast(change: Change<KubeObject>): Change<KubeObject> {
    return change.type === "Updated" ? { ...change, previous: change.object } : change;
  }
});

test("a state that went back is a full relist that says so", async () => {
  const selection = { ...THING, namespace: "default" };
  const ref = { ...THING, namespace: "default", name: "kept" };
  await client.apply({ ...THING, metadata: { namespace: ref.namespace, name: ref.name } }, { fieldManager: "test" });
  const saved = await plane.saveState();
  await untilServed(client);
  const follower = new Follower(client).start(selection);
  await follower.store.whenSynced();
  for (let i = 0; i < 20; i += 1)
    await client.create({ ...THING, metadata: { namespace: "default", name: `lost-${i}` } });
  await expect.poll(() => follower.store.get("default", "lost-19")).toBeDefined();
  await plane.restore(saved);
  await expect.poll(() => follower.store.timeline, { timeout: 30_000 }).toBe(1);
  await follower.stop();
  expect(shownBy(follower.store)).toEqual(await liveList(client, selection));
  expect(follower.store.get("default", "kept")).toBeDefined();
  expect(follower.store.get("default", "lost-19")).toBeUndefined();
  expect(follower.reasons).toContain("WentBack");
  const marked = follower.emitted.filter(({ event }) => event.type === "Replaced" && event.stateMayHaveGoneBack);
  expect(marked).toHaveLength(1);
});

test("a receiver that throws is counted and loses nothing after it", async () => {
  const selection = { ...THING, namespace: "default", name: "fragile" };
  const follower = new Follower(client);
  const versions: string[] = [];
  follower.start(selection, {
    sink: (event) => {
      versions.push(event.resourceVersion);
      follower.store.ingest(event);
      if (versions.length === 2) throw new Error("bug");
    },
  });
  await follower.store.whenSynced();
  await client.apply(
    { ...THING, metadata: { namespace: "default", name: "fragile" }, spec: { a: 1 } },
    { fieldManager: "test" },
  );
  const last = await client.apply(
    { ...THING, metadata: { namespace: "default", name: "fragile" }, spec: { a: 2 } },
    { fieldManager: "test" },
  );
  await expect.poll(() => versions.at(-1)).toBe(last.metadata.resourceVersion);
  await follower.stop();
  expect([follower.sinkErrors, follower.reasons]).toEqual([1, []]);
});

test("a server without watch-list streaming is listed page by page", async () => {
  const old = await startControlPlane({ apiServerArgs: ["--feature-gates=WatchList=false"] });
  const oldClient = await old.client();
  try {
    await installThings(oldClient);
    for (let i = 0; i < 3; i += 1)
      await oldClient.create({ ...THING, metadata: { namespace: "default", name: `t${i}` } });
    const follower = new Follower(oldClient).start(THING);
    await follower.store.whenSynced();
    expect(shownBy(follower.store)).toEqual(await liveList(oldClient, THING));
    const made = await oldClient.create({ ...THING, metadata: { namespace: "default", name: "later" } });
    await expect.poll(() => follower.store.get("default", "later")?.metadata.uid).toBe(made.metadata.uid);
    await follower.stop();
    expect(follower.emitted.filter(({ event }) => event.type === "Replaced")).toHaveLength(1);
  } finally {
    oldClient.close();
    await old.stop();
  }
});
