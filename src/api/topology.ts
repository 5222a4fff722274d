/** The shapes of clusters that work in this release. */
import { z } from "zod";

/**
 * How the members of a cluster work together.
 *
 * - `ActivePassive`: one writer with hot standbys. The members' agents elect it through a Lease and fence the others.
 * - `Consensus`: the engine elects its leader by a majority and keeps its list of members itself. Agents start it, observe
 *   it, and change the list one member at a time.
 */
export const Topology = z.enum(["ActivePassive", "Consensus"]);
export type Topology = z.infer<typeof Topology>;
