/** Carries the protocol's messages between members and remembers where each member's pod is. */
import type { IntentMember } from "../api/agent-wire.ts";
import { type PeerClient, PeerError, type PeerFailure, probeInit } from "./peers.ts";
import { type PodInfo, ReplyEnvelope, RequestEnvelope } from "./peer-wire.ts";
import type { EventBody, Message, ReplyMessage } from "./protocol/exchange.ts";

/** A request the protocol has not answered by then is given up; the sender's own timeout is far shorter. */
const ANSWER_TIMEOUT_MS = 10_000;

const PROBE_TIMEOUT_MS = 500;

interface Waiting {
  readonly resolve: (reply: ReplyMessage) => void;
  readonly timer: NodeJS.Timeout;
}

/** Who we are to the others. */
export interface MessengerIdentity {
  readonly cluster: string;
  readonly member: string;
  readonly info: PodInfo;
}

/** Is told how long a peer's answer to a sign of life took. */
export type RoundTripObserver = (peer: string, seconds: number) => void;

/** Sends, receives and answers messages. */
export class PeerMessenger {
  readonly #client: PeerClient;
  readonly #self: MessengerIdentity;
  readonly #dispatch: (body: EventBody) => void;
  readonly #roundTrip: RoundTripObserver;
  readonly #waiting = new Map<string, Waiting>();
  readonly #pods = new Map<string, PodInfo>();
  #count = 0;

  constructor(
    client: PeerClient,
    self: MessengerIdentity,
    dispatch: (body: EventBody) => void,
    roundTrip: RoundTripObserver = () => undefined,
  ) {
    this.#roundTrip = roundTrip;
    this.#client = client;
    this.#self = self;
    this.#dispatch = dispatch;
  }

  /** Where a member's pod was when we last heard from it. */
  podOf(member: string): PodInfo | undefined {
    return this.#pods.get(member);
  }

  /** Sends one message. @returns the answer, or why there is none. Never rejects. */
  async send(to: IntentMember, message: Message, timeoutMs: number): Promise<ReplyMessage | PeerFailure> {
    const { cluster, member, info } = this.#self;
    const envelope: RequestEnvelope = {
      cluster,
      from: member,
      to: to.name,
      info,
      message,
    };
    const sentMs = performance.now();
    try {
      const answer = ReplyEnvelope.parse(await this.#client.send(to, envelope, timeoutMs));
      if (answer.from !== to.name) return "error"; // its address belongs to another member now
      this.#pods.set(answer.from, answer.info);
      // Other messages are answered when something has been done.
      if (message.type === "Heartbeat") this.#roundTrip(to.name, (performance.now() - sentMs) / 1000);
      return answer.reply;
    } catch (error) {
      return error instanceof PeerError ? error.failure : "error";
    }
  }

  /** Takes in a request of another member; resolves with the envelope to send back. */
  async receive(body: unknown): Promise<ReplyEnvelope> {
    const request = RequestEnvelope.parse(body);
    const { cluster, member, info } = this.#self;
    if (request.cluster !== cluster || request.to !== member) throw new Error("not addressed to this member");
    this.#pods.set(request.from, request.info);
    const requestId = `${request.from}-${++this.#count}`;
    const reply = await new Promise<ReplyMessage>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(requestId);
        reject(new Error("no answer was decided in time"));
      }, ANSWER_TIMEOUT_MS);
      this.#waiting.set(requestId, { resolve, timer });
      this.#dispatch({ type: "MessageReceived", from: request.from, requestId, message: request.message });
    });
    return { from: member, info, reply };
  }

  /** Answers a request that was taken in. */
  reply(requestId: string, reply: ReplyMessage): void {
    const waiting = this.#waiting.get(requestId);
    if (waiting === undefined) return;
    this.#waiting.delete(requestId);
    clearTimeout(waiting.timer);
    waiting.resolve(reply);
  }

  /** Looks at a member's init port. */
  async probe(member: IntentMember): Promise<"accepted" | "refused" | "timeout"> {
    const result = await probeInit(member, PROBE_TIMEOUT_MS);
    if (result === "alive") return "accepted";
    return result === "refused" ? "refused" : "timeout";
  }

  /** Resolves when the connection held to `member` breaks. */
  hold(member: IntentMember, signal: AbortSignal): Promise<void> {
    return this.#client.hold(member, signal);
  }
}
