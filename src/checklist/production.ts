/** The checklist to go through before a cluster holds data that somebody needs. */
import { type Check, fail, pass, unknown, warn } from "./checklist.ts";

const MIN_ZONES = 2;
const MAX_BACKUP_AGE_MS = 2 * 86_400_000;

/** In the order in which they would hurt. */
export const PRODUCTION: readonly Check[] = [
  {
    id: "operator-runs",
    title: "An operator runs",
    judge: ({ operator }) => {
      if (operator === undefined) return unknown("Deployments of the operator's namespace cannot be read");
      if (operator === null)
        return fail("no Deployment quorate-operator was found", "helm install quorate, see docs/install.md");
      return operator.available > 0
        ? pass(`${operator.available}/${operator.replicas} in ${operator.namespace}`)
        : fail("none of its replicas is available", `kubectl -n ${operator.namespace} get pods`);
    },
  },
  {
    id: "engine-installed",
    title: "The Engine is installed and knows the version",
    judge: ({ cluster, engine }) => {
      const { name, version } = cluster.spec.engine;
      if (engine === undefined) return fail(`there is no Engine ${name}`, "kubectl get engines");
      const known = engine.versions.map((one) => one.version);
      if (version === undefined)
        return warn(`engine.version is not set: ${known[0] ?? ""} today`, "set spec.engine.version");
      return known.includes(version)
        ? pass(`${name} ${version}`)
        : fail(`${version} is not one of ${known.join(", ")}`, "set spec.engine.version");
    },
  },
  {
    id: "enough-nodes",
    title: "Every member has a node of its own",
    judge: ({ cluster, nodes }) => {
      if (nodes === undefined) return unknown("Nodes cannot be read");
      const usable = nodes.filter(({ isReady, isSchedulable }) => isReady && isSchedulable).length;
      const { members } = cluster.spec;
      return usable >= members
        ? pass(`${usable} nodes for ${members} members`)
        : fail(`${usable} usable nodes for ${members} members`, "add nodes, or lower spec.members");
    },
  },
  {
    id: "enough-zones",
    title: "Members are spread over zones",
    judge: ({ nodes }) => {
      if (nodes === undefined) return unknown("Nodes cannot be read");
      const zones = new Set(nodes.flatMap(({ zone }) => zone ?? []));
      return zones.size >= MIN_ZONES
        ? pass(`${zones.size} zones`)
        : warn(
            `${zones.size} zones are labelled on nodes`,
            "label nodes with topology.kubernetes.io/zone, or accept that one failure domain takes all members",
          );
    },
  },
  {
    id: "volumes-can-grow",
    title: "Volumes can grow",
    judge: ({ storageClass }) => {
      if (storageClass === undefined) return unknown("StorageClasses cannot be read");
      if (storageClass === null)
        return fail("there is no such StorageClass, and no default", "set spec.storage.data.className");
      return storageClass.allowsExpansion
        ? pass(storageClass.name)
        : warn(
            `${storageClass.name} does not allow it`,
            `set allowVolumeExpansion: true on StorageClass ${storageClass.name}`,
          );
    },
  },
  {
    id: "deletion-protected",
    title: "Data outlives its ClusterSpec",
    judge: ({ cluster }) =>
      cluster.spec.deletionProtection
        ? pass("spec.deletionProtection is true")
        : warn("spec.deletionProtection is false", "set it to true"),
  },
  {
    id: "epochs-guarded",
    title: "The API server refuses to lower an epoch",
    judge: ({ hasEpochPolicies }) => {
      if (hasEpochPolicies === undefined) return unknown("ValidatingAdmissionPolicies cannot be read");
      return hasEpochPolicies
        ? pass("quorate-lease-epoch and quorate-route-epoch are there")
        : fail("a policy is missing", "kubectl apply --server-side -k deploy/admission");
    },
  },
  {
    id: "objectives-stated",
    title: "Users were promised something that is measured",
    judge: ({ cluster }) =>
      cluster.spec.slo === undefined
        ? warn(
            "spec.slo is not set: nothing is measured, nothing held back",
            "state objectives in spec.slo, see docs/slo.md",
          )
        : pass("spec.slo is set"),
  },
  {
    id: "priority",
    title: "Members are not the first to be evicted",
    judge: ({ cluster }) => {
      const { priorityClassName } = cluster.spec.pods;
      return priorityClassName === undefined
        ? warn("pods.priorityClassName is not set", "name a PriorityClass above that of stateless workloads")
        : pass(priorityClassName);
    },
  },
  {
    id: "backups",
    title: "There is a backup of the last two days",
    judge: ({ cluster, engine, operations, nowMs }) => {
      if (cluster.spec.topology === "Stateless") return pass("members keep no data");
      if (engine !== undefined && engine.actions.backup === undefined)
        return unknown("the Engine makes none: use the software's own tools, and restore one before you need it");
      if (cluster.spec.backup === undefined)
        return warn("spec.backup is not set", "say where backups go, see docs/backup.md");
      if (operations === undefined) return unknown("ClusterOperations cannot be read");
      const finished = operations
        .filter(({ spec, status }) => spec.type === "Backup" && status?.phase === "Done")
        .map(({ status }) => Date.parse(status?.completionTime ?? ""));
      const newestMs = Math.max(Number.NEGATIVE_INFINITY, ...finished.filter(Number.isFinite));
      if (nowMs - newestMs <= MAX_BACKUP_AGE_MS)
        return pass("one is finished; restore one into another cluster before you need it");
      return warn("none was finished", `kubectl quorate operation backup ${cluster.metadata.name}`);
    },
  },
  {
    id: "not-blocked",
    title: "Nothing is held back",
    judge: ({ cluster }) => {
      const [block] = cluster.status?.blocked ?? [];
      return block === undefined
        ? pass("no guard holds a step back")
        : warn(`${block.guard}: ${block.message}`, block.override ?? `kubectl quorate why ${cluster.metadata.name}`);
    },
  },
];
