// What a Prometheus knows of a stretch of time.
import { z } from "zod";

const Answer = z.object({
  data: z.object({
    result: z.array(
      z.object({
        metric: z.record(z.string(), z.string()),
        values: z.array(z.tuple([z.number(), z.string()])),
      }),
    ),
  }),
});

/** From when to when, and how far apart values are, in seconds; the ends are Unix times. */
export interface Range {
  readonly startSeconds: number;
  readonly endSeconds: number;
  readonly stepSeconds: number;
}

/** One series. A value that Prometheus does not know, or knows as NaN, is no point. */
export interface Series {
  readonly labels: Readonly<Record<string, string>>;
  readonly points: readonly (readonly [timeSeconds: number, value: number])[];
}

/** A series with the words that stand for it. */
export interface NamedSeries {
  readonly name: string;
  readonly series: Series;
}

/** The values of an expression over a range, a series each. @throws when the server does not answer with any. */
export async function askRange(url: string, expr: string, range: Range): Promise<readonly Series[]> {
  const { startSeconds, endSeconds, stepSeconds } = range;
  const query = new URLSearchParams({
    query: expr,
    start: String(startSeconds),
    end: String(endSeconds),
    step: String(stepSeconds),
  });
  const response = await fetch(`${url}/api/v1/query_range?${query.toString()}`);
  if (!response.ok) throw new Error(`Prometheus answered ${response.status} to ${expr}: ${await response.text()}`);
  const { data } = Answer.parse(await response.json());
  return data.result.map(({ metric, values }) => ({
    labels: metric,
    points: values.map(([time, value]) => [time, Number(value)] as const).filter(([, value]) => Number.isFinite(value)),
  }));
}
