// The names that a cluster's members are reached by.
import { nameOf } from "../api/names.ts";

/** Suffix of names inside of a cluster that was set up as most are. */
const CLUSTER_DOMAIN = "cluster.local";

/** DNS names that the members' certificate is made for: every member's own, and those of the Services for clients. */
export function certificateHosts({ name, namespace }: { readonly name: string; readonly namespace: string }): string[] {
  const members = `*.${nameOf.membersService(name)}.${namespace}.svc`;
  const services = [nameOf.readWrite(name), nameOf.readOnly(name), nameOf.read(name)].flatMap((service) => {
    const full = `${service}.${namespace}.svc`;
    return [service, `${service}.${namespace}`, full, `${full}.${CLUSTER_DOMAIN}`];
  });
  return [members, `${members}.${CLUSTER_DOMAIN}`, ...services];
}
