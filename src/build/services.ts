// How clients and members reach each other.
import { HEALTH_PORT, INIT_PORT, LABEL_CLUSTER, LABEL_SHARD_OF, nameOf, PEER_PORT } from "../api/names.ts";
import { CLIENT_TLS_PORT, type Exposure } from "../api/services.ts";
import { type BuildContext, clientTlsPort } from "./context.ts";
import { child, LABEL_SLICE_MANAGER, podSelector, shardsSelector, SLICE_MANAGER } from "./labels.ts";
import type { Manifest } from "./manifest.ts";

const SERVICE = { apiVersion: "v1", kind: "Service" };
const CLIENT_PORT = "client";

/** The ports at which clients are served. */
function clientPorts(context: BuildContext): readonly { readonly name: string; readonly port: number }[] {
  const plain = { name: CLIENT_PORT, port: context.engine.port };
  const tlsPort = clientTlsPort(context);
  return tlsPort === undefined ? [plain] : [plain, { name: CLIENT_TLS_PORT, port: tlsPort }];
}

function isEveryMemberWriter({ intent }: BuildContext): boolean {
  return intent.topology === "ActiveActive";
}

/** A Service for clients; `exposure` is what the user wants of it. */
function clientService(
  context: BuildContext,
  name: string,
  exposure: Exposure,
  fields: Readonly<Record<string, unknown>> = {},
): Manifest {
  const { type, loadBalancerClass, loadBalancerSourceRanges } = exposure;
  const shared = context.intent.services.annotations;
  const service = child(context, SERVICE, name, {
    spec: {
      type,
      ...(loadBalancerClass === undefined ? {} : { loadBalancerClass }),
      ...(loadBalancerSourceRanges === undefined ? {} : { loadBalancerSourceRanges }),
      ports: clientPorts(context).map((one) => ({ ...one, targetPort: one.port, protocol: "TCP" })),
      ...fields,
    },
  });
  if (shared === undefined && exposure.annotations === undefined) return service;
  return { ...service, metadata: { ...service.metadata, annotations: { ...shared, ...exposure.annotations } } };
}

/**
 * The Services of a cluster: `-rw` and `-ro` without selector (the leader's agent writes their endpoints, so that traffic
 * moves with one write right after a promotion), `-r` to every ready member, and the headless one that names members.
 * Where every member writes all three lead to every ready member: ready is who is in the group and up to date.
 */
export function buildServices(context: BuildContext): Manifest[] {
  const { memberPort } = context.engine;
  const { readWrite, readOnly, read } = context.intent.services;
  const ready = { selector: podSelector(context.name) };
  const routed = isEveryMemberWriter(context) ? ready : {};
  return [
    clientService(context, nameOf.readWrite(context.name), readWrite, routed),
    clientService(context, nameOf.readOnly(context.name), readOnly, routed),
    clientService(context, nameOf.read(context.name), read, ready),
    child(context, SERVICE, nameOf.membersService(context.name), {
      spec: {
        type: "ClusterIP",
        clusterIP: "None",
        publishNotReadyAddresses: true, // members must find each other before any is ready
        selector: podSelector(context.name),
        ports: [
          { name: "peer", port: PEER_PORT, targetPort: PEER_PORT, protocol: "TCP" },
          { name: "engine", port: context.engine.port, targetPort: context.engine.port, protocol: "TCP" },
          ...(memberPort === undefined
            ? []
            : [{ name: "member", port: memberPort, targetPort: memberPort, protocol: "TCP" }]),
        ],
      },
    }),
  ];
}

/** The one Service of topology Sharded: to every ready member of every shard, which sends clients to the one that owns a key. */
export function buildShardedService(context: BuildContext): Manifest {
  const { read } = context.intent.services;
  return clientService(context, nameOf.read(context.name), read, { selector: shardsSelector(context.name) });
}

/** The one Service of topology Stateless: to every ready member. */
export function buildStatelessService(context: BuildContext): Manifest {
  const { read } = context.intent.services;
  return clientService(context, nameOf.read(context.name), read, { selector: podSelector(context.name) });
}

/** The empty EndpointSlices of `-rw` and `-ro`, if those have no selector. Created once; from then on only agents write them. */
export function buildEndpointSlices(context: BuildContext): Manifest[] {
  if (isEveryMemberWriter(context)) return [];
  return [nameOf.readWrite(context.name), nameOf.readOnly(context.name)].map((name) => {
    const slice = child(context, { apiVersion: "discovery.k8s.io/v1", kind: "EndpointSlice" }, name, {
      addressType: "IPv4",
      ports: clientPorts(context).map((one) => ({ ...one, protocol: "TCP" })),
      endpoints: [],
    });
    const labels = {
      ...slice.metadata.labels,
      "kubernetes.io/service-name": name,
      [LABEL_SLICE_MANAGER]: SLICE_MANAGER,
    };
    return { ...slice, metadata: { ...slice.metadata, labels } };
  });
}

const tcp = (port: number) => ({ port, protocol: "TCP" });

/**
 * Ingress only: clients reach the engine from anywhere (its own authentication decides) unless the user lists them, the agents' ports
 * and the engines' own among themselves are for members, of all shards where there are several.
 * Egress is left open, because a default deny there cuts agents from the API server, whose address no selector can name.
 */
export function buildNetworkPolicy(context: BuildContext): Manifest {
  const { shard, services } = context.intent;
  const { from } = services;
  const { memberPort, memberPorts = 1 } = context.engine;
  const amongMembers = (first: number) =>
    memberPorts === 1 ? tcp(first) : { ...tcp(first), endPort: first + memberPorts - 1 };
  const among = memberPort === undefined ? [] : [amongMembers(memberPort)];
  const clients = clientPorts(context).map(({ port }) => tcp(port));
  // Members copy from each other, and shards move keys, by the ports that are also for clients.
  const narrowed = from === undefined ? [] : clients;
  const ofOtherShards = [...narrowed, ...among];
  return child(context, { apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy" }, context.name, {
    spec: {
      podSelector: { matchLabels: podSelector(context.name) },
      policyTypes: ["Ingress"],
      ingress: [
        ...(from === undefined
          ? [{ ports: [...clients, tcp(HEALTH_PORT)] }]
          : [{ from, ports: clients }, { ports: [tcp(HEALTH_PORT)] }]),
        {
          from: [{ podSelector: { matchLabels: { [LABEL_CLUSTER]: context.name } } }],
          ports: [...narrowed, tcp(PEER_PORT), tcp(INIT_PORT), ...among],
        },
        ...(shard === undefined || ofOtherShards.length === 0
          ? []
          : [{ from: [{ podSelector: { matchLabels: { [LABEL_SHARD_OF]: shard.of } } }], ports: ofOtherShards }]),
      ],
    },
  });
}

/**
 * Clients reach the engine from anywhere unless the user lists them, and there is nothing else to reach. Egress is left open: what
 * members need is not known.
 */
export function buildStatelessNetworkPolicy(context: BuildContext): Manifest {
  const { from } = context.intent.services;
  return child(context, { apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy" }, context.name, {
    spec: {
      podSelector: { matchLabels: podSelector(context.name) },
      policyTypes: ["Ingress"],
      ingress: [{ ports: [tcp(context.engine.port)], ...(from === undefined ? {} : { from }) }],
    },
  });
}
