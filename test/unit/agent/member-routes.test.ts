import { expect, test } from "vitest";
import { MemberRoutes, type MemberRoutesOptions } from "../../../src/agent/cluster/member-routes.ts";

const SELF = { pod: "orders-0-0", podUid: "u", address: "10.0.0.1", node: "n1" };
const EPOCH = 7;

/** Routes over a slice that `epochOfSlice` last wrote, and what they did to it. */
function routesOver(epochOfSlice: number): { routes: MemberRoutes; told: string[] } {
  const told: string[] = [];
  const keeper: MemberRoutesOptions["keeper"] = {
    routeWrites: (endpoint, epoch, written) => {
      told.push(`writes to ${endpoint?.pod ?? "nobody"} in ${epoch}`);
      written();
    },
    routeReads: (endpoints, epoch) => told.push(`reads from ${endpoints.length} in ${epoch}`),
    epochOfWrites: () => Promise.resolve(epochOfSlice),
    release: () => told.push("released"),
    prepareWrites: (epoch) => told.push(`prepared for ${epoch}`),
  };
  const metrics = {} as MemberRoutesOptions["metrics"];
  return { routes: new MemberRoutes({ keeper, self: SELF, podOf: () => undefined, metrics }), told };
}

test("a pod that ends without a successor takes itself out of the route of writes", async () => {
  const { routes, told } = routesOver(EPOCH);
  routes.takeWrites(EPOCH, () => undefined);
  routes.leaveWrites(EPOCH);
  await routes.beforePodEnds(100);
  expect(told).toEqual([`writes to orders-0-0 in ${EPOCH}`, "released", `writes to nobody in ${EPOCH}`]);
});

test("a pod that ends leaves a route alone that the next leader has taken", async () => {
  const { routes, told } = routesOver(EPOCH + 1);
  routes.leaveWrites(EPOCH);
  await routes.beforePodEnds(100);
  expect(told).toEqual(["released"]);
});

test("a pod that never served writes ends at once", async () => {
  const { routes, told } = routesOver(0);
  await routes.beforePodEnds(60_000);
  expect(told).toEqual([]);
});
