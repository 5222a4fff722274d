/** Carries greetings between members and remembers what the others said last, and where their pods are. */
import type { IntentMember } from "../../api/agent-wire.ts";
import type { MessengerIdentity, RoundTripObserver } from "../messenger.ts";
import type { PeerClient } from "../peers.ts";
import type { PodInfo } from "../peer-wire.ts";
import type { HeardGreeting, PeerView } from "./types.ts";
import { AnswerEnvelope, type Greeting, GreetingEnvelope, type GreetingReply } from "./wire.ts";

/** What the messenger needs of the member it speaks for. */
export interface GroupMessengerOptions {
  readonly client: Pick<PeerClient, "send">;
  readonly self: MessengerIdentity;
  readonly nowMs: () => number;
  /** What this member says of itself; undefined while it has not looked: it must not be taken for one without a copy. */
  readonly answer: () => GreetingReply | undefined;
  /** Sees every greeting before it is answered. */
  readonly heard: (greeting: Greeting) => void;
  readonly roundTrip?: RoundTripObserver;
}

/** Greets, and answers greetings. */
export class GroupMessenger {
  readonly #options: GroupMessengerOptions;
  readonly #peers = new Map<string, PeerView>();
  readonly #pods = new Map<string, PodInfo>();
  #heard: HeardGreeting | undefined;

  constructor(options: GroupMessengerOptions) {
    this.#options = options;
  }

  /** The others' last answers. */
  get peers(): ReadonlyMap<string, PeerView> {
    return this.#peers;
  }

  /**
   * The last greeting of a leader; of two, which can only be while one does not know yet, that of the later incarnation, or with the
   * higher term in it.
   */
  get heard(): HeardGreeting | undefined {
    return this.#heard;
  }

  /** Where a member's pod was when we last heard from it. */
  podOf(member: string): PodInfo | undefined {
    return this.#pods.get(member);
  }

  /** Greets one member. Resolves when it has answered or did not in time; what it said is in {@link peers} then. */
  async greet(to: IntentMember, greeting: Greeting, timeoutMs: number): Promise<void> {
    const { client, self, nowMs, roundTrip } = this.#options;
    const { cluster, member: from, info } = self;
    const atMs = nowMs(); // what is answered was true after this
    const sentMs = performance.now();
    const envelope: GreetingEnvelope = { cluster, from, to: to.name, info, greeting };
    const answer = await client.send(to, envelope, timeoutMs).then(
      (body) => AnswerEnvelope.safeParse(body).data,
      () => undefined, // its silence is the answer
    );
    if (answer?.from !== to.name) return; // its address belongs to another member now
    roundTrip?.(to.name, (performance.now() - sentMs) / 1000);
    this.#pods.set(to.name, answer.info);
    this.#peers.set(to.name, { reply: answer.reply, atMs });
  }

  /** Takes in another member's greeting. @throws {Error} when it is not for this member, or nothing can be said yet. */
  receive(body: unknown): AnswerEnvelope {
    const { self, nowMs, answer, heard } = this.#options;
    const { cluster, from, to, info, greeting } = GreetingEnvelope.parse(body);
    if (cluster !== self.cluster || to !== self.member) throw new Error("not addressed to this member");
    this.#pods.set(from, info);
    if (greeting.leads && !isOlder(greeting, this.#heard?.greeting)) this.#heard = { from, greeting, atMs: nowMs() };
    heard(greeting);
    const reply = answer();
    if (reply === undefined) throw new Error("this member has not looked at its volume yet");
    return { from: self.member, info: self.info, reply };
  }
}

/** Terms count within an incarnation: a group that was begun anew from an older copy may count on from fewer. */
function isOlder(greeting: Greeting, known: Greeting | undefined): boolean {
  if (known === undefined) return false;
  if (greeting.incarnation !== known.incarnation) return greeting.incarnation < known.incarnation;
  return greeting.term < known.term;
}
