/** What users are promised, when the operator may disturb them, and how a canary is judged. */
import * as z from "zod";
import { cel, type CelRule, listMap, named } from "./schema.ts";

const PERCENT = /^(100|[0-9]{1,2})(\.[0-9]{1,6})?$/;

/** A percentage as a decimal string, because the API has no floating point numbers. */
function percent(description: string): z.ZodString {
  return z.string().max(10).regex(PERCENT, 'expected a percentage as a string, such as "99.9"').describe(description);
}

/** A share that may fail. */
function errorPercent(field: string, description: string): z.ZodOptional<z.ZodString> {
  const message = `${field} must be above 0 and at most 50: 0 leaves no error budget, so that nothing could ever be changed; write for example "0.1"`;
  return percent(description)
    .meta(cel([{ rule: "double(self) > 0.0 && double(self) <= 50.0", message }]))
    .optional();
}

/** A share that is to be good. */
function goodPercent(field: string, description: string): z.ZodString {
  const message = `${field} must be at least 50 and below 100: 100 leaves no error budget, so that nothing could ever be changed; write for example "99.9"`;
  return percent(description).meta(cel([{ rule: "double(self) >= 50.0 && double(self) < 100.0", message }]));
}

const DataPlaneObjectives = z.object({
  availabilityPercent: goodPercent(
    "availabilityPercent",
    "availabilityPercent of the time in which a small write to the leader succeeds, as the members measure it every second; in topology Stateless of the seconds in which enough members are ready: members, less a tenth (at least one) that may be away, and one in any case.",
  ).default("99.9"),
  requestErrorPercent: errorPercent(
    "requestErrorPercent",
    "requestErrorPercent of the clients' own requests that may fail for a reason on the engine's side, as the engine counts them; no objective when absent. It needs an Engine that declares countRequests.",
  ),
  latencyP95Milliseconds: z
    .int32()
    .min(1)
    .max(60_000)
    .optional()
    .describe(
      "latencyP95Milliseconds within which 95 of 100 of the members' own small reads and writes are answered; no objective when absent.",
    ),
  errorPercent: errorPercent(
    "errorPercent",
    "errorPercent of the members' own small reads and writes that may fail; no objective when absent.",
  ),
});

const ControlPlaneObjectives = z.object({
  apiLatencyP95Milliseconds: z
    .int32()
    .min(1)
    .max(60_000)
    .optional()
    .describe(
      "apiLatencyP95Milliseconds within which the API server takes 95 of 100 lease writes of this cluster's leader; no objective when absent.",
    ),
});

/** What a query of an objective may hold beside PromQL. */
const OBJECTIVE_PLACEHOLDERS = ["$(WINDOW)", "$(NAMESPACE)", "$(CLUSTER)"] as const;

/** A query that is asked over windows of several lengths. */
function windowedQuery(field: string, description: string): z.ZodOptional<z.ZodString> {
  const others = OBJECTIVE_PLACEHOLDERS.reduce((text, one) => `${text}.replace('${one}', '')`, "self");
  return z
    .string()
    .min(1)
    .max(4096)
    .describe(description)
    .meta(
      cel([
        {
          rule: "self.contains('$(WINDOW)')",
          message: `${field} needs $(WINDOW): it is asked over windows of several lengths; use it as in increase(http_requests_total[$(WINDOW)])`,
        },
        {
          rule: `!${others}.contains('$(')`,
          message: `${field} has a placeholder that nothing stands for: use $(WINDOW), $(NAMESPACE) and $(CLUSTER) alone`,
        },
      ]),
    )
    .optional();
}

/** `.spec.slo.objectives[]`. */
export const OwnObjective = z
  .object({
    name: named("name of the objective, by which metrics, alerts and messages tell it."),
    targetPercent: goodPercent("targetPercent", "targetPercent of the events that are to be good."),
    badQuery: windowedQuery(
      "badQuery",
      'badQuery in PromQL counts the bad events within $(WINDOW), for example increase(http_requests_total{namespace="$(NAMESPACE)",code=~"5.."}[$(WINDOW)]). Series are added up; none are no bad events. $(NAMESPACE) and $(CLUSTER) stand for the names of this cluster.',
    ),
    totalQuery: windowedQuery(
      "totalQuery",
      "totalQuery in PromQL counts all events within $(WINDOW), good and bad ones. Series are added up; none are no data, which counts as not kept.",
    ),
    badRatioQuery: windowedQuery(
      "badRatioQuery",
      "badRatioQuery in PromQL gives the share of bad events within $(WINDOW) itself, 0 to 1, instead of badQuery and totalQuery. Of several series the worst counts; none are no data.",
    ),
  })
  .meta(
    cel([
      {
        rule: "has(self.badRatioQuery) != (has(self.badQuery) || has(self.totalQuery))",
        message:
          "an objective needs either badQuery and totalQuery, or badRatioQuery: remove one or add what is missing",
      },
      {
        rule: "has(self.badQuery) == has(self.totalQuery)",
        message: "badQuery and totalQuery belong together: add the other, or remove both and use badRatioQuery",
      },
    ]),
  );
export type OwnObjective = z.infer<typeof OwnObjective>;

/** `.spec.slo`. */
export const ServiceLevel = z.object({
  window: z
    .string()
    .max(3)
    .regex(/^([7-9]|[1-8][0-9]|90)d$/, "expected whole days from 7d to 90d, such as 30d")
    .default("30d")
    .describe("window over which the objectives hold and the error budget is spent: whole days, 7d to 90d."),
  dataPlane: DataPlaneObjectives.prefault({}).describe("dataPlane objectives: what clients of the engine notice."),
  controlPlane: ControlPlaneObjectives.prefault({}).describe(
    "controlPlane objectives: what failover and changes depend on.",
  ),
  objectives: z
    .array(OwnObjective)
    .max(8)
    .meta(listMap("name"))
    .default([])
    .describe(
      "objectives of your own, about what Prometheus knows: their budgets hold back changes, alert and are shown as the others. The operator needs a Prometheus to ask (QUORATE_PROMETHEUS_URL); without an answer nothing is known, which counts as not kept. In topology Sharded each shard has them: tell shards apart by $(CLUSTER).",
    ),
  whenExhausted: z
    .enum(["Freeze", "Warn", "Ignore"])
    .default("Freeze")
    .describe(
      "whenExhausted says what happens while an error budget is spent, burns too fast, or cannot be measured: Freeze starts no change that could cost more, Warn only tells, Ignore only measures.",
    ),
});
export type ServiceLevel = z.infer<typeof ServiceLevel>;

const MONTHS = "JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC";
const DAYS = "SUN|MON|TUE|WED|THU|FRI|SAT";

/** One cron field: a list of values and ranges; steps need `*` or a range, because what 5/15 means differs between crons. */
function cronField(value: string): string {
  const step = "(/[1-9][0-9]?)?";
  const item = `([*]${step}|(${value})(-(${value})${step})?)`;
  return `${item}(,${item})*`;
}

const CRON_FIELDS = [
  "[0-5]?[0-9]",
  "[01]?[0-9]|2[0-3]",
  "0?[1-9]|[12][0-9]|3[01]",
  `0?[1-9]|1[0-2]|${MONTHS}`,
  `[0-7]|${DAYS}`,
].map(cronField);

/** The rule for a schedule. What it lets pass can still be impossible (30 February), which the operator then says. */
export function cronRule(field: string): CelRule {
  return {
    rule: `self.matches('^${CRON_FIELDS.join(" ")}$')`,
    message: `${field} is not a schedule: write minute, hour, day of month, month and day of week with one blank between them, for example '0 3 * * 6' for Saturdays at 03:00`,
  };
}

/** `.spec.maintenanceWindows[]`. */
export const MaintenanceWindow = z.object({
  name: named("name of the window."),
  cron: z
    .string()
    .min(9)
    .max(128)
    .describe(
      "cron says when the window opens: minute, hour, day of month, month, day of week, for example '0 3 * * 6'. A time that a clock change skips opens right after the change; one that occurs twice opens once.",
    )
    .meta(cel([cronRule("cron")])),
  timeZone: z
    .string()
    .min(1)
    .max(64)
    .regex(/^[A-Za-z0-9_+/-]+$/)
    .default("UTC")
    .describe("timeZone that cron is read in, by its IANA name, for example Europe/Paris."),
  durationMinutes: z.int32().min(5).max(10_080).describe("durationMinutes that the window stays open."),
});
export type MaintenanceWindow = z.infer<typeof MaintenanceWindow>;

const DECIMAL = /^[0-9]{1,12}(\.[0-9]{1,6})?$/;

function decimal(description: string): z.ZodString {
  return z.string().max(19).regex(DECIMAL, 'expected a number as a string, such as "1.5"').describe(description);
}

/** `.spec.update.canary.analysis[]`. */
export const Analysis = z
  .object({
    name: named("name of the analysis."),
    measure: z
      .enum(["EngineDownPercent", "Restarts", "LagBytes", "LatencyP95Milliseconds", "ErrorPercent"])
      .optional()
      .describe(
        "measure that the members' agents take: EngineDownPercent of the time, Restarts of engine and container, LagBytes behind the leader at the worst, LatencyP95Milliseconds and ErrorPercent of the agents' own small reads, which every member answers.",
      ),
    query: z
      .string()
      .min(1)
      .max(4096)
      .optional()
      .describe(
        "query in PromQL with one value as its result, asked of the operator's Prometheus. $(PODS) stands for the pods that are judged, $(CANARY) for the updated and $(CONTROL) for the other pods, each as a regular expression; $(NAMESPACE) and $(CLUSTER) for their names.",
      ),
    max: decimal("max is the largest value that passes.").optional(),
    maxRatio: decimal(
      "maxRatio is the largest multiple of the same value on the members not yet updated that passes.",
    ).optional(),
    ignoreUpTo: decimal("ignoreUpTo is a value up to which maxRatio does not matter.").optional(),
    overSeconds: z
      .int32()
      .min(10)
      .max(3600)
      .default(60)
      .describe("overSeconds a measure looks back; less time of measuring than that is no data."),
  })
  .meta(
    cel([
      {
        rule: "has(self.measure) != has(self.query)",
        message: "an analysis needs either measure or query: remove one or add the other",
      },
      {
        rule: "has(self.max) != has(self.maxRatio)",
        message: "an analysis needs either max or maxRatio: remove one or add the other",
      },
      {
        rule: "!has(self.ignoreUpTo) || has(self.maxRatio)",
        message: "ignoreUpTo needs maxRatio: remove ignoreUpTo, or compare with maxRatio instead of max",
        fieldPath: ".ignoreUpTo",
      },
      {
        rule: "!has(self.query) || !has(self.maxRatio) || self.query.contains('$(PODS)')",
        message:
          'query needs $(PODS) with maxRatio: it is asked once for the updated pods and once for the others; use it as in {pod=~"$(PODS)"}',
        fieldPath: ".query",
      },
    ]),
  );
export type Analysis = z.infer<typeof Analysis>;
