/** The API server's question and our answer, as admission.k8s.io/v1 has them. */
import * as z from "zod";
import type { Judgement } from "./judge.ts";

export const AdmissionReview = z.object({
  apiVersion: z.literal("admission.k8s.io/v1"),
  kind: z.literal("AdmissionReview"),
  request: z.object({
    uid: z.string(),
    operation: z.enum(["CREATE", "UPDATE", "DELETE", "CONNECT"]),
    object: z.unknown(),
    oldObject: z.unknown(),
  }),
});
export type AdmissionRequest = z.infer<typeof AdmissionReview>["request"];

/** The API server shows clients at most this much of one warning, and cuts off the rest. */
const MAX_WARNING = 256;

/** The answer to the request with this uid. */
export function toReview(uid: string, { refusal, warnings }: Judgement): object {
  const shown = warnings.map((warning) =>
    warning.length <= MAX_WARNING ? warning : `${warning.slice(0, MAX_WARNING - 1)}…`,
  );
  const allowed = refusal === undefined;
  const status = allowed
    ? {}
    : {
        status: {
          code: 422,
          reason: "Invalid",
          message: `${refusal.field}: ${refusal.message}`,
          details: { causes: [{ reason: "FieldValueInvalid", ...refusal }] },
        },
      };
  return {
    apiVersion: "admission.k8s.io/v1",
    kind: "AdmissionReview",
    response: { uid, allowed, ...status, ...(shown.length === 0 ? {} : { warnings: shown }) },
  };
}
