/** Many clusters from the one that was recorded: the same objects under other names, with uids and versions of their own. */
import { ANNOTATION_TEMPLATE_HASH } from "../../src/api/names.ts";
import { ClusterIntent } from "../../src/api/cluster-spec.ts";
import { EngineSpec } from "../../src/api/engine.ts";
import { resolveVersion } from "../../src/build/context.ts";
import { revisionOf } from "../../src/build/stateful-set.ts";
import { RECORDED, type Wire } from "./recording.ts";

/** As the recording's operator had it. */
export const AGENT_IMAGE = "quorate/agent:bench";
const CLUSTERS_PER_NAMESPACE = 100;
const UUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g;
const VERSION = /"resourceVersion":"([0-9]+)"/g;
const ADDRESS = /10[.]128[.][0-9]+[.][0-9]+/g;
const CREATION = /"creationTimestamp":"([^"]+)"/g;
const VERSIONS_APART = 10_000;

/** Whether an object is no cluster's own. */
export function isCommon({ kind }: Wire): boolean {
  return ["Engine", "Node", "StorageClass", "PriorityClass"].includes(kind);
}

/** The objects of the copy with number `at`. */
export function copyOf(recorded: readonly Wire[], at: number): readonly Wire[] {
  const own = recorded.filter((object) => !isCommon(object));
  const copied = copiedText(JSON.stringify(own), at);
  // A template says whose it is, so that its hash is another one. Everything else that is hashed is applied once more.
  const before = hashIn(own);
  const after = templateHashOf(recorded, JSON.parse(copied) as Wire[]);
  return JSON.parse(copied.replaceAll(before, after)) as Wire[];
}

function copiedText(text: string, at: number): string {
  const name = `c${at}`;
  const namespace = `bench-${Math.floor(at / CLUSTERS_PER_NAMESPACE)}`;
  const address = `10.${128 + (at >> 14)}.${(at >> 6) & 255}`;
  return text
    .replaceAll(RECORDED.cluster, name)
    .replaceAll(RECORDED.namespace, namespace)
    .replaceAll(UUID, (uid) => uid.slice(0, -8) + at.toString(16).padStart(8, "0"))
    .replaceAll(VERSION, (_, version: string) => `"resourceVersion":"${Number(version) + at * VERSIONS_APART}"`)
    .replaceAll(ADDRESS, (found) => `${address}.${((at & 63) << 2) + (Number(found.split(".")[3]) & 3)}`)
    .replaceAll(CREATION, (_, time: string) => `"creationTimestamp":"${earlier(time, at)}"`);
}

function earlier(time: string, seconds: number): string {
  return `${new Date(Date.parse(time) - seconds * 1000).toISOString().slice(0, 19)}Z`;
}

function hashIn(objects: readonly Wire[]): string {
  const set = objects.find(({ kind }) => kind === "StatefulSet");
  return set?.metadata.annotations?.[ANNOTATION_TEMPLATE_HASH] ?? "";
}

function templateHashOf(recorded: readonly Wire[], objects: readonly Wire[]): string {
  const engine = EngineSpec.parse(recorded.find(({ kind }) => kind === "Engine")?.["spec"]);
  const cluster = objects.find(({ kind }) => kind === "ClusterSpec");
  const intent = ClusterIntent.parse(cluster?.["spec"]);
  const resolved = resolveVersion(intent, engine);
  if (cluster === undefined || resolved === undefined) throw new Error("the recording has no cluster of an Engine");
  const { name, namespace = "", uid }: Wire["metadata"] & { readonly namespace?: string } = cluster.metadata;
  const { version: engineVersion, image: engineImage } = resolved;
  const settings = { agentImage: AGENT_IMAGE };
  const engineName = intent.engine.name;
  return revisionOf({
    namespace,
    name,
    uid,
    intent,
    engineName,
    engine,
    engineVersion,
    engineImage,
    told: {},
    settings,
  }).templateHash;
}
