/**
 * A publisher that waits for confirms, and a consumer: through whichever member answers, one message after the other, into a
 * queue that is consumed meanwhile and into one that is read at the end only.
 */
import { randomUUID } from "node:crypto";
import { type Channel, Connection } from "rabbitmq-client";
import { pause } from "./shell.ts";

const DEADLINE_MS = 4000;
const INTERVAL_MS = 20;
/** A queue that stays empty for so long has been read to its end. */
const EMPTY_MS = 2000;
/** How long the queues may take to be read to their end. */
const READ_MS = 120_000;

/** What one client has to itself. */
interface Names {
  readonly exchange: string;
  /** A queue that is consumed while messages come. */
  readonly consumed: string;
  /** A queue that is read when everything is over. */
  readonly kept: string;
}

/** What the client can say at the end. */
export interface QueueVerdict {
  readonly confirmed: number;
  /** Published, and nobody told what became of it; the message was published again. */
  readonly unknown: number;
  /** Confirmed, and in the queue that nobody consumed no more. */
  readonly lost: number;
  /** Confirmed, and never handed to the consumer. */
  readonly missed: number;
  /** Handed to the consumer again: published twice, or not known to be acknowledged. */
  readonly repeated: number;
  /** Times that a message was in the queue that nobody consumed, beyond the first. */
  readonly duplicates: number;
  readonly largestGapMs: number;
}

/** Publishes and consumes until told to stop, then reads back. */
export class QueueClient {
  readonly #members: () => Promise<readonly string[]>;
  readonly #password: string;
  readonly #names: Names;
  readonly #confirmed: number[] = [];
  readonly #consumed = new Set<number>();
  readonly #stop = new AbortController();
  #at = 0;
  #unknown = 0;
  #repeated = 0;
  #largestGapMs = 0;
  #publishing: Promise<void> | undefined;
  #consuming: Promise<void> | undefined;
  readonly #stopConsuming = new AbortController();

  /**
   * @param members - Where members are at the moment, as `host:port`.
   * @param password - Of the account `app`.
   */
  constructor(members: () => Promise<readonly string[]>, password: string) {
    this.#members = members;
    this.#password = password;
    const exchange = `orders-${randomUUID()}`; // what an earlier client left must not stand for what this one lost
    this.#names = { exchange, consumed: `${exchange}.consumed`, kept: `${exchange}.kept` };
  }

  /** Confirmed so far. */
  get confirmed(): number {
    return this.#confirmed.length;
  }

  /** Begins to publish and to consume. */
  start(): void {
    this.#publishing = this.#publish();
    this.#consuming = this.#consume();
  }

  /** Stops publishing, reads both queues to their end, and judges. */
  async finish(): Promise<QueueVerdict> {
    this.#stop.abort();
    await this.#publishing;
    const kept: number[] = [];
    await this.#somewhere((channel) => this.#readAll(channel, this.#names.kept, (seq) => kept.push(seq)));
    const found = new Set(kept);
    await waitFor(() => this.#confirmed.every((seq) => this.#consumed.has(seq)), READ_MS);
    this.#stopConsuming.abort();
    await this.#consuming;
    await this.#somewhere(async (channel) => {
      const { exchange, ...queues } = this.#names;
      for (const queue of [queues.consumed, queues.kept]) await within(channel.queueDelete({ queue }));
      await within(channel.exchangeDelete({ exchange }));
    });
    return {
      confirmed: this.confirmed,
      unknown: this.#unknown,
      lost: this.#confirmed.filter((seq) => !found.has(seq)).length,
      missed: this.#confirmed.filter((seq) => !this.#consumed.has(seq)).length,
      repeated: this.#repeated,
      duplicates: kept.length - found.size,
      largestGapMs: this.#largestGapMs,
    };
  }

  async #publish(): Promise<void> {
    let lastMs = performance.now();
    let seq = 1;
    while (!this.#stop.signal.aborted) {
      await this.#somewhere(async (channel) => {
        await declare(channel, this.#names);
        await channel.confirmSelect();
        let isReturned = false;
        channel.on("basic.return", () => (isReturned = true));
        while (!this.#stop.signal.aborted) {
          const envelope = { exchange: this.#names.exchange, mandatory: true, durable: true };
          await within(channel.basicPublish(envelope, String(seq))).catch((error: unknown) => {
            this.#unknown++;
            throw error;
          });
          if (isReturned) throw new Error("no queue took it");
          const nowMs = performance.now();
          this.#largestGapMs = Math.max(this.#largestGapMs, Math.round(nowMs - lastMs));
          lastMs = nowMs;
          this.#confirmed.push(seq++);
          await pause(INTERVAL_MS);
        }
      });
    }
  }

  async #consume(): Promise<void> {
    const { signal } = this.#stopConsuming;
    while (!signal.aborted) {
      await this.#somewhere(async (channel) => {
        await declare(channel, this.#names);
        await this.#receive(channel, this.#names.consumed, signal, (seq) => {
          if (this.#consumed.has(seq)) this.#repeated++;
          this.#consumed.add(seq);
        });
      });
    }
  }

  /** Takes what comes until `signal` aborts; rejects when the channel ends before that. */
  async #receive(channel: Channel, queue: string, signal: AbortSignal, take: (seq: number) => void): Promise<void> {
    const ended = new Promise<never>((_, reject) => channel.once("close", () => reject(new Error("channel closed"))));
    ended.catch(() => undefined); // it may end before anybody waits for it
    await channel.basicQos({ prefetchCount: 100 });
    await channel.basicConsume({ queue }, (message) => {
      take(Number(message.body));
      channel.basicAck({ deliveryTag: message.deliveryTag });
    });
    const stopped = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    await (signal.aborted ? undefined : Promise.race([stopped, ended]));
  }

  /** Reads a queue until nothing more comes. */
  async #readAll(channel: Channel, queue: string, take: (seq: number) => void): Promise<void> {
    const done = new AbortController();
    let lastMs = performance.now();
    const receiving = this.#receive(channel, queue, done.signal, (seq) => {
      take(seq);
      lastMs = performance.now();
    });
    receiving.catch(() => undefined); // what fails below may fail first
    await Promise.race([receiving, waitFor(() => performance.now() - lastMs > EMPTY_MS, READ_MS)]);
    const { messageCount } = await within(channel.queueDeclare({ queue, passive: true }));
    done.abort();
    await receiving;
    if (messageCount > 0) throw new Error(`${messageCount} messages are left in ${queue}`);
  }

  /** Does it on one member after the other until it succeeds on one. */
  async #somewhere(work: (channel: Channel) => Promise<void>): Promise<void> {
    for (;;) {
      const members = await this.#members();
      const [hostname = "", port = ""] = (members[this.#at % members.length] ?? "").split(":");
      const options = { hostname, port, username: "app", password: this.#password };
      const connection = new Connection({ ...options, connectionTimeout: DEADLINE_MS, retryLow: 60_000, heartbeat: 4 });
      // A connection that is lost is not made again: the next is to another member.
      const lost = new Promise<never>((_, reject) => connection.on("error", (error) => reject(error as Error)));
      try {
        await Promise.race([connection.acquire().then(work), lost]);
        return;
      } catch {
        this.#at++;
        await pause(INTERVAL_MS);
      } finally {
        lost.catch(() => undefined);
        connection.unsafeDestroy();
      }
    }
  }
}

/** The exchange and both queues. */
async function declare(channel: Channel, { exchange, consumed, kept }: Names): Promise<void> {
  await within(channel.exchangeDeclare({ exchange, type: "fanout", durable: true }));
  for (const queue of [consumed, kept]) {
    await within(channel.queueDeclare({ queue, durable: true, arguments: { "x-queue-type": "quorum" } }));
    await within(channel.queueBind({ exchange, queue, routingKey: "" }));
  }
}

/** @throws {Error} when that takes longer than a client would wait. */
async function within<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${DEADLINE_MS} ms`)), DEADLINE_MS);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function waitFor(condition: () => boolean, limitMs: number): Promise<void> {
  const endMs = performance.now() + limitMs;
  while (!condition() && performance.now() < endMs) await pause(100);
}
