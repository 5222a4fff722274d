// Who reaches what of a cluster: everybody the ports for clients, or those whom the user lists; members what they need of each other.
import { describe, expect, test } from "vitest";
import { LABEL_SHARD_OF } from "../../../src/api/names.ts";
import { shardSpec } from "../../../src/build/shard.ts";
import { buildNetworkPolicy, buildStatelessNetworkPolicy } from "../../../src/build/services.ts";
import { contextOf } from "../plan/fixture.ts";

const from = [{ podSelector: { matchLabels: { app: "shop" } } }];
const MEMBERS = [{ podSelector: { matchLabels: { "quorate.io/cluster": "orders" } } }];
const tcp = (port: number) => ({ port, protocol: "TCP" });

function ingress(context: ReturnType<typeof contextOf>): unknown {
  return (buildNetworkPolicy(context)["spec"] as { readonly ingress: unknown }).ingress;
}

describe("clients that are listed", () => {
  test("reach the engine, as members do; everybody reads metrics and health", () => {
    expect(ingress(contextOf({ services: { from } }))).toEqual([
      { from, ports: [tcp(5432)] },
      { ports: [tcp(7412)] },
      { from: MEMBERS, ports: [tcp(5432), tcp(7411), tcp(7414)] },
    ]);
  });

  test("are given to shards, whose members reach each other by both ports: keys move by the clients'", () => {
    const whole = contextOf({ services: { from } });
    const { services } = shardSpec(whole, true);
    expect(services.from).toEqual(from);
    const plain = contextOf({ services });
    const shard = {
      ...plain,
      intent: { ...plain.intent, shard: { of: "cache", index: 0, shards: ["cache-s0", "cache-s1"] } },
      engine: { ...plain.engine, memberPort: 16_379 },
    };
    expect(ingress(shard)).toContainEqual({
      from: [{ podSelector: { matchLabels: { [LABEL_SHARD_OF]: "cache" } } }],
      ports: [tcp(5432), tcp(16_379)],
    });
  });

  test("alone reach members of topology Stateless", () => {
    expect(buildStatelessNetworkPolicy(contextOf({ services: { from } }))["spec"]).toMatchObject({
      ingress: [{ from, ports: [tcp(5432)] }],
    });
  });
});

test("without a list everybody reaches the engine, and only members the agents", () => {
  expect(ingress(contextOf())).toEqual([
    { ports: [tcp(5432), tcp(7412)] },
    { from: MEMBERS, ports: [tcp(7411), tcp(7414)] },
  ]);
});
