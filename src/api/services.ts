/** How clients outside and inside reach a cluster. */
import * as z from "zod";
import { NetworkPeer } from "./network-peers.ts";
import { annotationMap, cel, LIST_ATOMIC, reservedKeys } from "./schema.ts";

/** Name of the port at which clients speak TLS, in Services and in what members write of them. */
export const CLIENT_TLS_PORT = "client-tls";

/** One client Service. */
const Exposure = z
  .object({
    type: z
      .enum(["ClusterIP", "NodePort", "LoadBalancer"])
      .default("ClusterIP")
      .describe("type of the Service: ClusterIP for clients inside, NodePort or LoadBalancer for those outside."),
    annotations: annotationMap("annotations added to this Service, for example for its load balancer.")
      .meta(cel([reservedKeys("annotations")]))
      .optional(),
    loadBalancerClass: z
      .string()
      .min(1)
      .max(253)
      .optional()
      .describe("loadBalancerClass of the implementation; the default one when absent."),
    loadBalancerSourceRanges: z
      .array(z.string().max(64))
      .min(1)
      .max(64)
      .meta({ "x-kubernetes-list-type": "set" })
      .optional()
      .describe("loadBalancerSourceRanges that may connect, such as 203.0.113.0/24; everybody when absent."),
  })
  .meta(
    cel([
      {
        rule: "self.type == 'LoadBalancer' || !(has(self.loadBalancerClass) || has(self.loadBalancerSourceRanges))",
        message: "loadBalancerClass and loadBalancerSourceRanges need type LoadBalancer: set type, or remove them",
        fieldPath: ".type",
      },
      {
        rule: "self.type != 'LoadBalancer' || oldSelf.type != 'LoadBalancer' || (has(self.loadBalancerClass) == has(oldSelf.loadBalancerClass) && (!has(self.loadBalancerClass) || self.loadBalancerClass == oldSelf.loadBalancerClass))",
        message:
          "loadBalancerClass cannot change while type is LoadBalancer: Kubernetes ties a Service to it; set type ClusterIP first, then LoadBalancer with the other class",
        fieldPath: ".loadBalancerClass",
      },
      {
        rule: "!has(self.loadBalancerSourceRanges) || self.loadBalancerSourceRanges.all(range, isCIDR(range))",
        message: "loadBalancerSourceRanges holds what is no address range: write it as 203.0.113.0/24",
        fieldPath: ".loadBalancerSourceRanges",
      },
    ]),
  );
export type Exposure = z.infer<typeof Exposure>;

/** The `services` block of a ClusterSpec. */
export const ServiceOptions = z.object({
  annotations: annotationMap("annotations added to all client Services.")
    .meta(cel([reservedKeys("services.annotations")]))
    .optional(),
  from: z
    .array(NetworkPeer)
    .min(1)
    .max(32)
    .meta(LIST_ATOMIC)
    .optional()
    .describe(
      "from lists who may connect to the engine's ports for clients, as in a NetworkPolicy's ingress.from; everybody when absent. Members always may. It takes a network that enforces NetworkPolicy.",
    ),
  readWrite: Exposure.prefault({}).describe("readWrite is the Service -rw, which follows the leader."),
  readOnly: Exposure.prefault({}).describe("readOnly is the Service -ro, of followers within the lag limit."),
  read: Exposure.prefault({}).describe("read is the Service -r, of every ready member."),
});
