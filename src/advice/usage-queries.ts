// What members used and did, as PromQL over the agents' metrics.
import { badShare, seriesOf, type Subject } from "../slo/queries.ts";
import { formatDuration } from "../slo/objectives.ts";
import type { MemberUsage, Seen } from "./facts.ts";

const STEP_SECONDS = 300;
const STEP = formatDuration(STEP_SECONDS * 1000);

/** What is asked about each member; a result has the label `member`. */
export type MemberFigure = Exclude<keyof MemberUsage, "member">;
/** What is asked about the whole cluster. */
export type ClusterFigure = Exclude<keyof Seen, "source" | "members">;

/** The queries about each member over `range`, a duration in Prometheus' words. Samples of a pod that was replaced count. */
export function memberQueries(subject: Subject, range: string): Readonly<Record<MemberFigure, string>> {
  const series = (metric: string) => seriesOf(subject, metric);
  const each = (expr: string) => `max by (member) (${expr})`;
  const over = (expr: string) => `(${each(expr)})[${range}:${STEP}]`;
  const used = `${series("volume_size_bytes")} - ${series("volume_free_bytes")}`;
  const memory = over(series("memory_bytes"));
  return {
    cpuCoresP95: `quantile_over_time(0.95, ${over(`rate(${series("cpu_seconds_total")}[${STEP}])`)})`,
    memoryBytesP95: `quantile_over_time(0.95, ${memory})`,
    memoryBytesMax: `max_over_time(${memory})`,
    volumeUsedBytes: each(used),
    volumeSizeBytes: each(series("volume_size_bytes")),
    upShare: upShare(subject, range),
  };
}

/**
 * A member that is gone has no series: it was down whenever others of its cluster were seen and it was not up. Before it was seen first
 * it was no member.
 */
function upShare(subject: Subject, range: string): string {
  const up = seriesOf(subject, "engine_up");
  const seenAt = `(max by (member) (${up} * 0 + time()))[${range}:${STEP}]`;
  const newest = `scalar(max(max_over_time(${seenAt})))`;
  const sinceFirst = `(${newest} - min_over_time(${seenAt})) / ${STEP_SECONDS} + 1`;
  const ups = `sum_over_time((max by (member) (${up}))[${range}:${STEP}])`;
  return `${ups} / clamp_max(${sinceFirst}, scalar(${looks(subject, range)}))`;
}

/** The queries about the cluster. */
export function clusterQueries(subject: Subject, range: string): Readonly<Record<ClusterFigure, string>> {
  const answered = 'result=~"ok|conflict"';
  const lease = (...matchers: readonly string[]) => seriesOf(subject, "lease_write_seconds_bucket", ...matchers);
  const writes = seriesOf(subject, "lease_write_seconds_count");
  const failed = seriesOf(subject, "lease_write_seconds_count", 'result!~"ok|conflict"');
  const worst = `histogram_quantile(0.99, sum by (le) (rate(${lease(answered)}[${STEP}])))`;
  const answers = seriesOf(subject, "action_seconds_bucket", 'action="observe"', 'result="ok"');
  const none = "vector(0)";
  return {
    overSeconds: `${looks(subject, range)} * ${STEP_SECONDS}`,
    // Before a leader is there nothing is written, which is no figure.
    leaseWriteP99Seconds: `max_over_time((${worst} >= 0)[${range}:${STEP}])`,
    leaseErrorShare: `(sum(increase(${failed}[${range}])) or ${none}) / (sum(increase(${writes}[${range}])) > 0)`,
    answerP99Seconds: `histogram_quantile(0.99, sum by (le) (rate(${answers}[${range}])))`,
    unavailableShare: badShare({ source: "Agents", name: "Availability", allowed: 0 }, subject, range),
  };
}

/** How often any member of the cluster was seen. */
function looks(subject: Subject, range: string): string {
  return `count_over_time((max(${seriesOf(subject, "expected_members")}))[${range}:${STEP}])`;
}
