// Asks one Prometheus, whose address is the operator's setting and never a user's word.
import * as z from "zod";
import { RetryableError } from "../errors.ts";
import type { Measurement } from "../slo/analysis.ts";
import { exchangeText } from "./http-text.ts";

const Value = z.tuple([z.number(), z.string()]);
const Answer = z.union([
  z.object({
    status: z.literal("success"),
    data: z.union([
      z.object({ resultType: z.literal("scalar"), result: Value }),
      z.object({
        resultType: z.literal("vector"),
        result: z.array(z.object({ metric: z.record(z.string(), z.string()), value: Value })),
      }),
      z.object({ resultType: z.enum(["matrix", "string"]), result: z.unknown() }),
    ]),
  }),
  z.object({ status: z.literal("error"), errorType: z.string(), error: z.string() }),
]);

/** One value of a query's result. */
export interface PrometheusSample {
  readonly labels: Readonly<Record<string, string>>;
  /** NaN and the infinities are values, too. */
  readonly value: number;
}

const MAX_BYTES = 1 << 20;
const MAX_ERROR_CHARS = 300;

/** A Prometheus server, or what speaks its query API. */
export class Prometheus {
  readonly #url: URL;
  readonly #timeoutMs: number;

  /** @param base - Address of the server; its path, if any, is kept. */
  constructor(base: string, timeoutMs = 10_000) {
    this.#url = new URL("api/v1/query", base.endsWith("/") ? base : `${base}/`);
    this.#timeoutMs = timeoutMs;
  }

  /** The values of an instant query now. @throws {RetryableError} that says what Prometheus said, or that it said nothing. */
  async query(promql: string, signal: AbortSignal): Promise<readonly PrometheusSample[]> {
    const form = new URLSearchParams({ query: promql, timeout: `${Math.ceil(this.#timeoutMs / 1000)}s` });
    const { status, body } = await exchangeText({
      url: this.#url,
      form,
      timeoutMs: this.#timeoutMs,
      maxBytes: MAX_BYTES,
      signal,
    });
    const answer = Answer.safeParse(toJson(body)).data;
    if (answer === undefined) throw failure(`Prometheus answered ${status} and nothing it should`);
    if (answer.status === "error") {
      throw failure(`Prometheus refused the query: ${answer.errorType}: ${answer.error}`.slice(0, MAX_ERROR_CHARS));
    }
    const { data } = answer;
    if (data.resultType === "scalar") return [{ labels: {}, value: toNumber(data.result[1]) }];
    if (data.resultType !== "vector") throw failure(`the query gives a ${data.resultType} and not a value`);
    return data.result.map(({ metric, value }) => ({ labels: metric, value: toNumber(value[1]) }));
  }

  /** The one value of a query, or why there is none. Never rejects. */
  async measure(promql: string, signal: AbortSignal): Promise<Measurement> {
    try {
      const samples = await this.query(promql, signal);
      const [first] = samples;
      if (first === undefined) return { missing: "the query has no result" };
      if (samples.length > 1) {
        return { missing: `the query has ${samples.length} results: make it one, for example with max(...)` };
      }
      return { value: first.value };
    } catch (error) {
      return { missing: error instanceof Error ? error.message : String(error) };
    }
  }
}

function failure(message: string): RetryableError {
  return new RetryableError(message, { reason: "PrometheusFailed" });
}

function toJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // an error page of something in between
  }
}

function toNumber(text: string): number {
  if (text === "+Inf") return Number.POSITIVE_INFINITY;
  return text === "-Inf" ? Number.NEGATIVE_INFINITY : Number(text);
}
