import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RetryableError } from "../../../src/errors.ts";
import { compareResourceVersions, type KubeObject, type Stored } from "../../../src/kube/object.ts";
import { OwnWrites } from "../../../src/kube/own-writes.ts";
import type { ReflectorEvent } from "../../../src/kube/reflector-event.ts";
import { type Change, Store } from "../../../src/kube/store.ts";

function pod(name: string, uid: string, version: number, metadata: object = {}): Stored<KubeObject> {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { namespace: "n", name, uid, resourceVersion: String(version), ...metadata },
  };
}

function replaced(version: number, ...objects: Stored<KubeObject>[]): ReflectorEvent<KubeObject> {
  return { type: "Replaced", objects, resourceVersion: String(version), stateMayHaveGoneBack: false };
}

function upserted(object: Stored<KubeObject>): ReflectorEvent<KubeObject> {
  return { type: "Upserted", object, resourceVersion: object.metadata.resourceVersion };
}

function deleted(object: Stored<KubeObject>): ReflectorEvent<KubeObject> {
  return { type: "Deleted", object, resourceVersion: object.metadata.resourceVersion };
}

function watched() {
  const store = new Store<KubeObject>("pods");
  const changes: string[] = [];
  store.subscribe((change) => changes.push(`${change.type} ${change.object.metadata.uid}${missed(change)}`));
  return { store, changes };
}

function missed(change: Change<KubeObject>): string {
  return change.type === "Deleted" && change.missed ? " missed" : "";
}

describe("Store", () => {
  test("does not answer before it is synced", async () => {
    const { store } = watched();
    store.ingest(upserted(pod("a", "u1", 1)));
    const fresh = new Store<KubeObject>("pods");
    expect(() => fresh.all()).toThrow(RetryableError);
    expect(() => fresh.all()).toThrow(expect.objectContaining({ reason: "CacheNotSynced" }));
    fresh.ingest(replaced(1));
    await fresh.whenSynced();
    expect(fresh.all()).toEqual([]);
  });

  test("a name that was deleted and re-created is two changes, also when the deletion fell into a gap", () => {
    const { store, changes } = watched();
    store.ingest(replaced(5, pod("a", "u1", 5)));
    store.ingest(upserted(pod("a", "u2", 7)));
    store.ingest(replaced(9, pod("a", "u3", 9)));
    expect(changes).toEqual(["Added u1", "Deleted u1 missed", "Added u2", "Deleted u2 missed", "Added u3"]);
    expect(store.get("n", "a")?.metadata.uid).toBe("u3");
    expect([store.size, store.getByUid("u1")]).toEqual([1, undefined]);
  });

  test("a late DELETED of an older namesake does not hide the new object", () => {
    const { store } = watched();
    store.ingest(replaced(5, pod("a", "u1", 5)));
    store.ingest(upserted(pod("a", "u2", 7)));
    store.ingest(deleted(pod("a", "u1", 8)));
    expect(store.get("n", "a")?.metadata.uid).toBe("u2");
  });

  test("a relist changes nothing that is the same", () => {
    const { store, changes } = watched();
    store.ingest(replaced(5, pod("a", "u1", 5), pod("b", "u2", 4)));
    store.ingest(replaced(8, pod("a", "u1", 5), pod("b", "u2", 7)));
    expect(changes).toEqual(["Added u1", "Added u2", "Updated u2"]);
  });

  test("finds by cluster label, and follows when it changes", () => {
    const { store } = watched();
    const labels = { "quorate.io/cluster": "orders" };
    store.ingest(replaced(1, pod("a", "u1", 1, { labels }), pod("b", "u2", 1, { labels })));
    const uids = (objects: readonly Stored<KubeObject>[]) => objects.map((object) => object.metadata.uid);
    expect(uids(store.ofCluster("n", "orders"))).toEqual(["u1", "u2"]);
    expect(store.ofCluster("other", "orders")).toEqual([]);
    store.ingest(upserted(pod("a", "u1", 2, { labels: { "quorate.io/cluster": "bills" } })));
    expect(uids(store.ofCluster("n", "orders"))).toEqual(["u2"]);
    expect(uids(store.ofCluster("n", "bills"))).toEqual(["u1"]);
    store.ingest(replaced(3));
    expect([store.ofCluster("n", "orders"), store.ofCluster("n", "bills")]).toEqual([[], []]);
  });

  test("what it returns cannot be changed", () => {
    const { store } = watched();
    store.ingest(replaced(1, pod("a", "u1", 1, { labels: { x: "1" } })));
    const labels = store.get("n", "a")?.metadata.labels ?? {};
    expect(() => Object.assign(labels, { x: "2" })).toThrow(TypeError);
  });

  test("a subscriber that throws disturbs neither the others nor the store", () => {
    const errors: unknown[] = [];
    const store = new Store<KubeObject>("pods", { onSubscriberError: (error) => errors.push(error) });
    const seen: string[] = [];
    store.subscribe(() => {
      throw new Error("bug");
    });
    store.subscribe((change) => seen.push(change.type));
    store.ingest(replaced(1, pod("a", "u1", 1)));
    expect([errors.length, seen, store.size]).toEqual([1, ["Added"], 1]);
  });

  test("whatever comes, its indexes agree with its objects", () => {
    const object = fc
      .tuple(fc.constantFrom("a", "b", "c"), fc.integer({ min: 1, max: 3 }), fc.constantFrom("x", "y", undefined))
      .map(([name, incarnation, cluster]) => ({ name, uid: `${name}${incarnation}`, cluster }));
    const event = fc.tuple(
      fc.constantFrom("Upserted", "Deleted", "Replaced"),
      fc.uniqueArray(object, { selector: (o) => o.name, minLength: 1 }),
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 30 }), (events) => {
        const store = new Store<KubeObject>("pods");
        const mirror = new Map<string, string>(); // kept up by the changes alone
        store.subscribe((change) => {
          const { uid, resourceVersion } = change.object.metadata;
          expect(mirror.has(uid)).toBe(change.type !== "Added");
          if (change.type === "Deleted") mirror.delete(uid);
          else mirror.set(uid, resourceVersion);
        });
        store.ingest(replaced(0));
        let version = 0;
        for (const [type, targets] of events) {
          version += 1;
          const objects = targets.map(({ name, uid, cluster }) =>
            pod(name, uid, version, cluster === undefined ? {} : { labels: { "quorate.io/cluster": cluster } }),
          );
          if (type === "Replaced") store.ingest(replaced(version, ...objects));
          else for (const one of objects) store.ingest(type === "Deleted" ? deleted(one) : upserted(one));
        }
        const all = store.all();
        expect(new Map(all.map((o) => [o.metadata.uid, o.metadata.resourceVersion]))).toEqual(mirror);
        expect(new Set(all.map((o) => o.metadata.name)).size).toBe(all.length);
        for (const cluster of ["x", "y"]) {
          const labelled = all.filter((o) => o.metadata.labels?.["quorate.io/cluster"] === cluster);
          expect(new Set(store.ofCluster("n", cluster))).toEqual(new Set(labelled));
        }
      }),
    );
  });
});

describe("OwnWrites", () => {
  test("holds a key back until the store shows the write, and only that key", () => {
    const { store } = watched();
    const writes = new OwnWrites();
    store.ingest(replaced(5, pod("a", "u1", 5)));
    writes.wroteAt("n/orders", store, pod("a", "u1", 9));
    expect(() => writes.ensureSeen("n/orders")).toThrow(expect.objectContaining({ reason: "CacheBehindOwnWrites" }));
    writes.ensureSeen("n/bills");
    store.ingest(upserted(pod("a", "u1", 9)));
    expect(() => writes.ensureSeen("n/orders")).not.toThrow();
  });

  test("a bookmark past the write is enough: the object may not be in the selection", () => {
    const { store } = watched();
    const writes = new OwnWrites();
    store.ingest(replaced(5));
    writes.wroteAt("k", store, pod("a", "u1", 9));
    store.ingest({ type: "Progressed", resourceVersion: "10" });
    expect(() => writes.ensureSeen("k")).not.toThrow();
  });

  test("a state that went back does not hold the key for ever", () => {
    const { store } = watched();
    const writes = new OwnWrites();
    store.ingest(replaced(50));
    writes.wroteAt("k", store, pod("a", "u1", 60));
    store.ingest({ type: "Replaced", objects: [], resourceVersion: "20", stateMayHaveGoneBack: true });
    expect(() => writes.ensureSeen("k")).not.toThrow();
  });

  test("a deletion is seen when the object is gone or marked", () => {
    const { store } = watched();
    const writes = new OwnWrites();
    const a = pod("a", "u1", 5);
    store.ingest(replaced(5, a));
    writes.deletedAt("k", store, a);
    expect(() => writes.ensureSeen("k")).toThrow(RetryableError);
    store.ingest(upserted(pod("a", "u1", 6, { deletionTimestamp: "2026-01-01T00:00:00Z" })));
    expect(() => writes.ensureSeen("k")).not.toThrow();
  });
});

describe("compareResourceVersions", () => {
  test("orders as numbers of any length", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 80n }), fc.bigInt({ min: 0n, max: 2n ** 80n }), (a, b) => {
        expect(Math.sign(compareResourceVersions(String(a), String(b)))).toBe(a < b ? -1 : a > b ? 1 : 0);
      }),
    );
  });

  test.each(["", "1a", "-1", "01"])("refuses %j", (text) => {
    expect(() => compareResourceVersions("1", text)).toThrow(TypeError);
  });
});
