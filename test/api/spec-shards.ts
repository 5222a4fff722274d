// A cluster of topology Sharded whose spec is changed again and again: the members of all shards, the slots that they own, and the
// garbage collector that takes what a shard leaves behind.
import { textOfSlots } from "../../src/conformance/shard-checks.ts";
import type { Intent } from "../../src/api/agent-wire.ts";
import { API_VERSION, LABEL_CLUSTER } from "../../src/api/names.ts";
import { listAll } from "../../src/kube/list.ts";
import type { KubeObject, Stored } from "../../src/kube/object.ts";
import { parseSlots } from "../../src/plan/slots.ts";
import { minimalCluster } from "./crd-cases.ts";
import { admin, type Any, NAMESPACE, ref } from "./operator-world.ts";
import { PlayedController } from "./played-controller.ts";
import { SHARDED_BASE } from "./spec-bases.ts";
import { type Coverage, Subject } from "./spec-sequences.ts";
import { CHILDREN, FakeNodes, keepClaim, type LeaderSays } from "./spec-world.ts";

type SlotRequest = NonNullable<NonNullable<Intent["shard"]>["request"]>;

/** What the data of one shard says: the slots that it owns, and a move that was begun. */
interface Data {
  readonly owned: Set<number>;
  move: { readonly slots: readonly number[]; readonly to: string; hasArrived: boolean } | undefined;
}

/** Slots of all shards, as their data says it. A leader does one step of what it is asked each time that it is looked at. */
class SlotBook {
  readonly #shards = new Map<string, Data>();

  /** Takes in which shards there are. @throws {Error} when one is gone that owned slots: their keys are lost. */
  keep(names: readonly string[]): void {
    for (const [name, { owned, move }] of this.#shards) {
      if (names.includes(name)) continue;
      if (owned.size > 0 || move !== undefined)
        throw new Error(`${name} was deleted while it owned slots ${textOfSlots(owned)}: their keys are lost`);
      this.#shards.delete(name);
    }
    for (const name of names)
      if (!this.#shards.has(name)) this.#shards.set(name, { owned: new Set(), move: undefined });
  }

  /** The leader of `shard` does what it is asked, when it is meant, and says what its data says then. */
  says(shard: string, ...[{ shard: place }, leads]: Parameters<LeaderSays>): ReturnType<LeaderSays> {
    const data = this.#shards.get(shard);
    if (data === undefined) return {};
    const { request } = place ?? {};
    const isMine = request?.member === leads.member && request.epoch === leads.epoch;
    const heldUp = isMine ? this.#step(data, request) : undefined;
    const { owned, move } = data;
    return {
      shard: { slots: textOfSlots(owned), moving: textOfSlots(move?.slots ?? []), movingTo: move?.to ?? "" },
      ...(heldUp === undefined ? {} : { slotsHeldUp: heldUp }),
    };
  }

  /** Says what it does not do, and why. */
  #step(data: Data, { action, slots: text, target }: SlotRequest): string | undefined {
    const slots = numbersOf(text);
    if (action === "assignSlots") {
      const taken = [...this.#shards.values()].flatMap((other) => (other === data ? [] : [...other.owned]));
      const twice = slots.filter((slot) => taken.includes(slot));
      // Whoever asks may know less than the data does: the taker of a move has not said yet what it owns.
      if (twice.length > 0) return `another shard owns ${textOfSlots(twice)}`;
      for (const slot of slots) data.owned.add(slot);
      return undefined;
    }
    const taker = this.#shards.get(target);
    if (taker === undefined) return `${target} has no leader`;
    if (data.move === undefined) {
      // What was done before is not asked anew.
      if (slots.every((slot) => data.owned.has(slot))) data.move = { slots, to: target, hasArrived: false };
      return undefined;
    }
    if (data.move.to !== target || textOfSlots(data.move.slots) !== text)
      return `slots ${textOfSlots(data.move.slots)} are on their way to ${data.move.to}`;
    if (data.move.hasArrived) {
      data.move = undefined;
      return undefined;
    }
    for (const slot of slots) {
      data.owned.delete(slot);
      taker.owned.add(slot);
    }
    data.move.hasArrived = true;
    return undefined;
  }
}

function numbersOf(text: string): number[] {
  return parseSlots(text).flatMap(({ first, last }) => Array.from({ length: last - first + 1 }, (_, at) => first + at));
}

/** What else a shard owns, which is no sign of its spec. */
const OWNED_BESIDE = [
  ["apps/v1", "ControllerRevision"],
  ["coordination.k8s.io/v1", "Lease"],
] as const;

/** Runs the members of all shards of one cluster, and takes away what shards owned that are gone. */
export class FakeShards extends PlayedController {
  readonly #book = new SlotBook();
  readonly #nodes = new Map<string, FakeNodes>(); // by uid of the shard
  readonly #names = new Map<string, string>(); // by uid, of shards that are there or have left something

  protected async tick(): Promise<void> {
    const shards = await this.list(API_VERSION, "ClusterSpec");
    this.#book.keep(shards.map(({ metadata }) => metadata.name));
    const ticks = shards.map(({ metadata: { uid, name } }) => this.#nodesOf(uid, name).tick());
    const ends = await Promise.allSettled([...ticks, this.#collect(shards)]);
    const [failed] = ends.filter((end) => end.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }

  #nodesOf(uid: string, name: string): FakeNodes {
    const known = this.#nodes.get(uid) ?? new FakeNodes(name, (intent, leads) => this.#book.says(name, intent, leads));
    this.#nodes.set(uid, known);
    this.#names.set(uid, name);
    return known;
  }

  async #collect(shards: readonly Stored<KubeObject>[]): Promise<void> {
    const live = new Set(shards.map(({ metadata }) => metadata.uid));
    for (const [uid, name] of this.#names) {
      if (live.has(uid)) continue;
      this.#nodes.delete(uid);
      const isNamedAnew = shards.some(({ metadata }) => metadata.name === name);
      if (await takeAway(uid, name, isNamedAnew)) this.#names.delete(uid);
    }
  }
}

/** Takes away what a shard owned. Says whether nothing more is to come: claims that stay, stay. */
async function takeAway(uid: string, name: string, isNamedAnew: boolean): Promise<boolean> {
  let left = 0;
  for (const [apiVersion, kind] of [...CHILDREN, ...OWNED_BESIDE]) {
    const labelSelector = `${LABEL_CLUSTER}=${name}`;
    for (const one of (await listAll<Any>(admin, { apiVersion, kind, namespace: NAMESPACE, labelSelector })).items) {
      const isOwned = (one.metadata.ownerReferences ?? []).some((owner) => owner.uid === uid);
      const isOrphan = kind === "Pod" && !isNamedAnew; // tests start pods without an owner
      if (kind === "PersistentVolumeClaim") {
        const isToGo = JSON.stringify(one.metadata.annotations ?? {}).includes(`delete-with":"${uid}`);
        if (one.metadata.deletionTimestamp !== undefined) await keepClaim(one);
        left += isToGo ? 1 : 0;
      } else if (isOwned || isOrphan) {
        left += 1;
        await admin.delete(ref(apiVersion, kind, one.metadata.name), { gracePeriodSeconds: 0 });
      }
    }
  }
  return left === 0;
}

/** What shards leave behind is taken away when the operator rests already. */
const PATIENCE_MS = 15_000;

/** Starts a cluster of topology Sharded, which is at its beginning and well. Its shards are to be stopped. */
export async function startWhole(
  name: string,
  spec: object,
  coverage: Coverage,
): Promise<{ readonly shards: FakeShards; readonly subject: Subject }> {
  const base = { ...SHARDED_BASE, ...spec };
  await admin.create(minimalCluster(base, name));
  const shards = new FakeShards(name);
  shards.start();
  const subject = new Subject(name, base, coverage, PATIENCE_MS);
  await subject.begin();
  return { shards, subject };
}
