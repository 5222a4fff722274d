/** The shapes of clusters that work in this release. */
import * as z from "zod";

/**
 * How the members of a cluster work together.
 *
 * - `ActivePassive`: one writer with hot standbys. The members' agents elect it through a Lease and fence the others.
 * - `ActiveActive`: every member writes, and the engine makes what each of them commits known to all. Agents start it, let it join
 *   the others, and begin the group anew, after all members have stopped, from the one that has most.
 * - `Consensus`: the engine elects its leader by a majority and keeps its list of members itself. Agents start it, observe
 *   it, and change the list one member at a time.
 * - `Sharded`: data parted by key. Each shard is a cluster of topology ActivePassive, made by the operator; slots say which shard
 *   owns a key, and move when shards come or go.
 * - `Stateless`: members without data, all alike. Kubernetes keeps their number, which may follow the load; there are no agents.
 */
export const Topology = z.enum(["ActivePassive", "ActiveActive", "Consensus", "Sharded", "Stateless"]);
export type Topology = z.infer<typeof Topology>;
