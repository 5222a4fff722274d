// One HTTP exchange with a bounded time and a bounded answer. Follows no redirect: where to ask is ours to say.
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { RetryableError } from "../errors.ts";

/** What to send and how long, how much and until when to wait. */
export interface TextRequest {
  readonly url: URL;
  /** Sent by POST as a form; a GET when absent. */
  readonly form?: URLSearchParams;
  readonly timeoutMs: number;
  readonly maxBytes: number;
  readonly signal: AbortSignal;
}

/** A complete answer. */
export interface TextAnswer {
  readonly status: number;
  readonly body: string;
}

/** Sends a request. @throws {RetryableError} without a complete answer in time and size. */
export function exchangeText({ url, form, timeoutMs, maxBytes, signal }: TextRequest): Promise<TextAnswer> {
  const body = form?.toString();
  const headers = body === undefined ? {} : { "content-type": "application/x-www-form-urlencoded" };
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  const send = url.protocol === "https:" ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const fail = (why: string, cause?: unknown): void => {
      reject(new RetryableError(`no answer: ${why}`, { reason: "NoAnswer", object: url.host, cause }));
    };
    const sent = send(
      url,
      { method: body === undefined ? "GET" : "POST", headers, signal: deadline, agent: false },
      (response) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        response.on("data", (chunk: Buffer) => {
          bytes += chunk.length;
          chunks.push(chunk);
          if (bytes > maxBytes) sent.destroy(new Error(`more than ${maxBytes} bytes`));
        });
        response.on("end", () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }));
        response.on("error", (error) => fail(error.message, error));
      },
    );
    sent.on("error", (error) => {
      const isLate = deadline.aborted && !signal.aborted;
      fail(isLate ? `not within ${timeoutMs} ms` : error.message, error);
    });
    sent.end(body);
  });
}
