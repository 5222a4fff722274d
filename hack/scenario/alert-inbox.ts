/** Where pages and tickets arrive in tests: a server that takes Alertmanager's webhooks and keeps what it is sent. */
import { createServer } from "node:http";
import { json } from "node:stream/consumers";
import * as z from "zod";
import { listen, type Listener } from "../../src/listener.ts";

const Labels = z.record(z.string(), z.string());
const Message = z.object({
  receiver: z.string(),
  status: z.enum(["firing", "resolved"]),
  groupLabels: Labels,
  alerts: z.array(z.object({ status: z.enum(["firing", "resolved"]), labels: Labels })),
});

/** A message as it arrived. */
export type AlertMessage = z.infer<typeof Message>;

/** Keeps messages. */
export class AlertInbox {
  readonly messages: readonly AlertMessage[];
  readonly #listener: Listener;

  private constructor(listener: Listener, messages: AlertMessage[]) {
    this.#listener = listener;
    this.messages = messages;
  }

  static async open(): Promise<AlertInbox> {
    const messages: AlertMessage[] = [];
    const server = createServer((request, response) => {
      json(request)
        .then((body) => {
          messages.push(Message.parse(body));
          response.end();
        })
        .catch((error: Error) => response.writeHead(400).end(error.message));
    });
    return new AlertInbox(await listen(server, 0, "127.0.0.1"), messages);
  }

  /** What Alertmanager is given. */
  get url(): string {
    return `http://127.0.0.1:${this.#listener.port}/`;
  }

  close(): Promise<void> {
    return this.#listener.close();
  }
}
