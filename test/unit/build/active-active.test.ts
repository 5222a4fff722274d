// What clusters in which every member writes have of their own: Services that lead to all of them, and ports among them.
import { expect, test } from "vitest";
import { buildEndpointSlices, buildNetworkPolicy, buildServices } from "../../../src/build/services.ts";
import { contextOf } from "../plan/fixture.ts";

const plain = contextOf({ topology: "ActiveActive" });
const context = { ...plain, engine: { ...plain.engine, memberPort: 4567, memberPorts: 3 } };

test("every Service for clients leads to all ready members, and no agent writes its endpoints", () => {
  const specs = buildServices(context).map(({ metadata, spec }) => [metadata.name, spec] as const);
  const all = { "quorate.io/cluster": "orders" };
  for (const name of ["orders-rw", "orders-ro", "orders-r"]) {
    expect(specs.find(([one]) => one === name)?.[1]).toMatchObject({ selector: all });
  }
  expect(buildEndpointSlices(context)).toEqual([]);
  expect(buildServices(contextOf())[0]?.["spec"]).not.toHaveProperty("selector");
});

test("the ports that members speak on are open to members, all of them", () => {
  const text = JSON.stringify(buildNetworkPolicy(context));
  expect(text).toContain('{"port":4567,"protocol":"TCP","endPort":4569}');
});
