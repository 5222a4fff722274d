import { expect, test } from "vitest";
import { agentInstruments, operatorInstruments } from "../../../hack/generate/instruments.ts";

const all = [...agentInstruments(), ...operatorInstruments()];

test("every metric has our name, its own name, and says its unit", () => {
  const names = all.map(({ name }) => name);
  expect(names).toEqual([...new Set(names)]);
  expect(names.filter((name) => !/^quorate_[a-z_]+$/.test(name))).toEqual([]);
  expect(all.filter(({ name, type }) => name.endsWith("_total") !== (type === "counter"))).toEqual([]);
  expect(all.filter(({ name, type }) => type === "histogram" && !name.endsWith("_seconds"))).toEqual([]);
});

test("figures of one cluster name it alike", () => {
  const ofCluster = operatorInstruments().filter(({ labels }) => labels.includes("cluster"));
  expect(ofCluster.length).toBeGreaterThan(5);
  expect(ofCluster.filter(({ labels }) => labels[0] !== "namespace" || labels[1] !== "cluster")).toEqual([]);
});

test("nothing that tells one object or one user from all others is a label", () => {
  const tooMany = ["uid", "pod", "user", "message", "address"];
  expect(all.filter(({ labels }) => labels.some((label) => tooMany.includes(label)))).toEqual([]);
});
