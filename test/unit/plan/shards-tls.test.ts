// Shards that speak TLS with each other have one authority, which is the whole's; without, each has its own, and the whole has none.
import { describe, expect, test } from "vitest";
import { ANNOTATION_ROTATE_AUTHORITY } from "../../../src/build/labels.ts";
import { engine } from "./fixture.ts";
import { ShardsWorld, SLOTS } from "./shards-world.ts";

const topologies: ("ActivePassive" | "Sharded")[] = ["ActivePassive", "Sharded"];
const encrypting = { ...engine, topologies, slots: SLOTS, clientTls: true, tlsPort: 6380 };
const MINUTE_MS = 60_000;

const sharding = (shards: number) => ({ sharding: { shards, batchSlots: 4, slotsPerSecond: 4, tls: true } });

function world(shards: number): ShardsWorld {
  const made = new ShardsWorld(sharding(shards));
  made.engine = encrypting;
  return made;
}

function running(shards = 2): ShardsWorld {
  const made = world(shards);
  made.settle();
  return made;
}

const placeOf = (made: ShardsWorld, index: number) =>
  (made.shard(index).manifest["spec"] as { readonly shard: object }).shard;

describe("the certificate of the whole", () => {
  test("is there, for members of all shards, before any of them is; clients get its authority", () => {
    const made = running();
    const at = (what: string) => made.trace.findIndex((line) => line.includes(what));
    expect(at("IssueCertificates")).toBeGreaterThanOrEqual(0);
    expect(at("IssueCertificates")).toBeLessThan(at("orders-s0"));
    const [issued, ...others] = made.certificates.issued;
    expect(others).toEqual([]);
    expect(issued).toMatchObject({ metadata: { name: "orders" }, to: "Settled" });
    const members = ["orders-s0", "orders-s1"].flatMap((shard) => {
      const host = `*.${shard}-members.shop.svc`;
      return [host, `${host}.cluster.local`];
    });
    expect(issued?.hosts).toEqual(expect.arrayContaining([...members, "orders-r", "orders-r.shop.svc.cluster.local"]));
    expect(placeOf(made, 0)).toMatchObject({ tls: true });
    expect(made.connections.has("orders-app")).toBe(true);
    expect(made.plan().steps).toEqual([]);
  });

  test("is not made for shards that do not speak TLS", () => {
    const made = new ShardsWorld({ sharding: { shards: 2, batchSlots: 4, slotsPerSecond: 4 } });
    made.engine = encrypting;
    made.settle();
    expect(made.certificates.issued).toEqual([]);
    expect(placeOf(made, 0)).not.toHaveProperty("tls");
    expect(made.connections.has("orders-app")).toBe(true);
  });

  test("names a shard more before that shard is there", () => {
    const made = running(2);
    made.change(sharding(3));
    made.pass();
    expect(made.certificates.issued.at(-1)?.hosts).toContain("*.orders-s2-members.shop.svc");
    expect([...made.shards.keys()]).not.toContain("orders-s2");
    made.settle();
    expect(made.shards.size).toBe(3);
    expect(made.certificates.issued).toHaveLength(2);
  });
});

describe("another authority", () => {
  function minutes(made: ShardsWorld, count: number): void {
    for (let minute = 0; minute < count; minute++) {
      while (made.move());
      made.nowMs += MINUTE_MS;
      made.pass();
    }
  }

  const stages = (made: ShardsWorld) => made.certificates.issued.slice(1).map(({ to }) => to);

  test("follows in three steps, each of which waits for every shard, and the second for clients", () => {
    const made = running();
    made.annotations = { [ANNOTATION_ROTATE_AUTHORITY]: "leaked" };
    made.certificates.late.add("orders-s1");
    minutes(made, 90);
    expect(stages(made)).toEqual(["Trust"]);
    expect(made.plan().blocked).toMatchObject([
      { guard: "AuthorityTaken", object: "orders-s1", message: expect.stringContaining("orders-s1 did not") },
    ]);
    made.certificates.late.clear();
    minutes(made, 5);
    expect(stages(made)).toEqual(["Trust", "Sign", "Settled"]);
    expect(made.plan().blocked).toEqual([]);
  });

  test("is looked at again when clients have had their time, though nothing happens", () => {
    const made = running();
    made.annotations = { [ANNOTATION_ROTATE_AUTHORITY]: "leaked" };
    minutes(made, 2);
    const { requeueAfterMs } = made.plan();
    expect(requeueAfterMs).toBeGreaterThan(0);
    expect(requeueAfterMs).toBeLessThanOrEqual(60 * MINUTE_MS);
  });

  test("waits for no shard that is stopped: it reads what there is when it starts", () => {
    const made = running();
    made.change({ ...sharding(2), stopped: true });
    made.settle();
    made.certificates.late.add("orders-s0").add("orders-s1");
    made.annotations = { [ANNOTATION_ROTATE_AUTHORITY]: "leaked" };
    minutes(made, 65);
    expect(stages(made)).toEqual(["Trust", "Sign", "Settled"]);
  });
});

test("an Engine whose servers have no port for it cannot, and says so", () => {
  const made = new ShardsWorld(sharding(2));
  made.settle();
  expect(made.plan().blocked).toMatchObject([
    { guard: "ShardTlsSupported", message: expect.stringContaining("Engine example has no tlsPort") },
  ]);
  expect(made.shards.size).toBe(0);
});
