// The objects of clusters as the operator makes them, of every topology: what linters judge.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { load } from "js-yaml";
import { Engine, type EngineSpec } from "../../../src/api/engine.ts";
import { buildAccess, buildServiceAccount } from "../../../src/build/access.ts";
import { buildAutoscaler } from "../../../src/build/autoscaler.ts";
import { buildBudget, buildStatelessBudget } from "../../../src/build/budget.ts";
import type { BuildContext } from "../../../src/build/context.ts";
import { buildDeployment } from "../../../src/build/deployment.ts";
import {
  buildNetworkPolicy,
  buildServices,
  buildStatelessNetworkPolicy,
  buildStatelessService,
} from "../../../src/build/services.ts";
import { buildStatefulSet } from "../../../src/build/stateful-set.ts";
import { httpEngine } from "../plan/fleet-world.ts";
import { contextOf } from "../plan/fixture.ts";
import type { Thing } from "./linter-checks.ts";

const ROOT = join(import.meta.dirname, "../../..");

/** Every Engine that is shipped. */
const BUILT_IN = readdirSync(join(ROOT, "engines")).flatMap((file) => /^(.+)\.yaml$/.exec(file)?.[1] ?? []);

function builtIn(name: string): EngineSpec {
  return Engine.parse(load(readFileSync(join(ROOT, `engines/${name}.yaml`), "utf8"))).spec;
}

/** Of a cluster of three. */
function clusterOf(engine: EngineSpec, spec: object = {}): readonly Thing[] {
  const limits = { resources: { requests: { memory: "1Gi" }, limits: { memory: "1Gi" } } };
  const base = contextOf({ topology: engine.topologies[0], ...limits, ...spec });
  const context: BuildContext = { ...base, engine, engineImage: engine.versions[0]?.image ?? "" };
  const members = ["orders-0", "orders-1", "orders-2"];
  return [
    ...buildAccess(context, members),
    ...buildServices(context),
    buildNetworkPolicy(context),
    buildBudget(context, members.length),
    ...members.map((member) => buildStatefulSet(context, member)),
  ];
}

/** Of one without agents. */
function fleet(): readonly Thing[] {
  const limits = { resources: { requests: { memory: "1Gi" }, limits: { memory: "1Gi" } } };
  const autoscaling = { maxMembers: 9, metrics: [{ name: "cpu", cpuPercent: 70 }] };
  const context = { ...contextOf({ topology: "Stateless", ...limits, autoscaling }), engine: httpEngine };
  const { autoscaling: asked } = context.intent;
  if (asked === undefined) throw new Error("no autoscaling");
  return [
    buildServiceAccount(context),
    buildStatelessService(context),
    buildStatelessNetworkPolicy(context),
    buildStatelessBudget(context),
    buildAutoscaler(context, asked),
    ...(["stable", "canary"] as const).map((track) => buildDeployment(context, track, { replicas: 3 })),
  ];
}

/** Clusters by name: one of every shipped Engine, and of what else makes their objects others. */
export const CLUSTERS: readonly (readonly [name: string, things: readonly Thing[]])[] = [
  ...BUILT_IN.map((name) => [`a cluster of ${name}`, clusterOf(builtIn(name))] as const),
  ["a cluster with agents in place", clusterOf(builtIn("postgres"), { update: { agents: "InPlace" } })],
  ["a cluster of topology Stateless", fleet()],
];
