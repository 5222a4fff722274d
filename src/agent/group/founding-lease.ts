/** The cluster's Lease as the right to begin the group: one member at a time has it, and only for a while. */
import { nameOf } from "../../api/names.ts";
import { OperatorError } from "../../errors.ts";
import { LeaseRegister } from "../cluster/lease.ts";
import type { MemberParts } from "../equipment.ts";
import { expiryWaitMs, type Profile } from "../protocol/profile.ts";
import type { LeaseView } from "../protocol/types.ts";
import type { FoundingClaim } from "./types.ts";

/** What the Lease is taken with. */
export interface FoundingLeaseOptions {
  readonly parts: Pick<MemberParts, "settings" | "api" | "log" | "clock">;
  readonly profile: () => Profile;
  readonly nowMs: () => number;
}

/** Takes the Lease, and gives it back. */
export class FoundingLease {
  readonly #options: FoundingLeaseOptions;
  readonly #register: LeaseRegister;
  readonly #holder: string;
  /** Version of the Lease and when it was first seen: one that stays the same for long enough has expired. */
  #seen: { readonly version: string; readonly sinceMs: number } | undefined;
  #held: (FoundingClaim & { readonly sentMs: number }) | undefined;

  constructor(options: FoundingLeaseOptions) {
    const { settings, api } = options.parts;
    const { QUORATE_NAMESPACE: namespace, QUORATE_CLUSTER: cluster } = settings;
    this.#options = options;
    this.#holder = `${settings.QUORATE_POD}/${settings.QUORATE_POD_UID}/${crypto.randomUUID()}`;
    const ref = { apiVersion: "coordination.k8s.io/v1", kind: "Lease", namespace, name: nameOf.lease(cluster) };
    this.#register = new LeaseRegister(api, ref, () => options.profile().leaseMs / 1000);
  }

  /** What this member may begin the group by; undefined when it holds nothing, or not for long enough any more. */
  get claim(): FoundingClaim | undefined {
    const { profile, nowMs } = this.#options;
    const held = this.#held;
    return held !== undefined && nowMs() - held.sentMs < profile().renewDeadlineMs ? held : undefined;
  }

  /** Takes the Lease if nobody else holds it. @returns why it was not taken for certain; undefined when it was. */
  async take(): Promise<string | undefined> {
    const { parts, nowMs } = this.#options;
    const lease = await this.#read();
    if (typeof lease === "string") return lease;
    const { holder, epoch } = lease.content;
    if (holder !== "" && holder !== this.#holder && !this.#hasExpired(lease))
      return `${holder.split("/")[0] ?? ""} holds the Lease to begin the group`;
    const sentMs = nowMs();
    const content = { ...lease.content, holder: this.#holder, epoch: epoch + 1 };
    const { result } = await this.#register.write(lease.resourceVersion, content, parts.clock.now());
    if (result !== "ok") return `the Lease could not be taken: ${result}`;
    this.#held = { epoch: epoch + 1, sentMs, wonMs: nowMs() };
    parts.log.info({ epoch: epoch + 1 }, "Took the Lease to begin the group");
    return undefined;
  }

  /** Gives the Lease back, if this member took it; one that cannot be given back expires. */
  async release(): Promise<void> {
    if (this.#held === undefined) return;
    this.#held = undefined;
    const lease = await this.#read();
    if (typeof lease === "string" || lease.content.holder !== this.#holder) return;
    const content = { ...lease.content, holder: "" };
    await this.#register.write(lease.resourceVersion, content, this.#options.parts.clock.now());
  }

  #hasExpired({ resourceVersion }: LeaseView): boolean {
    const { profile, nowMs } = this.#options;
    const seen = this.#seen;
    return seen?.version === resourceVersion && nowMs() - seen.sinceMs > expiryWaitMs(profile());
  }

  /** The Lease as it is now, or why it cannot be read. */
  async #read(): Promise<LeaseView | string> {
    try {
      const lease = await this.#register.read();
      if (lease === undefined) return "there is no Lease";
      if (this.#seen?.version !== lease.resourceVersion)
        this.#seen = { version: lease.resourceVersion, sinceMs: this.#options.nowMs() };
      return lease;
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error;
      return `the Lease cannot be read: ${error.message}`;
    }
  }
}
