// How tests tell a right that is missing from an API server that has not read the roles yet.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { rightsAsked } from "../../api/rights.ts";

const ACCOUNT = { namespace: "shop", name: "orders-member" };
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quorate-audit-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** One answered request at a second of a minute. */
function event(atSecond: number, code: number, name: string): object {
  return {
    verb: "update",
    user: { username: "system:serviceaccount:shop:orders-member" },
    requestURI: "/",
    objectRef: {
      resource: "leases",
      apiGroup: "coordination.k8s.io",
      namespace: "shop",
      name,
      resourceVersion: atSecond,
    },
    responseStatus: { code },
    annotations: { "authorization.k8s.io/decision": code === 403 ? "forbid" : "allow" },
    requestReceivedTimestamp: `2026-11-26T15:00:${String(atSecond).padStart(2, "0")}.000000Z`,
  };
}

test("a refusal counts unless the same was allowed later", async () => {
  const events = [
    ...[event(1, 200, "orders"), event(2, 403, "orders"), event(3, 200, "orders")], // it had just started
    ...[event(4, 403, "others"), event(5, 200, "orders")], // not its own
    ...[event(6, 200, "lost"), event(7, 403, "lost")], // taken away
  ];
  await writeFile(join(folder, "audit.log"), events.map((one) => `${JSON.stringify(one)}\n`).join(""));
  const { used, refused } = await rightsAsked(folder, ACCOUNT);
  expect(used).toEqual(["update leases.coordination.k8s.io"]);
  expect(refused).toEqual([
    expect.stringContaining("update leases.coordination.k8s.io lost"),
    expect.stringContaining("update leases.coordination.k8s.io others"),
  ]);
});

test("nothing can be made in a namespace that goes, and that is no refusal of a right", async () => {
  const message =
    'leases "late" is forbidden: unable to create new content in namespace shop because it is being terminated';
  const late = { ...event(1, 403, "late"), responseStatus: { code: 403, message } };
  const allowed = { ...late, annotations: { "authorization.k8s.io/decision": "allow" } };
  await writeFile(join(folder, "audit.log"), `${JSON.stringify(allowed)}\n`);
  expect((await rightsAsked(folder, ACCOUNT)).refused).toEqual([]);
});
