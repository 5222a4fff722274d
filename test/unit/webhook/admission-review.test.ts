import { expect, test } from "vitest";
import { toReview } from "../../../src/webhook/admission-review.ts";

test("a refusal names the field to people and to programs", () => {
  const refusal = { field: "spec.topology", message: "cannot be" };
  expect(toReview("u1", { refusal, warnings: [] })).toEqual({
    apiVersion: "admission.k8s.io/v1",
    kind: "AdmissionReview",
    response: {
      uid: "u1",
      allowed: false,
      status: {
        code: 422,
        reason: "Invalid",
        message: "spec.topology: cannot be",
        details: { causes: [{ reason: "FieldValueInvalid", ...refusal }] },
      },
    },
  });
});

test.each([
  { length: 256, shown: "x".repeat(256) },
  { length: 257, shown: `${"x".repeat(255)}…` },
])("a warning of $length characters ends where the API server would cut it", ({ length, shown }) => {
  expect(toReview("u1", { warnings: ["x".repeat(length)] })).toMatchObject({
    response: { allowed: true, warnings: [shown] },
  });
});

test("nothing to say is said by nothing", () => {
  expect(toReview("u1", { warnings: [] })).toMatchObject({ response: { uid: "u1", allowed: true } });
  expect(JSON.stringify(toReview("u1", { warnings: [] }))).not.toContain("warnings");
});
