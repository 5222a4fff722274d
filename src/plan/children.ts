// The children that always exist: brought in order whenever the live ones differ, whatever else is going on.
import { nameOf } from "../api/names.ts";
import { buildAccess } from "../build/access.ts";
import { buildBudget } from "../build/budget.ts";
import { buildBudgetRecord } from "../build/budget-record.ts";
import { credentialKeys, missingConnections } from "../build/connection.ts";
import { buildEngineFiles, buildLease } from "../build/config.ts";
import { childLabels } from "../build/labels.ts";
import { childKey, type Manifest } from "../build/manifest.ts";
import { buildEndpointSlices, buildNetworkPolicy, buildServices } from "../build/services.ts";
import { buildStatefulSet, revisionOf } from "../build/stateful-set.ts";
import { buildFreshVolume, buildVolume } from "../build/volume.ts";
import { planCertificates } from "./certificates.ts";
import { replacesDeadVolume, withoutVolume } from "./dead-node.ts";
import { applyIfDifferent, applyIfLacking, applyRecipe } from "./difference.ts";
import type { World } from "./facts.ts";
import type { ChildView, MemberView } from "./observation.ts";
import type { Step } from "./plan.ts";
import { templateForNew } from "./revisions.ts";
import { replicasOf } from "./stop.ts";
import { nextToGrow, wantedBytes } from "./volume-growth.ts";

/** Steps for what a cluster has once: accounts, Services, budget, files, Secrets, Lease. `listed` are the members to be. */
export function planChildren(world: World, listed: readonly string[]): readonly Step[] {
  const { context, seen } = world;
  const alsoCondemned = world.members.filter((m) => m.pod !== undefined).map((m) => m.name);
  const pods = [...new Set([...listed, ...alsoCondemned])].toSorted(); // a leaving member reports until its end
  const build = (): readonly Manifest[] => [
    ...buildAccess(context, pods),
    ...buildServices(context),
    buildNetworkPolicy(context),
    buildEngineFiles(context),
    buildBudget(context, listed.length),
  ];
  const inputs = `${listed.length} ${pods.join()}`;
  const slices = { of: "slices", inputs: "", build: () => buildEndpointSlices(context) };
  return [
    ...applyRecipe(context, { of: "cluster", inputs, build }, seen.children),
    ...planNamed(world),
    ...planBudgetRecord(world),
    ...applyRecipe(context, slices, seen.children, createIfMissing),
  ];
}

function createIfMissing(manifest: Manifest, children: ReadonlyMap<string, ChildView>): readonly Step[] {
  const isThere = children.has(childKey(manifest.kind, manifest.metadata.name));
  return isThere ? [] : [{ kind: "Create", manifest, reason: "it is missing" }];
}

/** What was measured must outlive the operator that measured it. Of a cluster that always kept its objectives there is nothing. */
function planBudgetRecord({ context, seen }: World): readonly Step[] {
  const record = seen.measured?.record;
  return record === undefined ? [] : applyIfDifferent(buildBudgetRecord(context, record), seen.children);
}

/** Secrets and the Lease, which are read by name and never watched. */
function planNamed(world: World): readonly Step[] {
  const { context, seen } = world;
  const { named } = seen;
  const steps: Step[] = [];
  if (!named.hasLease) steps.push({ kind: "Create", manifest: buildLease(context), reason: "it is missing" });
  steps.push(...planCertificates(world));
  // A shard's passwords are those of the whole, which makes them.
  return context.intent.shard === undefined ? [...steps, ...planPasswords(world, steps)] : steps;
}

/**
 * Passwords, then what applications connect with.
 * @param steps - Those before it: who connects needs the certificates first, too.
 */
export function planPasswords(world: Pick<World, "context" | "seen">, steps: readonly Step[] = []): readonly Step[] {
  const { context, seen } = world;
  const { named } = seen;
  const keys = credentialKeys(context.engine, context.intent);
  const missing = keys.filter((key) => !named.credentialKeys.includes(key));
  if (named.credentialsUid === undefined || missing.length > 0) {
    const name = nameOf.credentialsSecret(context.name);
    const metadata = { name, namespace: context.namespace, labels: childLabels(context) };
    return [{ kind: "GenerateCredentials", metadata, keys, reason: "accounts have no password yet" }];
  }
  return steps.some(({ kind }) => kind !== "Create") ? [] : planConnections(world);
}

/** What applications connect with, made anew when it or the password changed, or its certificate is to be another. */
function planConnections({ context, seen }: Pick<World, "context" | "seen">): readonly Step[] {
  const { name: cluster } = context;
  return missingConnections(context, seen.named, seen.nowMs).map((connection) => {
    const { metadata } = connection;
    const isThere = seen.named.connections.has(metadata.name);
    const reason = isThere ? "it, its password or its certificate changed, or is to change" : "it is missing";
    const names = { cluster, credentialsName: nameOf.credentialsSecret(cluster), peerName: nameOf.peerSecret(cluster) };
    return { kind: "WriteConnection", metadata, connection, ...names, reason };
  });
}

/** Steps for the volumes of the listed members. */
export function planVolumes(world: World, members: readonly MemberView[]): readonly Step[] {
  const grown = nextToGrow(world)?.name;
  return members.flatMap((member) => planVolume(world, member, grown));
}

/**
 * Steps for the StatefulSets of the listed members.
 *
 * A StatefulSet whose template would change keeps the one it has: only the rollout replaces it, together with the pod,
 * so that a pod lost meanwhile comes back as it was.
 */
export function planStatefulSets(world: World, members: readonly MemberView[]): readonly Step[] {
  return members.flatMap((member) => planStatefulSet(world, member));
}

/** @param grown - The member whose claim grows next. */
function planVolume(world: World, member: MemberView, grown: string | undefined): readonly Step[] {
  const { volume } = member;
  const { context, seen } = world;
  if (volume === undefined) {
    return [{ kind: "Create", manifest: buildFreshVolume(context, member.name), reason: "it is missing" }];
  }
  if (volume.deleting || volume.phase === "Lost") return [];
  if (isLeftover(world, member)) {
    if (seen.stateMayHaveGoneBack || member.pod !== undefined) return [];
    const object = { apiVersion: "v1", kind: "PersistentVolumeClaim", namespace: context.namespace, name: volume.name };
    const reason = "its cluster was deleted and asked for its deletion";
    return [{ kind: "Delete", object: { ...object, uid: volume.uid }, reason }];
  }
  if (replacesDeadVolume(world, member)) return withoutVolume(world, member, "its node is gone for good");
  const bytes = member.name === grown ? wantedBytes(world) : volume.requestedBytes;
  const recipe = {
    of: `volume ${member.name}`,
    inputs: `${bytes} ${volume.requestedBytes} ${volume.className} ${volume.clusterUid}`,
    build: () => [buildVolume(context, member.name, volume, bytes)],
  };
  return applyRecipe(context, recipe, seen.children, applyIfLacking);
}

/** A volume that should have gone with an earlier ClusterSpec of this name. It must not come back to life as ours. */
export function isLeftover(world: World, member: MemberView): boolean {
  const deleteWith = member.volume?.deleteWith;
  return deleteWith !== undefined && deleteWith !== world.cluster.uid;
}

function planStatefulSet(world: World, member: MemberView): readonly Step[] {
  const { context, seen } = world;
  if (isLeftover(world, member)) return [];
  const live = member.statefulSet;
  const rendered = revisionOf(context);
  const keeps = live?.revision !== undefined && live.revision.templateHash !== rendered.templateHash;
  const kept = keeps && live.revision !== undefined ? { ...live.revision, template: live.template } : undefined;
  const pinned = live === undefined ? templateForNew(world, member.name) : kept;
  const replicas = replicasOf(world, member);
  const recipe = {
    of: `member ${member.name}`,
    inputs: `${replicas} ${pinned?.templateHash} ${pinned?.inputHash}`,
    build: () => [buildStatefulSet(context, member.name, { pinned, replicas })],
  };
  return applyRecipe(context, recipe, seen.children);
}
