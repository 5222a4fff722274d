// The shipped PodMonitors as scrape jobs, like those that Prometheus' operator makes of them.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { load } from "js-yaml";
import { describe, expect, test } from "vitest";
import { scrapeJobs } from "../../../hack/scenario/pod-monitor.ts";
import { LABEL_CLUSTER } from "../../../src/api/names.ts";

const DEPLOY = join(import.meta.dirname, "../../../deploy");
const shipped = async (file: string) => load(await readFile(join(DEPLOY, file), "utf8"));
const PODS = { url: "http://discovery.example/pods" };

test("members of every namespace are scraped by their own names", async () => {
  const [job, ...others] = scrapeJobs(await shipped("observability/members.yaml"), PODS);
  expect(others).toEqual([]);
  expect(job).toMatchObject({
    job_name: "podMonitor/quorate-system/quorate-members/0",
    scrape_interval: "15s",
    metrics_path: "/metrics",
    honor_labels: true,
    http_sd_configs: [PODS],
  });
  expect(JSON.stringify(job?.relabel_configs)).not.toContain('["__meta_kubernetes_namespace"],"regex"');
  const label = `__meta_kubernetes_pod_labelpresent_${LABEL_CLUSTER.replaceAll(/[./]/g, "_")}`;
  expect(job?.relabel_configs).toContainEqual({ source_labels: [label], regex: "true", action: "keep" });
  const port = { source_labels: ["__meta_kubernetes_pod_container_port_name"], regex: "health", action: "keep" };
  expect(job?.relabel_configs).toContainEqual(port);
});

test("the operator is looked for in its own namespace alone, by the job that its dashboard asks for", async () => {
  const [job] = scrapeJobs(await shipped("monitoring/podmonitor.yaml"), PODS);
  const own = { source_labels: ["__meta_kubernetes_namespace"], regex: "quorate-system", action: "keep" };
  expect(job?.relabel_configs).toContainEqual(own);
  expect(job?.relabel_configs).toContainEqual({ target_label: "job", replacement: "quorate-system/quorate-operator" });
});

describe("what is not known here is refused, not left out", () => {
  const endpoint = { port: "health", path: "/metrics", interval: "15s", honorLabels: true };
  const monitor = (spec: object) => ({
    metadata: { name: "a", namespace: "b" },
    spec: { selector: { matchLabels: {} }, podMetricsEndpoints: [endpoint], ...spec },
  });
  test.each([
    { why: "a limit of samples", spec: { sampleLimit: 10 }, says: "sampleLimit" },
    {
      why: "another way to choose",
      spec: { selector: { matchExpressions: [{ key: "a", operator: "In" }] } },
      says: "Exists",
    },
    { why: "another scheme", spec: { podMetricsEndpoints: [{ ...endpoint, scheme: "https" }] }, says: "scheme" },
  ])("$why", ({ spec, says }) => {
    expect(() => scrapeJobs(monitor(spec), PODS)).toThrow(says);
  });
});
