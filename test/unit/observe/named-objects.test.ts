import { beforeEach, describe, expect, test } from "vitest";
import type { KubeApi } from "../../../src/kube/api.ts";
import type { KubeObject, ObjectRef, Stored } from "../../../src/kube/object.ts";
import { type MembersSay, NamedObjects } from "../../../src/observe/named-objects.ts";

const CLUSTER = { namespace: "shop", name: "orders", connections: [] };
const WELL: MembersSay = { isSettled: true, isLeaseGone: false };

let hasLease = true;
let reads = 0;
let secretReads = 0;
let named: NamedObjects;

const api = {
  get: ({ apiVersion, kind, name }: ObjectRef) => {
    if (kind === "Secret") secretReads += 1;
    if (kind !== "Lease") return Promise.resolve(undefined);
    reads += 1;
    const lease: Stored<KubeObject> = { apiVersion, kind, metadata: { name, uid: "u", resourceVersion: "1" } };
    return Promise.resolve(hasLease ? lease : undefined);
  },
} as unknown as Pick<KubeApi, "get">;

/** Whether the Lease is there, as far as is known at this time. */
async function known(nowMs: number, said = WELL): Promise<boolean> {
  return (await named.read(CLUSTER, nowMs, said, new AbortController().signal)).hasLease;
}

beforeEach(() => {
  hasLease = true;
  reads = 0;
  secretReads = 0;
  named = new NamedObjects(api);
});

test("what is there is read again after ten minutes, or ten seconds while nobody leads", async () => {
  for (const nowMs of [0, 599_000]) await known(nowMs);
  expect(reads).toBe(1);
  await known(600_000);
  expect(reads).toBe(2);
  await known(609_000, { ...WELL, isSettled: false });
  expect(reads).toBe(2);
  await known(610_000, { ...WELL, isSettled: false });
  expect(reads).toBe(3);
});

test("Secrets are read again a minute later while nobody leads: a cluster that starts does not ask for them again and again", async () => {
  const starting = { ...WELL, isSettled: false };
  for (const nowMs of [0, 10_000, 20_000, 59_000]) await known(nowMs, starting);
  expect([reads, secretReads]).toEqual([4, 2]);
  await known(60_000, starting);
  expect([reads, secretReads]).toEqual([5, 4]);
  await known(120_000);
  expect([reads, secretReads]).toEqual([5, 4]);
});

describe("a Lease that members do not see any more", () => {
  test("is looked for at once, though somebody leads", async () => {
    await known(0);
    hasLease = false;
    expect(await known(5000)).toBe(true);
    expect(await known(5000, { ...WELL, isLeaseGone: true })).toBe(false);
  });

  test("is not asked for again and again: neither while it is known to be gone, nor when they are slow to see the next one", async () => {
    await known(0);
    hasLease = false;
    const gone = { ...WELL, isLeaseGone: true };
    for (const nowMs of [5000, 6000, 7000]) await known(nowMs, gone);
    expect(reads).toBe(2);
    hasLease = true;
    named.wrote("shop/orders", {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: { name: "orders", uid: "u", resourceVersion: "2" },
    });
    for (const nowMs of [7100, 7200, 7300]) expect(await known(nowMs, gone)).toBe(true);
    expect(reads).toBe(3);
  });
});
