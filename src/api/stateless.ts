/** What only members without data can have: a number that follows the load, starts apart from each other, an end after the last client. */
import * as z from "zod";
import { cel, type CelRule, listMap, named, quantity } from "./schema.ts";

/** Of the members of topology Stateless so many may be away at a time, rounded up: evictions keep to it, and clients are served nevertheless. */
export const AWAY_PERCENT = 10;

const Metric = z
  .object({
    name: named("name of the metric, for people."),
    cpuPercent: z
      .int32()
      .min(1)
      .max(100)
      .optional()
      .describe("cpuPercent of its CPU request that a member shall use on average."),
    podMetric: z
      .string()
      .min(1)
      .max(253)
      .optional()
      .describe(
        "podMetric that every member has in the custom metrics API, for example http_requests_per_second; something must serve that API, such as an adapter for Prometheus.",
      ),
    averageValue: quantity("averageValue that podMetric shall have over all members, for example 100.").optional(),
  })
  .meta(
    cel([
      {
        rule: "has(self.cpuPercent) != has(self.podMetric)",
        message: "a metric needs either cpuPercent or podMetric: remove one or add the other",
      },
      {
        rule: "has(self.podMetric) == has(self.averageValue)",
        message: "podMetric and averageValue belong together: add the other, or remove both and use cpuPercent",
      },
    ]),
  );

interface Speeds {
  readonly stabilizationSeconds: number;
  readonly percent: number;
  readonly members: number;
  readonly periodSeconds: number;
}

/** How fast the number of members may change in one direction. */
function pace(defaults: Speeds) {
  return z.object({
    stabilizationSeconds: z
      .int32()
      .min(0)
      .max(3600)
      .default(defaults.stabilizationSeconds)
      .describe(
        "stabilizationSeconds over which the metrics must have asked for the change without a break. A load that comes and goes faster changes nothing.",
      ),
    percent: z
      .int32()
      .min(1)
      .max(1000)
      .default(defaults.percent)
      .describe("percent of the members that may come or go within a period; the larger of percent and members holds."),
    members: z
      .int32()
      .min(1)
      .max(100)
      .default(defaults.members)
      .describe("members that may come or go within a period."),
    periodSeconds: z
      .int32()
      .min(1)
      .max(1800)
      .default(defaults.periodSeconds)
      .describe("periodSeconds is the length of a period."),
  });
}

/** `.spec.autoscaling`. */
export const Autoscaling = z.object({
  maxMembers: z
    .int32()
    .min(1)
    .max(1000)
    .describe("maxMembers there may be at the most. spec.members is the least, and always warm."),
  metrics: z
    .array(Metric)
    .min(1)
    .max(8)
    .meta(listMap("name"))
    .prefault([{ name: "cpu", cpuPercent: 60 }])
    .describe("metrics that the number of members follows; of several the one that asks for the most members."),
  scaleOut: pace({ stabilizationSeconds: 0, percent: 100, members: 4, periodSeconds: 30 })
    .prefault({})
    .describe("scaleOut says how fast members come: at once by default, because clients wait."),
  scaleIn: pace({ stabilizationSeconds: 600, percent: 20, members: 1, periodSeconds: 60 })
    .prefault({})
    .describe(
      "scaleIn says how fast members go: late and slowly by default, so that a load that returns finds them warm.",
    ),
});
export type Autoscaling = z.infer<typeof Autoscaling>;

/** `.spec.serving`. */
export const Serving = z.object({
  drainSeconds: z
    .int32()
    .min(0)
    .max(600)
    .default(10)
    .describe(
      "drainSeconds that a member which is to end goes on answering after it left the Service, because proxies and load balancers hear of it late. Then the Engine's stop begins; the pod's grace period covers both.",
    ),
  startJitterSeconds: z
    .int32()
    .min(0)
    .max(300)
    .default(5)
    .describe(
      "startJitterSeconds is the longest random wait of a new member before it starts, so that many that come together do not ask for the same things at the same moment.",
    ),
  surgePercent: z
    .int32()
    .min(1)
    .max(100)
    .default(25)
    .describe(
      "surgePercent of the members that an update may add at once. A member ends only when the one in its place is ready, so there are never fewer than before.",
    ),
});
export type Serving = z.infer<typeof Serving>;

/** What holds while `spec.serving` says nothing. */
export const DEFAULT_SERVING: Serving = Serving.parse({});

const NOT_STATELESS = "self.topology != 'Stateless'";

/** A field of which topology Stateless makes nothing must be as it is when nobody writes it. */
function unused(field: string, isUnwritten: string, why: string): CelRule {
  return {
    rule: `${NOT_STATELESS} || (${isUnwritten})`,
    message: `${field} does not apply in topology Stateless, ${why}: leave it out`,
    fieldPath: `.${field}`,
  };
}

const NO_DATA = "whose members keep no data";
const NO_LEADER = "which has no leader";

function unusedService(name: string): CelRule {
  const service = `self.services.${name}`;
  const isUnwritten = `${service}.type == 'ClusterIP' && !has(${service}.annotations)`;
  return unused(`services.${name}`, isUnwritten, "which has one Service, -r, set up by services.read");
}

/** Objectives about what only agents measure. */
const UNMEASURED = [
  "dataPlane.requestErrorPercent",
  "dataPlane.latencyP95Milliseconds",
  "dataPlane.errorPercent",
  "controlPlane.apiLatencyP95Milliseconds",
];

/** Rules between the fields of a ClusterSpec that concern topology Stateless. */
export const statelessRules: readonly CelRule[] = [
  ...["autoscaling", "serving"].map((field) => ({
    rule: `!has(self.${field}) || self.topology == 'Stateless'`,
    message: `${field} is for topology Stateless alone: members that hold data come and go one at a time, by spec.members; remove ${field}`,
    fieldPath: `.${field}`,
  })),
  {
    rule: "!has(self.autoscaling) || self.autoscaling.maxMembers >= self.members",
    message: "autoscaling.maxMembers must be at least members, the smallest number: raise it, or lower members",
    fieldPath: ".autoscaling.maxMembers",
  },
  {
    rule: "self.topology == 'Stateless' || self.members <= 5",
    message: "members must be at most 5 where members hold data: lower members",
    fieldPath: ".members",
  },
  {
    rule: `${NOT_STATELESS} || self.update.progressDeadlineSeconds > self.update.minReadySeconds`,
    message:
      "update.progressDeadlineSeconds must be more than update.minReadySeconds, or every update would fail: raise it, or lower minReadySeconds",
    fieldPath: ".update.progressDeadlineSeconds",
  },
  unused("durability", "self.durability.mode == 'Quorum' && self.durability.whenDegraded == 'Block'", NO_DATA),
  unused(
    "failover",
    "self.failover.profile == 'Standard' && quantity(string(self.failover.maxLag)).compareTo(quantity('1Mi')) == 0",
    NO_LEADER,
  ),
  unused(
    "storage",
    "!has(self.storage.data.className) && quantity(string(self.storage.data.size)).compareTo(quantity('10Gi')) == 0",
    NO_DATA,
  ),
  unused(
    "volumeRetention",
    "self.volumeRetention.whenDeleted == 'Retain' && self.volumeRetention.whenScaled == 'Retain'",
    NO_DATA,
  ),
  unused(
    "disruption",
    "self.disruption.singleMember == 'Allow' && self.disruption.deadNode == 'Wait'",
    "where Kubernetes replaces members by itself",
  ),
  unused(
    "update.maxUnavailable",
    "self.update.maxUnavailable == 1",
    "which adds members by serving.surgePercent first",
  ),
  unused("update.partition", "self.update.partition == 0", "where a canary is a number of members of its own"),
  unused("update.jitterSeconds", "self.update.jitterSeconds == 0", "where serving.startJitterSeconds spreads starts"),
  unused("update.switchoverDeadlineSeconds", "self.update.switchoverDeadlineSeconds == 60", NO_LEADER),
  unused("update.onSwitchoverFailure", "self.update.onSwitchoverFailure == 'Block'", NO_LEADER),
  ...UNMEASURED.map((field) =>
    unused(
      `slo.${field}`,
      `!has(self.slo) || !has(self.slo.${field})`,
      "where no agent measures anything; state it by queries in slo.objectives",
    ),
  ),
  {
    rule: `${NOT_STATELESS} || self.update.canary.analysis.all(one, !has(one.measure))`,
    message:
      "update.canary.analysis cannot use measure in topology Stateless, where no agent measures anything: use query",
    fieldPath: ".update.canary.analysis",
  },
  unusedService("readWrite"),
  unusedService("readOnly"),
];

const HttpProbe = z.object({
  path: z
    .string()
    .min(1)
    .max(1024)
    .regex(/^\/[!-~]*$/, "expected a path such as /healthz")
    .describe("path that is asked for with GET on port; any answer from 200 to 399 is good."),
});

/** `.spec.probes` of an Engine. */
export const EngineProbes = z.object({
  ready: HttpProbe.describe("ready says whether a member can serve: without a good answer it gets no connections."),
  live: HttpProbe.optional().describe(
    "live says whether the process still works: without a good answer for 30 s it is restarted. It must not depend on anything else, or that takes all members along. When absent only a process that ends is restarted.",
  ),
  startSeconds: z
    .int32()
    .min(1)
    .max(3600)
    .default(60)
    .describe(
      "startSeconds within which the first good answer of ready must come; otherwise the process is restarted.",
    ),
});
export type EngineProbes = z.infer<typeof EngineProbes>;

/** Rules between the fields of an Engine that concern topology Stateless. @param actions - Names of all actions. */
export function statelessEngineRules(actions: readonly string[]): readonly CelRule[] {
  const noAgent = "in topology Stateless, which runs no agent";
  const rule = (isRight: string, message: string, fieldPath: string): CelRule => {
    return { rule: `!('Stateless' in self.topologies) || (${isRight})`, message, fieldPath };
  };
  return [
    {
      rule: "('Stateless' in self.topologies) == has(self.probes)",
      message:
        "probes are for topology Stateless, which needs them; in the others agents answer the probes: add probes, or remove them",
      fieldPath: ".probes",
    },
    rule(
      actions.map((action) => `!has(self.actions.${action})`).join(" && "),
      `actions are never run ${noAgent}: remove them`,
      ".actions",
    ),
    rule(
      "self.stop.signal == 'SIGTERM'",
      "stop.signal must be SIGTERM in topology Stateless, where Kubernetes sends it: leave it out",
      ".stop.signal",
    ),
    rule("size(self.sessions) == 0", `sessions are never opened ${noAgent}: remove them`, ".sessions"),
    rule(
      "size(self.accounts) == 0",
      `accounts are created by nobody ${noAgent}: remove them, and let the software read its own Secrets`,
      ".accounts",
    ),
    rule(
      "!has(self.memberPort)",
      "memberPort is not for topology Stateless: members do not know each other; remove it",
      ".memberPort",
    ),
    rule(
      "size(self.parameters.reloadable) == 0",
      `parameters.reloadable cannot be reloaded ${noAgent}: leave it empty; a change replaces the members`,
      ".parameters.reloadable",
    ),
    rule(
      "self.versions.all(one, size(one.irreversibleFrom) == 0)",
      "versions[].irreversibleFrom is about data, which topology Stateless does not have: remove it",
      ".versions",
    ),
    rule(
      "!self.versions.exists(one, has(one.upgradesFrom))",
      "versions[].upgradesFrom is about data, which topology Stateless does not have: remove it",
      ".versions",
    ),
  ];
}
