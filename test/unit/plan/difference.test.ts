import { expect, test } from "vitest";
import { childKey, type Manifest } from "../../../src/build/manifest.ts";
import { applyIfDifferent } from "../../../src/plan/difference.ts";
import type { ChildView } from "../../../src/plan/observation.ts";

/** A Deployment with so many pods; its number is no part of the hash of what was applied. */
function deployment(replicas: number): Manifest {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "web", namespace: "shop", labels: {} },
    spec: { replicas, template: {} },
  };
}

test("a number that is wanted anew is applied to a live object that was found to be right before", () => {
  const none = new Map<string, ChildView>();
  const [first] = applyIfDifferent(deployment(3), none);
  if (first?.kind !== "Apply") throw new Error("what is missing is applied");
  const { manifest } = first;
  const [appliedHash] = Object.values(manifest.metadata.annotations ?? {});
  const child = { live: manifest, appliedHash, deleting: false } as unknown as ChildView;
  const children = new Map([[childKey("Deployment", "web"), child]]);
  expect(applyIfDifferent(deployment(3), children)).toEqual([]);
  expect(applyIfDifferent(deployment(5), children)).toHaveLength(1);
  expect(applyIfDifferent(deployment(3), children)).toEqual([]);
});
