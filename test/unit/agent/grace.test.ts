import { expect, test } from "vitest";
import { readGraceMs } from "../../../src/agent/grace.ts";
import type { KubeApi } from "../../../src/kube/api.ts";

const POD = { apiVersion: "v1", kind: "Pod", namespace: "shop", name: "orders-0-0", uid: "u" };

function asked(answer: () => Promise<unknown>): Promise<number | null> {
  return readGraceMs({ get: answer } as unknown as Pick<KubeApi, "get">, POD);
}

const pod = (metadata: object): Promise<unknown> => Promise.resolve({ metadata: { uid: "u", ...metadata } });

test.each([
  ["deleted by force", () => Promise.resolve(undefined), 2000],
  ["deleted by force and made again", () => pod({ uid: "v" }), 2000],
  ["deleted with half a minute", () => pod({ deletionGracePeriodSeconds: 30 }), 30_000],
  ["deleted with less than a kubelet grants", () => pod({ deletionGracePeriodSeconds: 1 }), 2000],
  ["not deleted: the container alone ends", () => pod({}), null],
  ["out of sight", () => Promise.reject(new Error("away")), null],
])("a pod that is %s", async (_, answer, graceMs) => {
  await expect(asked(answer)).resolves.toBe(graceMs);
});
