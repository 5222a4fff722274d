/** The member's part of a replacement of its agent: takes the one that the operator offers, and ends when the next may begin. */
import type { Intent, MemberReport } from "../../api/agent-wire.ts";
import { NODE_MAJOR, readBundle, unpackBundle } from "../../agent-bundle.ts";
import type { KubeApi } from "../../kube/api.ts";
import type { KubeObject } from "../../kube/object.ts";
import { choiceFolder, keepBundle, readChoice, writeChoice } from "./choice.ts";

/** What a replacement needs to know, and to ask. */
export interface ReplacementOptions {
  readonly api: Pick<KubeApi, "list">;
  readonly namespace: string;
  /** The ConfigMap in which the operator offers its agent. */
  readonly name: string;
  readonly member: string;
  readonly runDir: string;
  /** Where the agent lies that runs now. */
  readonly ownFolder: string;
  /** How soon the next agent has to serve if this one ends now; undefined while it must not end. */
  readonly serveWithinMs: () => number | undefined;
  /** Ends the agent. */
  readonly end: () => void;
  /** What is to be reported changed. */
  readonly changed: () => void;
  /** The offer could not be read; that is tried again. */
  readonly onError: (error: unknown) => void;
}

type Order = NonNullable<Intent["agent"]>;

/** Replaces this agent when it is its member's turn. */
export class Replacement {
  readonly #options: ReplacementOptions;
  readonly #folder: string;
  #order: Order | undefined;
  #own: string | undefined;
  #refused: { readonly hash: string; readonly reason: string } | undefined;
  /** The bundle that lies ready beside the one that runs. */
  #kept: string | undefined;
  #isLoaded = false;
  #isBusy = false;

  constructor(options: ReplacementOptions) {
    this.#options = options;
    this.#folder = choiceFolder(options.runDir);
  }

  /** What the member says of its agent; undefined for one that cannot be replaced, because it runs from its sources. */
  get report(): MemberReport["agent"] {
    if (this.#own === undefined) return undefined;
    const refused = this.#refused === undefined ? {} : { refused: this.#refused };
    return { hash: this.#own, nodeMajor: NODE_MAJOR, ...refused };
  }

  /** Takes in whose turn it is, by the operator's intent. */
  want({ agent }: Intent): void {
    this.#order = agent;
  }

  /** Takes the next step, if it is this member's turn and the time is right. Called again and again. */
  async apply(): Promise<void> {
    if (this.#isBusy) return;
    this.#isBusy = true;
    try {
      if (!this.#isLoaded) await this.#load();
      const order = this.#orderForMe();
      if (order !== undefined) await this.#advance(order).catch((error: unknown) => this.#giveUp(order, error));
    } finally {
      this.#isBusy = false;
    }
  }

  async #load(): Promise<void> {
    this.#own = (await readBundle(this.#options.ownFolder))?.hash;
    this.#refused = (await readChoice(this.#folder)).refused;
    this.#isLoaded = true;
    this.#options.changed();
  }

  #orderForMe(): Order | undefined {
    const order = this.#order;
    if (order === undefined || this.#own === undefined || order.member !== this.#options.member) return undefined;
    return order.hash === this.#own || order.hash === this.#refused?.hash ? undefined : order;
  }

  async #advance(order: Order): Promise<void> {
    if (order.nodeMajor > NODE_MAJOR)
      return this.#refuse(order, `it needs Node ${order.nodeMajor}, and the pod's image has ${NODE_MAJOR}`);
    if (this.#kept !== order.hash) await this.#fetch(order);
    if (this.#kept !== order.hash) return;
    const serveWithinMs = this.#options.serveWithinMs();
    if (serveWithinMs === undefined) return;
    const before = await readChoice(this.#folder);
    await writeChoice(this.#folder, { ...before, hash: order.hash, starts: 0, isProven: false, serveWithinMs });
    // Something may have begun during that write; then the next time that is quiet is waited for.
    if (this.#options.serveWithinMs() !== undefined && this.#orderForMe() === order) this.#options.end();
    else await writeChoice(this.#folder, before);
  }

  async #fetch(order: Order): Promise<void> {
    const packed = await this.#offer();
    if (packed === undefined) return;
    const bundle = await unpackBundle(packed);
    if (bundle.hash !== order.hash) return this.#refuse(order, "what is offered is not what was announced");
    const { hash: running } = await readChoice(this.#folder);
    await keepBundle(this.#folder, bundle, running);
    this.#kept = order.hash;
  }

  /** What the operator offers, packed; undefined when that cannot be read now. */
  async #offer(): Promise<Readonly<Record<string, string>> | undefined> {
    const { api, namespace, name, onError } = this.#options;
    interface Offer extends KubeObject {
      readonly binaryData?: Readonly<Record<string, string>>;
    }
    try {
      const { items } = await api.list<Offer>({ apiVersion: "v1", kind: "ConfigMap", namespace, name });
      return items[0]?.binaryData;
    } catch (error) {
      onError(error);
      return undefined;
    }
  }

  /** An offer that is no agent, or no room for it: the agent that runs is none the worse for that. */
  #giveUp(order: Order, error: unknown): void {
    this.#refuse(order, `it cannot be taken: ${String(error).slice(0, 200)}`);
  }

  #refuse({ hash }: Order, reason: string): void {
    this.#refused = { hash, reason };
    this.#options.changed();
  }
}
