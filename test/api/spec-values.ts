// Values for every field of a ClusterSpec, made from the CRD's own schema: good ones, bad ones, and ones that only look good.
import { objectSchema } from "../../hack/generate/crd.ts";
import { KINDS } from "../../hack/generate/kinds.ts";
import { fieldPath, type StructuralSchema } from "../../hack/generate/structural-schema.ts";

/** A field without fields of its own; `[]` stands for an item of a list, `{}` for a value of a map. */
export interface Leaf {
  readonly path: readonly string[];
  /** As in documentation: `services.read.type`. */
  readonly name: string;
  readonly schema: StructuralSchema;
}

/** A change of the spec that sets one field, as a merge patch. */
export interface Setting {
  readonly leaf: Leaf;
  readonly value: unknown;
  readonly patch: object;
}

/** Key of maps that tests put their value under, by the map. */
const KEYS: Readonly<Record<string, string>> = { parameters: "work_mem" };
const ANY_KEY = "example.com/chosen";

/** All fields of `.spec`. */
export function leavesOfSpec(): readonly Leaf[] {
  const [kind] = KINDS;
  const spec = kind === undefined ? undefined : objectSchema(kind).properties?.["spec"];
  if (spec === undefined) throw new Error("the ClusterSpec has no spec");
  return leavesOf(spec, []);
}

function leavesOf(schema: StructuralSchema, path: readonly string[]): readonly Leaf[] {
  if (schema.properties !== undefined)
    return Object.entries(schema.properties).flatMap(([name, inner]) => leavesOf(inner, [...path, name]));
  if (schema.items !== undefined) return leavesOf(schema.items, [...path, "[]"]);
  if (schema.additionalProperties !== undefined) return leavesOf(schema.additionalProperties, [...path, "{}"]);
  return [{ path, name: fieldPath(path).replaceAll(".{}", "{}"), schema }];
}

/** What a field needs beside it, by the beginning of its name, to be taken; merged under the value. */
const BESIDE: readonly (readonly [begin: string, spec: object])[] = [
  ["update.canary.analysis[].name", { update: { canary: { analysis: [{ measure: "Restarts", max: "1" }] } } }],
  ["update.canary.analysis[].max", { update: { canary: { analysis: [{ name: "chosen", measure: "Restarts" }] } } }],
  [
    "update.canary.analysis[].ignoreUpTo",
    { update: { canary: { analysis: [{ name: "chosen", measure: "Restarts", maxRatio: "2" }] } } },
  ],
  ["update.canary.analysis[].query", { update: { canary: { analysis: [{ name: "chosen", max: "1" }] } } }],
  ["update.canary.analysis[].measure", { update: { canary: { analysis: [{ name: "chosen", max: "1" }] } } }],
  [
    "update.canary.analysis[]",
    { update: { canary: { analysis: [{ name: "chosen", measure: "Restarts", max: "1" }] } } },
  ],
  [
    "slo.objectives[].badQuery",
    { slo: { objectives: [{ name: "chosen", targetPercent: "99.5", totalQuery: "rate(all[$(WINDOW)])" }] } },
  ],
  [
    "slo.objectives[].totalQuery",
    { slo: { objectives: [{ name: "chosen", targetPercent: "99.5", badQuery: "rate(bad[$(WINDOW)])" }] } },
  ],
  ["slo.objectives[].badRatioQuery", { slo: { objectives: [{ name: "chosen", targetPercent: "99.5" }] } }],
  [
    "slo.objectives[]",
    { slo: { objectives: [{ name: "chosen", targetPercent: "99.5", badRatioQuery: "rate(bad[$(WINDOW)])" }] } },
  ],
  ["update.pending", { maintenanceWindows: [{ name: "always", cron: "* * * * *", durationMinutes: 60 }] }],
  ["maintenanceWindows[]", { maintenanceWindows: [{ name: "chosen", cron: "* * * * *", durationMinutes: 60 }] }],
  ["volumeRetention", { deletionProtection: false }],
  ["accounts[]", { accounts: [{ name: "chosen" }] }],
  ["pods.tolerations[].value", { pods: { tolerations: [{ key: "chosen" }] } }],
  [
    "pods.tolerations[].tolerationSeconds",
    { pods: { tolerations: [{ key: "chosen", operator: "Exists", effect: "NoExecute" }] } },
  ],
  ["pods.tolerations[].operator", { pods: { tolerations: [{ key: "chosen" }] } }],
  ["pods.tolerations[]", { pods: { tolerations: [{ key: "chosen", operator: "Exists" }] } }],
  ["pods.nodeRequirements[].operator", { pods: { nodeRequirements: [{ key: "chosen" }] } }],
  ["pods.nodeRequirements[]", { pods: { nodeRequirements: [{ key: "chosen", operator: "In", values: ["one"] }] } }],
  ["pods.imagePullSecrets[]", { pods: { imagePullSecrets: [{ name: "chosen" }] } }],
  ["pods.env[]", { pods: { env: [{ name: "CHOSEN", value: "one" }] } }],
  ["services.from[].ipBlock", { services: { from: [{ ipBlock: { cidr: "203.0.113.0/24" } }] } }],
  [
    "services.from[].podSelector.matchExpressions[].operator",
    { services: { from: [{ podSelector: { matchExpressions: [{ key: "chosen" }] } }] } },
  ],
  [
    "services.from[].podSelector.matchExpressions[]",
    {
      services: { from: [{ podSelector: { matchExpressions: [{ key: "chosen", operator: "In", values: ["one"] }] } }] },
    },
  ],
  [
    "services.from[].namespaceSelector.matchExpressions[].operator",
    { services: { from: [{ namespaceSelector: { matchExpressions: [{ key: "chosen" }] } }] } },
  ],
  [
    "services.from[].namespaceSelector.matchExpressions[]",
    {
      services: {
        from: [{ namespaceSelector: { matchExpressions: [{ key: "chosen", operator: "In", values: ["one"] }] } }],
      },
    },
  ],
  ["services.readWrite.loadBalancer", { services: { readWrite: { type: "LoadBalancer" } } }],
  ["services.readOnly.loadBalancer", { services: { readOnly: { type: "LoadBalancer" } } }],
  ["services.read.loadBalancer", { services: { read: { type: "LoadBalancer" } } }],
  [
    "autoscaling.metrics[].podMetric",
    { autoscaling: { maxMembers: 9, metrics: [{ name: "chosen", averageValue: "5" }] } },
  ],
  [
    "autoscaling.metrics[].averageValue",
    { autoscaling: { maxMembers: 9, metrics: [{ name: "chosen", podMetric: "busy" }] } },
  ],
  ["autoscaling.metrics[]", { autoscaling: { maxMembers: 9, metrics: [{ name: "chosen", cpuPercent: 60 }] } }],
  ["autoscaling", { autoscaling: { maxMembers: 9 } }],
  ["backup", { backup: { s3: { endpoint: "https://store.example", bucket: "copies", secretName: "store" } } }],
  [
    "shard.request",
    { shard: { request: { action: "Move", slots: "0-1", to: "chosen", askedAt: "2030-01-01T00:00:00Z" } } },
  ],
];

/** Where the schema alone does not tell a good value. */
const GOOD: Readonly<Record<string, readonly unknown[]>> = {
  members: [1, 4],
  "engine.version": ["15"],
  "engine.image": ["example/engine:chosen"],
  "resources.requests.cpu": ["250m", 1],
  "resources.requests.memory": ["2Gi"],
  "resources.limits.cpu": ["3"],
  "resources.limits.memory": ["3Gi", "4000M"],
  "failover.maxLag": ["2Mi", 5_000_000],
  "update.maxUnavailable": [1],
  "update.partition": [1, 3],
  "update.canary.members": [2],
  "update.canary.analysis[].query": ["sum(errors)"],
  "maintenanceWindows[].cron": ["0 3 * * 6"],
  "maintenanceWindows[].timeZone": ["Europe/Paris"],
  "slo.window": ["7d", "90d"],
  "slo.dataPlane.availabilityPercent": ["99.5"],
  "slo.objectives[].targetPercent": ["99"],
  "slo.objectives[].badQuery": ["rate(errors[$(WINDOW)])"],
  "slo.objectives[].totalQuery": ["rate(requests[$(WINDOW)])"],
  "slo.objectives[].badRatioQuery": ["rate(late[$(WINDOW)])"],
  "slo.dataPlane.requestErrorPercent": ["0.5"],
  "slo.dataPlane.errorPercent": ["0.5"],
  "pods.nodeRequirements[].operator": ["Exists", "DoesNotExist"],
  "pods.tolerations[].operator": ["Equal"],
  "pods.env[].name": ["CHOSEN_ONE"],
  "pods.topologyKey": ["kubernetes.io/hostname"],
  "pods.priorityClassName": ["chosen-class"],
  "services.from[].ipBlock.cidr": ["198.51.100.0/24", "2001:db8::/32"],
  "services.from[].ipBlock.except[]": ["203.0.113.8/29"],
  "services.from[].podSelector.matchExpressions[].operator": ["Exists", "DoesNotExist"],
  "services.from[].namespaceSelector.matchExpressions[].operator": ["Exists", "DoesNotExist"],
  "services.readWrite.loadBalancerSourceRanges[]": ["203.0.113.0/24"],
  "services.readOnly.loadBalancerSourceRanges[]": ["203.0.113.0/24"],
  "services.read.loadBalancerSourceRanges[]": ["203.0.113.0/24"],
  "services.readWrite.loadBalancerClass": ["example.com/chosen"],
  "services.readOnly.loadBalancerClass": ["example.com/chosen"],
  "services.read.loadBalancerClass": ["example.com/chosen"],
  "autoscaling.maxMembers": [7],
  "backup.s3.endpoint": ["http://store.example:9000/below"],
  "backup.s3.bucket": ["other-copies"],
  "backup.s3.region": ["eu-central-1"],
  "backup.s3.prefix": ["databases/eu"],
  "sharding.shards": [5, 4],
  "shard.shards[]": ["chosen"],
  "shard.request.slots": ["0-2"],
  "shard.request.askedAt": ["2030-01-01T00:00:00Z"],
  "accounts[].rules[]": ["read /chosen"],
  "parameters{}": ["8MB"],
};

/** Good values of a field that differ from its default. */
export function goodSettings(leaf: Leaf): readonly Setting[] {
  return goodValues(leaf).map((value) => setting(leaf, value));
}

function goodValues({ name, schema }: Leaf): readonly unknown[] {
  const curated = GOOD[name];
  if (curated !== undefined) return curated;
  const { default: usual, minimum = 0, maximum = 2 ** 31 - 1 } = schema;
  if (schema.enum !== undefined) return schema.enum.filter((value) => value !== usual);
  if (schema.type === "boolean") return [usual !== true];
  if (schema.type === "integer") return [minimum, Math.min(maximum, minimum + 7)].filter((value) => value !== usual);
  if (schema.pattern?.startsWith("^[0-9]{1,12}") === true) return ["2.5"];
  if (schema["x-kubernetes-int-or-string"] === true) return ["2"];
  return ["chosen"];
}

/** Values that the schema forbids. */
export function badSettings(leaf: Leaf): readonly Setting[] {
  return badValues(leaf.schema).map((value) => setting(leaf, value));
}

function badValues(schema: StructuralSchema): readonly unknown[] {
  const { type, minimum, maximum, minLength, maxLength, pattern } = schema;
  const values: unknown[] = [{ nested: true }];
  if (type === "integer") {
    values.push(
      "many",
      ...(minimum === undefined ? [] : [minimum - 1]),
      ...(maximum === undefined ? [] : [maximum + 1]),
    );
  } else if (type === "boolean") {
    values.push("yes");
  } else if (schema.enum !== undefined) {
    values.push("Nonsense", "");
  } else {
    values.push(true);
    if (minLength !== undefined && minLength > 0) values.push("");
    if (maxLength !== undefined) values.push("a".repeat(maxLength + 1));
    const misfit =
      pattern === undefined ? undefined : ["!\tnot\nthis", "-"].find((text) => !new RegExp(pattern).test(text));
    if (misfit !== undefined) values.push(misfit);
    if (schema.format === "date-time") values.push("yesterday");
  }
  return values;
}

/** Values that only Kubernetes itself can judge, beside free text. */
const DOUBTFUL: Readonly<Record<string, readonly object[]>> = {
  "pods.nodeRequirements[].operator": [
    { pods: { nodeRequirements: [{ key: "disk", operator: "Gt", values: ["large"] }] } },
  ],
  "pods.tolerations[].operator": [{ pods: { tolerations: [{ key: "disk", operator: "Exists", value: "large" }] } }],
  "pods.tolerations[].tolerationSeconds": [
    { pods: { tolerations: [{ key: "disk", operator: "Exists", tolerationSeconds: 5 }] } },
  ],
  "pods.nodeSelector{}": [{ pods: { nodeSelector: { "not a key!": "one" } } }],
  "pods.labels{}": [{ pods: { labels: { "not a key!": "one" } } }],
  "pods.annotations{}": [{ pods: { annotations: { "not a key!": "one" } } }],
  "services.annotations{}": [{ services: { annotations: { "not a key!": "one" } } }],
  "services.read.annotations{}": [{ services: { read: { annotations: { "not a key!": "one" } } } }],
  "parameters{}": [{ parameters: { work_mem: "" } }, { parameters: { no_such_parameter: "1" } }],
  "resources.requests.cpu": [{ resources: { requests: { cpu: "0" } } }, { resources: { requests: { cpu: "999999" } } }],
  "resources.requests.memory": [{ resources: { requests: { memory: "1m" } } }],
  "failover.maxLag": [{ failover: { maxLag: "1m" } }],
  members: [{ members: 9 }],
  "sharding.shards": [{ sharding: { shards: 3 } }],
  "accounts[].rules[]": [{ accounts: [{ name: "chosen", rules: ["nonsense"] }] }],
  "pods.env[].value": [{ pods: { env: [{ name: "CHOSEN", value: "$(HOME) 'x' \\ \n" }] } }],
};

/** What the schema lets pass and Kubernetes may not: free text in places where names, keys or classes stand, and the like. */
export function doubtfulSettings(leaf: Leaf): readonly Setting[] {
  const { type, pattern, enum: choices, maxLength = 0, format } = leaf.schema;
  const given = (DOUBTFUL[leaf.name] ?? []).map((patch) => ({ leaf, value: JSON.stringify(patch), patch }));
  if (type !== "string" || pattern !== undefined || choices !== undefined || format !== undefined) return given;
  const texts = ["not valid!", "ü/ü/ü", "a".repeat(Math.min(maxLength, 300))].map((value) => setting(leaf, value));
  return [...texts, ...given];
}

function setting(leaf: Leaf, value: unknown): Setting {
  const beside = BESIDE.find(([begin]) => leaf.name.startsWith(begin))?.[1] ?? {};
  return { leaf, value, patch: merged(beside, nested(leaf.path, value)) as object };
}

function nested(path: readonly string[], value: unknown, above = ""): unknown {
  const [first, ...rest] = path;
  if (first === undefined) return value;
  if (first === "[]") return [nested(rest, value)];
  if (first === "{}") return { [KEYS[above] ?? ANY_KEY]: nested(rest, value) };
  return { [first]: nested(rest, value, first) };
}

/** Objects field by field, lists item by item. */
function merged(under: unknown, over: unknown): unknown {
  if (Array.isArray(under) && Array.isArray(over)) return over.map((item, at) => merged(under[at], item));
  if (!isRecord(under) || !isRecord(over)) return over;
  const names = new Set([...Object.keys(under), ...Object.keys(over)]);
  return Object.fromEntries(
    [...names].map((name) => [name, name in over ? merged(under[name], over[name]) : under[name]]),
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The field as the API server names it in what it says of `setting`: with its index, and without a map's key. */
export function namedByServer({ leaf }: Setting, index = "\\[0\\]"): RegExp {
  const names = leaf.path.map((part) => (part === "[]" ? index : part === "{}" ? "" : `\\.${part}`));
  return new RegExp(`spec${names.join("")}`);
}

/** The same where a rule may be about the whole list. */
export function namedByRule(one: Setting): RegExp {
  return namedByServer(one, "(\\[0\\])?");
}
