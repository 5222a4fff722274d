/** Who may connect, as a NetworkPolicy says it. Complete, so that a typing mistake is refused here and lets nobody in. */
import * as z from "zod";
import { cel, labelMap, LIST_ATOMIC } from "./schema.ts";

const LABEL_KEY = "([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?";
const EXPECTED_RANGE = "write it as 203.0.113.0/24";

const LabelRequirement = z
  .object({
    key: z
      .string()
      .max(317)
      .regex(new RegExp(`^${LABEL_KEY}$`))
      .describe("key of the label."),
    operator: z.enum(["In", "NotIn", "Exists", "DoesNotExist"]).describe("operator between the label and values."),
    values: z
      .array(
        z
          .string()
          .max(63)
          .regex(/^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$/),
      )
      .max(32)
      .meta(LIST_ATOMIC)
      .optional()
      .describe("values to compare with, for In and NotIn."),
  })
  .meta(
    cel([
      {
        rule: "(self.operator in ['Exists', 'DoesNotExist']) != (has(self.values) && size(self.values) > 0)",
        message: "values must be given for In and NotIn, and for no other operator: add or remove values",
        fieldPath: ".values",
      },
    ]),
  );

function labelSelector(description: string) {
  return z
    .object({
      matchLabels: labelMap("matchLabels that must all be there.")
        .meta(
          cel([
            {
              rule: `self.all(key, key.matches('^${LABEL_KEY}$'))`,
              message: "matchLabels has a key that is no label's: write it as name or example.com/name",
            },
          ]),
        )
        .optional(),
      matchExpressions: z
        .array(LabelRequirement)
        .max(8)
        .meta(LIST_ATOMIC)
        .optional()
        .describe("matchExpressions that must all hold."),
    })
    .optional()
    .describe(description);
}

const IpBlock = z
  .object({
    cidr: z.string().max(64).describe("cidr of the addresses, such as 203.0.113.0/24."),
    except: z
      .array(z.string().max(64))
      .max(16)
      .meta(LIST_ATOMIC)
      .optional()
      .describe("except lists ranges within cidr that may not connect."),
  })
  .meta(
    cel([
      {
        rule: "isCIDR(self.cidr)",
        message: `cidr is no address range: ${EXPECTED_RANGE}`,
        fieldPath: ".cidr",
      },
      {
        rule: "!has(self.except) || !isCIDR(self.cidr) || self.except.all(range, isCIDR(range) && cidr(self.cidr).containsCIDR(range) && cidr(range).prefixLength() > cidr(self.cidr).prefixLength())",
        message: `except holds what is no address range within cidr: ${EXPECTED_RANGE}`,
        fieldPath: ".except",
      },
    ]),
  );

/** One of those who may connect. */
export const NetworkPeer = z
  .object({
    podSelector: labelSelector(
      "podSelector of pods, in the cluster's own namespace unless namespaceSelector is there; {} selects all.",
    ),
    namespaceSelector: labelSelector("namespaceSelector of the namespaces that pods are in; {} selects all."),
    ipBlock: IpBlock.optional().describe(
      "ipBlock of addresses outside Kubernetes, as they are when they arrive at the node.",
    ),
  })
  .meta(
    cel([
      {
        rule: "has(self.podSelector) || has(self.namespaceSelector) || has(self.ipBlock)",
        message: "from has an item that names nobody: set podSelector, namespaceSelector or ipBlock",
      },
      {
        rule: "!has(self.ipBlock) || !(has(self.podSelector) || has(self.namespaceSelector))",
        message: "ipBlock cannot stand beside podSelector and namespaceSelector: give it an item of its own",
        fieldPath: ".ipBlock",
      },
    ]),
  );
