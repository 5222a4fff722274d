// Our client, our queries and users' queries against a real Prometheus that scrapes the agents' real instruments.
import { createServer, type RequestListener, type Server } from "node:http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { agentMetrics } from "../../src/agent/metrics.ts";
import { Analysis, ServiceLevel } from "../../src/api/objectives.ts";
import { ClusterMeasure } from "../../src/observe/cluster-measure.ts";
import { Prometheus } from "../../src/observe/prometheus.ts";
import { nameOf } from "../../src/api/names.ts";
import { askQueries, judgeTrial, type Trial } from "../../src/observe/trial.ts";
import { BURN_UNITS, objectivesOf, UNITS_PER_WINDOW, windowMsOf } from "../../src/slo/objectives.ts";
import { badShareQuery, NO_BAD_SERIES, UNITS_LABEL } from "../../src/slo/queries.ts";
import { close, HostPrometheus, listen } from "./harness.ts";

const SUBJECT = { namespace: "shop", cluster: "orders" };
const never = new AbortController().signal;
const agents = [0, 1, 2].map((ordinal) => agentMetrics({ ...SUBJECT, member: `orders-${ordinal}`, node: "n" }));

/** What the exporter shows beside the agents: an application's own metrics. */
const APPLICATION = [
  'app_errors{pod="orders-0-0"} 2',
  'app_errors{pod="orders-1-0"} 4',
  'app_errors{pod="orders-2-0"} 9',
  'app_errors{pod="orders-20-0"} 1000',
  'app_idle{pod="orders-2-0"} 0',
  'app_odd{pod="orders-2-0"} NaN',
  'app_endless{pod="orders-2-0"} +Inf',
].join("\n");

let prometheus: HostPrometheus;
let client: Prometheus;

/** All agents' metrics as one text; series of the same name may follow each other in any order. */
async function exposition(): Promise<string> {
  agents[0]?.writeSlices.inc({ result: "good" }, 3);
  agents[0]?.writeSlices.inc({ result: "bad" }, 1);
  for (const [at, { actionSeconds, leaseSeconds }] of agents.entries()) {
    for (let i = 0; i < 8; i += 1) actionSeconds.observe({ action: "observe", result: "ok" }, 0.002);
    actionSeconds.observe({ action: "observe", result: "ok" }, 0.3);
    actionSeconds.observe({ action: "observe", result: "error" }, 1);
    if (at > 0) continue;
    for (const seconds of [0.02, 0.02, 0.02, 0.7]) leaseSeconds.observe({ result: "ok" }, seconds);
  }
  const texts = await Promise.all(agents.map(({ registry }) => registry.metrics()));
  const series = texts.flatMap((text) => text.split("\n").filter((line) => line !== "" && !line.startsWith("#")));
  return `${[...series, APPLICATION].join("\n")}\n`;
}

beforeAll(async () => {
  prometheus = await HostPrometheus.start(exposition);
  client = new Prometheus(prometheus.url);
  await prometheus.scraped(6);
});
afterAll(() => prometheus?.stop());

describe("an instant query", () => {
  test.each([
    { query: "1 + 1", value: 2 },
    { query: "vector(7)", value: 7 },
    { query: "app_odd", value: Number.NaN },
    { query: "app_endless", value: Number.POSITIVE_INFINITY },
    { query: "-app_endless", value: Number.NEGATIVE_INFINITY },
    { query: 'app_errors{pod="orders-2-0"} / app_idle', value: Number.POSITIVE_INFINITY },
  ])("$query is $value", async ({ query, value }) => {
    expect(await client.measure(query, never)).toEqual({ value });
  });

  test.each([
    { query: "no_such_metric", missing: "the query has no result" },
    { query: "app_errors", missing: "the query has 4 results: make it one, for example with max(...)" },
    { query: "app_errors[1m]", missing: "gives a matrix" },
    { query: '"text"', missing: "gives a string" },
    { query: "sum(", missing: "Prometheus refused the query: bad_data:" },
    {
      query: "app_errors + on(pod) group_left count by (pod) (app_errors) * on() app_errors",
      missing: "Prometheus refused the query: execution:",
    },
  ])("$query has no value: $missing", async ({ query, missing }) => {
    const measured = await client.measure(query, never);
    expect(measured).toHaveProperty("missing");
    expect("missing" in measured ? measured.missing : "").toContain(missing);
  });

  test("keeps the labels of what it found", async () => {
    const samples = await client.query("app_errors", never);
    expect(samples.find(({ labels }) => labels["pod"] === "orders-1-0")?.value).toBe(4);
  });
});

describe("objectives", () => {
  const slo = ServiceLevel.parse({
    dataPlane: { latencyP95Milliseconds: 200, errorPercent: "1" },
    controlPlane: { apiLatencyP95Milliseconds: 500 },
  });

  test.each([
    { name: "Availability", share: 1 / 4 },
    { name: "Latency", share: 1 / 9 },
    { name: "Errors", share: 1 / 10 },
    { name: "ApiLatency", share: 1 / 4 },
  ])("$name: a bad share of $share over every window", async ({ name, share }) => {
    const objective = objectivesOf(slo, "ActivePassive").find((one) => one.name === name);
    if (objective === undefined) throw new Error(`no objective ${name}`);
    const units = [...BURN_UNITS, UNITS_PER_WINDOW];
    const samples = await client.query(badShareQuery(objective, SUBJECT, units, windowMsOf(slo)), never);
    expect(samples.map(({ labels }) => Number(labels[UNITS_LABEL])).toSorted((a, b) => a - b)).toEqual(units);
    for (const { value } of samples) expect(value).toBeCloseTo(share, 1);
  });

  test.each([
    {
      why: "one write in four failed",
      queries: {
        badQuery: 'increase(quorate_member_write_slices_total{cluster="$(CLUSTER)",result="bad"}[$(WINDOW)])',
        totalQuery: 'increase(quorate_member_write_slices_total{cluster="$(CLUSTER)"}[$(WINDOW)]) # of both results',
      },
      share: 1 / 4,
    },
    {
      why: "there is no series of bad ones",
      queries: {
        badQuery: "increase(app_failures[$(WINDOW)])",
        totalQuery: "increase(quorate_member_write_slices_total[$(WINDOW)])",
      },
      share: 0,
    },
    {
      why: "nothing happened",
      queries: { badQuery: "increase(app_idle[$(WINDOW)])", totalQuery: "increase(app_idle[$(WINDOW)])" },
      share: 0,
    },
    {
      why: "the worst of several shares is a fifth",
      queries: { badRatioQuery: 'max_over_time(app_errors{pod=~"orders-[012]-0"}[$(WINDOW)]) / 45' },
      share: 1 / 5,
    },
  ])("of the user's own: where $why, a share of $share over every window", async ({ why, queries, share }) => {
    const objective = { source: "Queries" as const, name: "own", allowed: 0.01, queries };
    const units = [...BURN_UNITS, UNITS_PER_WINDOW];
    const told = await client.query(badShareQuery(objective, SUBJECT, units, windowMsOf(slo)), never);
    // That a query of bad events never found a series is told beside the shares: it may be misspelled.
    const isRemark = ({ labels }: (typeof told)[number]): boolean => labels[UNITS_LABEL] === NO_BAD_SERIES;
    expect(told.some(isRemark)).toBe(why === "there is no series of bad ones");
    const samples = told.filter((sample) => !isRemark(sample));
    expect(samples.map(({ labels }) => Number(labels[UNITS_LABEL])).toSorted((a, b) => a - b)).toEqual(units);
    for (const { value } of samples) expect(value).toBeCloseTo(share, 1);
  });

  test("of the user's own have no result where there is nothing to count", async () => {
    const queries = { badQuery: "increase(app_idle[$(WINDOW)])", totalQuery: "increase(no_such_metric[$(WINDOW)])" };
    const objective = { source: "Queries" as const, name: "own", allowed: 0.01, queries };
    expect(await client.query(badShareQuery(objective, SUBJECT, [1, 6], windowMsOf(slo)), never)).toEqual([]);
  });

  test("of a cluster that nobody scrapes have no result", async () => {
    const [objective] = objectivesOf(slo, "ActivePassive");
    if (objective === undefined) throw new Error("there is one");
    const query = badShareQuery(objective, { namespace: "shop", cluster: "carts" }, [1, 6], windowMsOf(slo));
    expect(await client.query(query, never)).toEqual([]);
  });
});

describe("a trial", () => {
  const podsOf = (members: readonly string[]) => members.map(nameOf.pod);
  const judge = async (fields: object, change: Partial<Trial> = {}, asked: Prometheus | undefined = client) => {
    const analysis = [Analysis.parse({ name: "errors", ...fields })];
    const trial = { revision: "r2", analysis, canary: ["orders-2"], control: ["orders-0", "orders-1"], ...change };
    const results = await askQueries(trial, { ...SUBJECT, podsOf }, asked, never);
    return judgeTrial(trial, new ClusterMeasure(undefined), results).verdicts[0];
  };
  const query = 'max(app_errors{pod=~"$(PODS)"})';

  test.each([
    { fields: { query, max: "9" }, verdict: "Pass" },
    { fields: { query, max: "8.9" }, verdict: "Fail" },
    { fields: { query, maxRatio: "2.25" }, verdict: "Pass" },
    { fields: { query, maxRatio: "2.2" }, verdict: "Fail" },
    { fields: { query, maxRatio: "1", ignoreUpTo: "9" }, verdict: "Pass" },
    {
      fields: { query: 'sum(app_errors{pod=~"$(CANARY)"}) - sum(app_errors{pod=~"$(CONTROL)"})', max: "3" },
      verdict: "Pass",
    },
    { fields: { query: 'max(app_errors{pod=~"$(PODS)",cluster="$(CLUSTER)"})', max: "9" }, verdict: "NoData" },
    { fields: { query: "app_errors", max: "9" }, verdict: "NoData" },
    { fields: { query: "app_odd", max: "9" }, verdict: "NoData" },
    { fields: { query: "app_endless", max: "9" }, verdict: "Fail" },
    { fields: { query: "sum(", max: "9" }, verdict: "NoData" },
  ])("$fields: $verdict", async ({ fields, verdict }) => {
    expect(await judge(fields)).toMatchObject({ verdict });
  });

  test("says the figures", async () => {
    expect((await judge({ query, maxRatio: "2" }))?.message).toBe(
      "9 of at most 2 times the 4 of the members not yet updated",
    );
  });

  test("with nobody to compare with proves nothing", async () => {
    expect(await judge({ query, maxRatio: "2" }, { control: [] })).toMatchObject({ verdict: "NoData" });
    expect(await judge({ query: 'sum(app_errors{pod=~"$(CONTROL)"})', max: "1" }, { control: [] })).toMatchObject({
      verdict: "NoData",
    });
  });
});

describe("a server that misbehaves", () => {
  let server: Server | undefined;

  /** What a client with little patience makes of it. */
  async function told(answer: RequestListener): Promise<string> {
    server = createServer(answer);
    const measured = await new Prometheus(`http://127.0.0.1:${await listen(server)}/prefix/`, 300).measure("up", never);
    await close(server);
    return "missing" in measured ? measured.missing : `value ${measured.value}`;
  }

  test.each([
    {
      why: "HTTP 502 from something in between",
      code: 502,
      body: "<html>bad gateway</html>",
      says: "answered 502 and nothing it should",
    },
    {
      why: "HTTP 503 with its own words",
      code: 503,
      body: '{"status":"error","errorType":"timeout","error":"query timed out"}',
      says: "timeout: query timed out",
    },
    { why: "nothing", code: 200, body: "", says: "answered 200 and nothing it should" },
    {
      why: "another kind of JSON",
      code: 200,
      body: '{"status":"success","data":{"resultType":"vector","result":[{"value":["x"]}]}}',
      says: "nothing it should",
    },
    { why: "a redirect, which is not followed", code: 302, body: "", says: "answered 302" },
  ])("$why", async ({ code, body, says }) => {
    const said = await told((_, response) => {
      response.writeHead(code, code === 302 ? { location: prometheus.url } : {}).end(body);
    });
    expect(said).toContain(says);
  });

  test("that never answers, or never ends, is left in time", async () => {
    const startMs = performance.now();
    expect(await told(() => undefined)).toContain("not within 300 ms");
    expect(await told((_, response) => void response.writeHead(200).write("{"))).toContain("not within 300 ms");
    expect(performance.now() - startMs).toBeLessThan(5_000);
  });

  test("that sends without end is cut off", async () => {
    const said = await told((_, response) => {
      const more = (): void => {
        if (!response.destroyed) response.write("x".repeat(1 << 16), more);
      };
      more();
    });
    expect(said).toMatch(/more than 1048576 bytes|not within 300 ms/);
  });

  test("that breaks off is no answer", async () => {
    expect(
      await told(
        (_, response) => void response.writeHead(200, { "content-length": "99" }).write("{", () => response.destroy()),
      ),
    ).toContain("no answer");
  });

  test("that is not there is no answer, and does not throw", async () => {
    expect(await new Prometheus("http://127.0.0.1:1").measure("up", never)).toMatchObject({
      missing: expect.stringContaining("no answer"),
    });
  });

  test("is asked below the path that was given", async () => {
    const paths: string[] = [];
    await told((request, response) => {
      paths.push(`${request.method} ${request.url}`);
      response.end("{}");
    });
    expect(paths).toEqual(["POST /prefix/api/v1/query"]);
  });
});
