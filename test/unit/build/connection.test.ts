// What applications connect with, and how members of shards find each other: with TLS where there is one authority for all.
import { describe, expect, test } from "vitest";
import { EngineSpec } from "../../../src/api/engine.ts";
import { buildIntent } from "../../../src/build/config.ts";
import { buildConnections, fillIn, type LiveConnection, missingConnections } from "../../../src/build/connection.ts";
import type { BuildContext } from "../../../src/build/context.ts";
import { buildPodTemplate } from "../../../src/build/pod-template.ts";
import { buildEndpointSlices, buildNetworkPolicy, buildServices } from "../../../src/build/services.ts";
import { revisionOf } from "../../../src/build/stateful-set.ts";
import { contextOf } from "../plan/fixture.ts";

const STATE = {
  generation: 7,
  members: ["orders-0", "orders-1"],
  learners: [],
  bootstrapMember: "orders-0",
  initialized: false,
  switchover: null,
  restart: null,
  rebuild: null,
  hook: null,
};

describe("connections", () => {
  const versions = { credentialsVersion: "7", peerVersion: "3" };
  const hashOf = (context: BuildContext, secrets = versions) => buildConnections(context, secrets)[0]?.hash;

  test("have everything but the password, and differ when it does", () => {
    const [connection] = buildConnections(contextOf(), versions);
    expect(connection).toMatchObject({
      metadata: { name: "orders-app", namespace: "shop", ownerReferences: [{ name: "orders" }] },
      type: "servicebinding.io/example",
      fields: { type: "example", host: "orders-rw.shop.svc", port: "5432", username: "app" },
      passwordKey: "app",
      hasAuthority: false,
    });
    expect(hashOf(contextOf())).toBe(connection?.hash);
    expect(hashOf(contextOf(), { ...versions, credentialsVersion: "8" })).not.toBe(connection?.hash);
    expect(hashOf(contextOf(), { ...versions, peerVersion: "4" })).toBe(connection?.hash);
  });

  test("of an engine that shows a certificate carry its authority, and are made anew with it", () => {
    const context = contextOf();
    const shown: BuildContext = { ...context, engine: { ...context.engine, clientTls: true } };
    expect(buildConnections(shown, versions)[0]?.hasAuthority).toBe(true);
    expect(hashOf(shown, { ...versions, peerVersion: "4" })).not.toBe(hashOf(shown));
  });

  test("of an engine that asks for certificates bring one, which is made anew when a third of its life is left", () => {
    const context = contextOf();
    const day = 86_400_000;
    const asking: BuildContext = {
      ...context,
      engine: { ...context.engine, clientTls: true, clientCertificates: true },
    };
    const shown: BuildContext = { ...context, engine: { ...context.engine, clientTls: true } };
    const [connection] = buildConnections(asking, versions);
    expect(connection?.certifies).toBe("app");
    expect(buildConnections(shown, versions)[0]).not.toHaveProperty("certifies");
    expect(connection?.hash).not.toBe(hashOf(shown));
    const missing = (of: BuildContext, live: LiveConnection) =>
      missingConnections(of, { ...versions, connections: new Map([["orders-app", live]]) }, 1000 * day).length;
    const hash = connection?.hash ?? "";
    expect(missing(asking, { hash, notAfterMs: 1122 * day })).toBe(0);
    expect(missing(asking, { hash, notAfterMs: 1121 * day })).toBe(1);
    expect(missing(asking, { hash })).toBe(1);
    expect(missing(asking, { hash: "former", notAfterMs: 1300 * day })).toBe(1);
    expect(missing(shown, { hash: hashOf(shown) ?? "" })).toBe(0);
    const sharded: BuildContext = { ...asking, intent: { ...asking.intent, topology: "Sharded" } };
    expect(buildConnections(sharded, versions)[0], "there is no one authority").not.toHaveProperty("certifies");
    expect(revisionOf(asking).templateHash).toBe(revisionOf(context).templateHash);
  });

  test("of an engine with a port of its own for TLS name that, and so do Services, their slices and the policy", () => {
    const context = contextOf();
    const accounts = [
      { name: "app", connection: { type: "example", uri: "example://$(host)", tlsUri: "examples://$(host):$(port)" } },
    ];
    const engine = EngineSpec.parse({ ...context.engine, accounts, clientTls: true, tlsPort: 5433 });
    const shown: BuildContext = { ...context, engine };
    expect(buildConnections(shown, versions)[0]?.tls).toEqual({ port: "5433", uri: "examples://$(host):$(port)" });
    const sharded = { ...shown, intent: { ...shown.intent, topology: "Sharded" as const } };
    // Each shard has an authority of its own: there is none that clients of the whole could be given.
    expect(buildConnections(sharded, versions)[0]).toMatchObject({ hasAuthority: false });
    expect(buildConnections(sharded, versions)[0]?.tls).toBeUndefined();
    expect(JSON.stringify([...buildServices(sharded), buildNetworkPolicy(sharded)])).not.toContain("5433");
    const clients = buildServices(shown).slice(0, 3);
    for (const manifest of [...clients, buildNetworkPolicy(shown)]) expect(JSON.stringify(manifest)).toContain("5433");
    for (const { ports } of buildEndpointSlices(shown) as unknown as { readonly ports: readonly object[] }[]) {
      expect(ports).toContainEqual({ name: "client-tls", port: 5433, protocol: "TCP" });
    }
    expect(revisionOf(shown).templateHash).toBe(revisionOf(context).templateHash);
  });

  test("of shards that speak TLS with each other are encrypted, by the certificate of the whole", () => {
    const context = contextOf();
    const accounts = [{ name: "app", connection: { type: "example", uri: "x://$(host)", tlsUri: "xs://$(host)" } }];
    const engine = EngineSpec.parse({ ...context.engine, accounts, clientTls: true, tlsPort: 5433 });
    const sharding = { shards: 2, batchSlots: 64, slotsPerSecond: 32, tls: true };
    const whole: BuildContext = { ...context, engine, intent: { ...context.intent, topology: "Sharded", sharding } };
    expect(buildConnections(whole, versions)[0]).toMatchObject({
      hasAuthority: true,
      tls: { port: "5433" },
      fields: { host: "orders-r.shop.svc" },
    });
    const shard = { of: "orders", shards: ["orders-s0", "orders-s1"] };
    const request = { action: "Move", slots: "0-9", to: "orders-s1", askedAt: "2030-01-01T00:00:00Z" } as const;
    const shardOf = (place: object): BuildContext => {
      const intent = { ...context.intent, shard: { ...shard, request, ...place } };
      return { ...context, engine, name: "orders-s0", intent };
    };
    const [plain, encrypted] = [shardOf({}), shardOf({ tls: true })];
    const office = { member: "orders-s0-0", epoch: 3 };
    const told = (one: BuildContext) => buildIntent(one, { ...STATE, office }).shard;
    expect(told(plain)).toMatchObject({ peers: [{ port: 5432 }, {}, {}, {}, {}, {}], request: { targetPort: 5432 } });
    expect(told(encrypted)).toMatchObject({ request: { targetPort: 5433, targetHost: "orders-s1-rw.shop.svc" } });
    expect(new Set(told(encrypted)?.peers.map(({ port }) => port))).toEqual(new Set([5433]));
    const podOf = (one: BuildContext) => JSON.stringify(buildPodTemplate(one, "orders-s0-0").spec);
    expect(podOf(plain)).toContain('"secretName":"orders-s0-peer"');
    expect(podOf(encrypted)).toContain('"secretName":"orders-peer"');
    expect(JSON.stringify([...buildServices(plain), buildNetworkPolicy(plain)])).not.toContain("5433");
    for (const manifest of [...buildServices(encrypted).slice(0, 3), buildNetworkPolicy(encrypted)])
      expect(JSON.stringify(manifest)).toContain("5433");
  });

  test("fill in what they know, escaped, and leave the rest", () => {
    const fields = { username: "app", password: "a/b@c:d" };
    expect(fillIn("x://$(username):$(password)@$(nowhere)/$HOME", fields)).toBe(
      "x://app:a%2Fb%40c%3Ad@$(nowhere)/$HOME",
    );
  });
});
