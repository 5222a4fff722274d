// What the API server must refuse of objectives of the user's own, each with its exact words.
import { creation, type Creation, minimalCluster } from "./crd-cases.ts";

const bad = 'increase(http_requests_total{namespace="$(NAMESPACE)",job="$(CLUSTER)",code=~"5.."}[$(WINDOW)])';
const total = "increase(http_requests_total[$(WINDOW)])";
/** An objective that holds, as a user writes it. */
export const checkout = { name: "checkout", targetPercent: "99.5", badQuery: bad, totalQuery: total };

const BELONG = "[0]: badQuery and totalQuery belong together: add the other, or remove both and use badRatioQuery";
const EITHER =
  "[0]: an objective needs either badQuery and totalQuery, or badRatioQuery: remove one or add what is missing";

/** What must not come into being. */
export const objectiveCreations: readonly Creation[] = [
  ...[
    { why: "an objective of nothing", own: { badQuery: undefined, totalQuery: undefined }, says: EITHER },
    { why: "an objective of two things", own: { badRatioQuery: "x[$(WINDOW)]" }, says: EITHER },
    { why: "bad events of none", own: { totalQuery: undefined }, says: BELONG },
    { why: "events of which none is bad", own: { badQuery: undefined }, says: BELONG },
    ...["100", "49.9"].map((targetPercent) => ({
      why: `a target of ${targetPercent}`,
      own: { targetPercent },
      says: '[0].targetPercent: targetPercent must be at least 50 and below 100: 100 leaves no error budget, so that nothing could ever be changed; write for example "99.9"',
    })),
    ...["badQuery", "totalQuery", "badRatioQuery"].flatMap((field) => {
      const alone = field === "badRatioQuery" ? { badQuery: undefined, totalQuery: undefined } : {};
      return [
        {
          why: `a ${field} over one window alone`,
          own: { ...alone, [field]: "increase(http_requests_total[5m])" },
          says: `[0].${field}: ${field} needs $(WINDOW): it is asked over windows of several lengths; use it as in increase(http_requests_total[$(WINDOW)])`,
        },
        {
          why: `a ${field} with a placeholder of analyses`,
          own: { ...alone, [field]: 'increase(http_requests_total{pod=~"$(PODS)"}[$(WINDOW)])' },
          says: `[0].${field}: ${field} has a placeholder that nothing stands for: use $(WINDOW), $(NAMESPACE) and $(CLUSTER) alone`,
        },
      ];
    }),
  ].map(({ why, own, says }) =>
    creation(why, minimalCluster({ slo: { objectives: [{ ...checkout, ...own }] } }), `spec.slo.objectives${says}`),
  ),
];
