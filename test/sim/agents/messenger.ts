// How an agent's messages travel in the simulated world: over the network that loses and delays them, to whoever is there by then.
import type { IntentMember } from "../../../src/api/agent-wire.ts";
import type { PeerFailure } from "../../../src/agent/peers.ts";
import type { Message, ReplyMessage } from "../../../src/agent/protocol/exchange.ts";
import type { Actor } from "../scheduler.ts";
import type { MemberWorld } from "./member.ts";

const PROBE_TIMEOUT_MS = 500;

/** Whose messages they are. */
export interface MessengerOptions {
  readonly actor: Actor;
  readonly name: string;
  readonly world: MemberWorld;
  /** Waits for what the agent replies, by request. */
  readonly answers: Map<string, (reply: ReplyMessage) => void>;
  /** Called when it says that it receives nothing more of epochs before this one. */
  readonly sealed: (epoch: number) => void;
}

/** Another member as messages are addressed to it. */
export function addressOf(name: string): IntentMember {
  return { name, host: name, agentPort: 1, initPort: 2, enginePort: 3 };
}

/** The messenger of one agent. */
export function simMessenger(options: MessengerOptions) {
  const { actor, name: self, world, answers, sealed } = options;
  const { network, memberOf, scheduler } = world;
  return {
    send: ({ name }: IntentMember, message: Message, timeoutMs: number): Promise<ReplyMessage | PeerFailure> =>
      new Promise((resolve) => {
        const cancel = actor.clock.schedule(timeoutMs, () => resolve("timeout"));
        const settle = (answer: ReplyMessage | PeerFailure): void =>
          network.send(name, self, () => {
            actor.clock.schedule(0, () => {
              cancel();
              resolve(answer);
            });
          });
        network.send(self, name, () => {
          const peer = memberOf(name);
          if (peer?.answers !== true) return;
          if (peer.hasAgent) peer.ask(self, message, settle);
          else settle("refused");
        });
      }),
    reply: (requestId: string, reply: ReplyMessage): void => {
      if (reply.type === "SealReply" && reply.sealed && reply.position !== null) sealed(reply.epoch);
      answers.get(requestId)?.(reply);
      answers.delete(requestId);
    },
    probe: ({ name }: IntentMember): Promise<"accepted" | "refused" | "timeout"> =>
      new Promise((resolve) => {
        const cancel = actor.clock.schedule(PROBE_TIMEOUT_MS, () => resolve("timeout"));
        network.send(self, name, () => {
          const peer = memberOf(name);
          if (peer?.answers !== true) return;
          const result = peer.isUp ? "accepted" : "refused";
          network.send(name, self, () => {
            actor.clock.schedule(0, () => {
              cancel();
              resolve(result);
            });
          });
        });
      }),
    hold: ({ name }: IntentMember, signal: AbortSignal): Promise<void> =>
      new Promise((resolve) => {
        const peer = memberOf(name);
        if (peer?.hasAgent !== true || !network.isUp(self, name)) {
          actor.clock.schedule(scheduler.between(1, 20), resolve);
          return;
        }
        const letGo = peer.hold(() => network.send(name, self, () => actor.clock.schedule(0, resolve)));
        signal.addEventListener("abort", () => {
          letGo();
          resolve();
        });
      }),
  };
}
