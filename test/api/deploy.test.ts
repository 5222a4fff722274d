// deploy/default against a real API server: accepted as a whole, enough rights for what the operator builds and no more, and
// policies that refuse what they are there for.
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { load } from "js-yaml";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { ANNOTATION_EPOCH, API_VERSION, LABEL_SHARD_OF, nameOf } from "../../src/api/names.ts";
import { parseClusterSpec, parseEngine } from "../../src/api/parse.ts";
import { buildAccess } from "../../src/build/access.ts";
import { buildBudget } from "../../src/build/budget.ts";
import { buildEngineFiles, buildLease } from "../../src/build/config.ts";
import { type BuildContext, resolveVersion } from "../../src/build/context.ts";
import type { Manifest } from "../../src/build/manifest.ts";
import { buildEndpointSlices, buildNetworkPolicy, buildServices } from "../../src/build/services.ts";
import { buildStatefulSet } from "../../src/build/stateful-set.ts";
import { buildFreshVolume } from "../../src/build/volume.ts";
import { apiStatusOf, isForbidden } from "../../src/kube/api-error.ts";
import type { KubeClient } from "../../src/kube/client.ts";
import type { KubeObject, Stored } from "../../src/kube/object.ts";
import { minimalCluster } from "./crd-cases.ts";
import { binary, type ControlPlane, startControlPlane } from "./harness.ts";

const run = promisify(execFile);
const root = join(import.meta.dirname, "../..");
const clients: KubeClient[] = [];
let plane: ControlPlane;
let admin: KubeClient;
let operator: KubeClient;
let context: BuildContext;

beforeAll(async () => {
  plane = await startControlPlane();
  admin = await plane.client();
  clients.push(admin);
  await plane.kubectl("apply", "--server-side", "-k", join(root, "deploy/default"));
  await plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s");
  operator = await accountClient("quorate-system", "quorate-operator");
  context = await orders();
});

afterAll(async () => {
  for (const client of clients) client.close();
  await plane?.stop();
});

/** A client with the rights of a service account that exists. */
async function accountClient(namespace: string, name: string): Promise<KubeClient> {
  const client = await plane.client(await plane.accountKubeconfig(namespace, name));
  clients.push(client);
  return client;
}

/** The cluster `orders` of the built-in PostgreSQL, as builders see it. */
async function orders(): Promise<BuildContext> {
  const cluster = parseClusterSpec(await admin.create(minimalCluster()));
  const engine = parseEngine(load(await readFile(join(root, "engines/postgres.yaml"), "utf8"))).spec;
  const version = resolveVersion(cluster.spec, engine);
  return {
    namespace: "default",
    name: "orders",
    uid: cluster.metadata.uid ?? "",
    intent: cluster.spec,
    engineName: "postgres",
    engine,
    engineVersion: version?.version ?? "",
    engineImage: version?.image ?? "",
    told: {},
    settings: { agentImage: "quorate/agent:dev" },
  };
}

/** What the API server says to a call that it must refuse. */
async function refusal(call: Promise<unknown>): Promise<string> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  const status = apiStatusOf(error);
  if (status === undefined) throw new Error("the API server accepted it", { cause: error });
  return status.message;
}

const members = ["orders-0", "orders-1", "orders-2"];
const memberAccount = nameOf.serviceAccount("orders");

/** Everything that is applied for a cluster, in an order that works. */
function children(): Manifest[] {
  return [
    buildEngineFiles(context),
    ...buildAccess(context, members),
    ...buildServices(context),
    buildNetworkPolicy(context),
    buildBudget(context, members.length),
    ...members.flatMap((member) => [buildFreshVolume(context, member), buildStatefulSet(context, member)]),
  ];
}

describe("the operator's rights", () => {
  test("are enough to build a cluster, and to take away what it may lose", async () => {
    for (const manifest of children()) await operator.apply(manifest, { fieldManager: "quorate", force: true });
    const once = [buildLease(context), ...buildEndpointSlices(context)];
    for (const manifest of once) await operator.create(manifest);
    const secret = { apiVersion: "v1", kind: "Secret", metadata: { name: "orders-peer", namespace: "default" } };
    await operator.apply(secret, { fieldManager: "quorate" });
    const isSpare = ({ kind }: { readonly kind: string }) =>
      ["PersistentVolumeClaim", "StatefulSet", "Secret"].includes(kind);
    for (const manifest of [...children(), ...once, secret]) {
      const removal = operator.delete(
        { ...manifest, namespace: "default", name: manifest.metadata.name },
        { dryRun: true },
      );
      if (isSpare(manifest)) expect(await removal).not.toBe("Absent");
      else await expect(removal).rejects.toSatisfy(isForbidden); // they go with the ClusterSpec, by the garbage collector
    }
  });

  test("report status, and change nothing that users wrote", async () => {
    const ref = { ...minimalCluster(), namespace: "default", name: "orders" };
    await operator.mergePatch(ref, { status: { epoch: 1 } }, { subresource: "status" });
    await expect(operator.mergePatch(ref, { spec: { members: 1 } })).rejects.toSatisfy(isForbidden);
    await expect(operator.delete(ref)).rejects.toSatisfy(isForbidden);
    const other = { ...minimalCluster(), metadata: { name: "other", namespace: "default" } };
    await expect(operator.create(other)).rejects.toSatisfy(isForbidden);
    const label = { metadata: { labels: { [LABEL_SHARD_OF]: "orders" } } };
    await expect(operator.mergePatch(ref, label)).rejects.toSatisfy(isForbidden);
    const shard = { ...minimalCluster(), metadata: { ...label.metadata, name: "orders-s0", namespace: "default" } };
    await operator.create(shard, { dryRun: true });
  });

  test.each([
    ["list", "secrets"],
    ["watch", "secrets"],
    ["create", "pods/exec"],
    ["create", "pods"],
    ["get", "pods/log"],
    ["create", "clusterrolebindings.rbac.authorization.k8s.io"],
    ["escalate", "roles.rbac.authorization.k8s.io"],
    ["bind", "roles.rbac.authorization.k8s.io"],
    ["impersonate", "serviceaccounts"],
    ["update", "nodes"],
    ["delete", "namespaces"],
    ["delete", "leases.coordination.k8s.io"],
    ["patch", "endpointslices.discovery.k8s.io"],
    ["*", "*"],
  ])("do not include %s %s", async (verb, resource) => {
    const account = "--as=system:serviceaccount:quorate-system:quorate-operator";
    // TYPE/SUBRESOURCE would be read as TYPE/NAME.
    const [type = "", subresource = ""] = resource.split("/");
    const question = [verb, type, `--subresource=${subresource}`, "--all-namespaces"];
    // kubectl ends with 1 when the answer is no.
    await expect(plane.kubectl("auth", "can-i", ...question, account)).rejects.toMatchObject({
      stdout: "no\n",
    });
  });

  test("cannot be passed on beyond what it has itself", async () => {
    const role = {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "Role",
      metadata: { name: "greedy", namespace: "default" },
      rules: [{ apiGroups: [""], resources: ["secrets"], verbs: ["list"] }],
    };
    expect(await refusal(operator.create(role))).toContain("attempting to grant RBAC permissions not currently held");
  });
});

describe("a member's rights", () => {
  test("end at its own cluster", async () => {
    const member = await accountClient("default", memberAccount);
    const lease = { apiVersion: "coordination.k8s.io/v1", kind: "Lease", namespace: "default" };
    expect(await member.get({ ...lease, name: "orders" })).toBeDefined();
    await expect(member.get({ ...lease, name: "carts" })).rejects.toSatisfy(isForbidden);
    await expect(member.create(buildLease({ ...context, name: "carts" }))).rejects.toSatisfy(isForbidden);
    const secret = { apiVersion: "v1", kind: "Secret", namespace: "default", name: "orders-peer" };
    await expect(member.get(secret)).rejects.toSatisfy(isForbidden);
  });
});

describe("the epoch of a Lease", () => {
  type Lease = KubeObject & { readonly spec: { readonly holderIdentity?: string; readonly leaseTransitions?: number } };
  const ref = { apiVersion: "coordination.k8s.io/v1", kind: "Lease", namespace: "default", name: "guarded" };

  beforeAll(async () => {
    const lease = buildLease({ ...context, name: "guarded" });
    await admin.create({ ...lease, spec: { holderIdentity: "a", leaseTransitions: 7 } });
    const lower = () => admin.mergePatch(ref, { spec: { leaseTransitions: 6 } }, { dryRun: true });
    // Policies are in force a moment after they were created.
    await vi.waitFor(() => refusal(lower()), { timeout: 20_000, interval: 100 });
  });

  test.each([
    {
      why: "does not go back",
      patch: { spec: { leaseTransitions: 6 } },
      says: "spec.leaseTransitions must not go back from 7 to 6: it is the epoch of the cluster; read the Lease again and take it with a higher one",
    },
    {
      why: "does not vanish",
      patch: { spec: { leaseTransitions: null } },
      says: "spec.leaseTransitions must not go back from 7 to 0: it is the epoch of the cluster; read the Lease again and take it with a higher one",
    },
    {
      why: "is a new one for a new holder",
      patch: { spec: { holderIdentity: "b" } },
      says: "spec.holderIdentity must not change within epoch 7: take the Lease with a higher spec.leaseTransitions",
    },
    {
      why: "stays guarded",
      patch: { metadata: { labels: { "app.kubernetes.io/managed-by": null } } },
      says: "metadata.labels must keep app.kubernetes.io/managed-by: quorate, because the epoch is guarded by it",
    },
  ])("$why", async ({ patch, says }) => {
    expect(await refusal(admin.mergePatch(ref, patch, { dryRun: true }))).toBe(
      `leases.coordination.k8s.io "guarded" is forbidden: ValidatingAdmissionPolicy 'quorate-lease-epoch' with binding 'quorate-lease-epoch' denied request: ${says}`,
    );
  });

  test.each([
    { why: "renewal", spec: { renewTime: "2026-11-24T13:00:00.000000Z" } },
    { why: "release", spec: { holderIdentity: "" } },
    { why: "acquisition", spec: { holderIdentity: "b", leaseTransitions: 8 } },
    { why: "acquisition anew by the same holder", spec: { leaseTransitions: 9 } },
  ])("lets pass: $why", async ({ spec }) => {
    expect(await admin.mergePatch<Lease>(ref, { spec }, { dryRun: true })).toMatchObject({ spec });
  });

  test("is nobody else's business", async () => {
    const other: Lease = {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: { name: "others", namespace: "default" },
      spec: { holderIdentity: "a", leaseTransitions: 7 },
    };
    await admin.create(other);
    const changed = await admin.mergePatch<Lease>({ ...ref, name: "others" }, { spec: { leaseTransitions: 1 } });
    expect(changed.spec.leaseTransitions).toBe(1);
  });
});

describe("the epoch of a route", () => {
  const ref = { apiVersion: "discovery.k8s.io/v1", kind: "EndpointSlice", namespace: "default", name: "guarded-rw" };
  const withEpoch = (epoch: string | null) => ({ metadata: { annotations: { [ANNOTATION_EPOCH]: epoch } } });

  beforeAll(async () => {
    const [slice] = buildEndpointSlices({ ...context, name: "guarded" });
    if (slice === undefined) throw new Error("a cluster has routes");
    await admin.create(slice);
    await admin.mergePatch(ref, withEpoch("7"));
    const lower = () => admin.mergePatch(ref, withEpoch("6"), { dryRun: true });
    await vi.waitFor(() => refusal(lower()), { timeout: 20_000, interval: 100 });
  });

  test.each([
    { why: "does not go back", patch: withEpoch("6"), to: "6" },
    { why: "is compared as a number", patch: withEpoch("06"), to: "06" },
    { why: "does not vanish", patch: withEpoch(null), to: "0" },
    { why: "is a number", patch: withEpoch("eight"), to: "eight" },
  ])("$why", async ({ patch, to }) => {
    expect(await refusal(admin.mergePatch(ref, patch, { dryRun: true }))).toBe(
      `endpointslices.discovery.k8s.io "guarded-rw" is forbidden: ValidatingAdmissionPolicy 'quorate-route-epoch' with binding 'quorate-route-epoch' denied request: annotation quorate.io/epoch must not go back from 7 to ${to}: only the leader of the newest epoch writes a route; read the Lease again`,
    );
  });

  test("stays guarded", async () => {
    const patch = { metadata: { labels: { "app.kubernetes.io/managed-by": null } } };
    expect(await refusal(admin.mergePatch(ref, patch, { dryRun: true }))).toContain(
      "metadata.labels must keep app.kubernetes.io/managed-by: quorate",
    );
  });

  test.each(["7", "8", "10"])("lets epoch %s pass", async (epoch) => {
    expect(await admin.mergePatch(ref, withEpoch(epoch), { dryRun: true })).toMatchObject(withEpoch(epoch));
  });
});

test("nobody signs for another who orders that writes may be lost", async () => {
  const order = (approvedBy: string) => ({
    apiVersion: API_VERSION,
    kind: "ClusterOperation",
    metadata: { generateName: "forced-", namespace: "default" },
    spec: {
      clusterName: "orders",
      type: "ForcePromote",
      member: "orders-2",
      forcePromotion: {
        lostMembers: ["orders-0"],
        epoch: 1,
        acceptedLoss: "orders since 10:42",
        approvedBy,
        reason: "room B burnt down",
      },
    },
  });
  const refused = await vi.waitFor(() => refusal(admin.create(order("somebody"), { dryRun: true })), {
    timeout: 20_000,
    interval: 100,
  });
  expect(refused).toMatch(/spec.forcePromotion.approvedBy must be admin, who creates this: nobody signs for another$/);
  expect(await admin.create(order("admin"), { dryRun: true })).toBeDefined();
});

describe("warnings", () => {
  /** What kubectl prints to standard error for a cluster that is not stored. */
  async function warnings(memberCount: number): Promise<string> {
    const file = join(plane.folder, "warned.json");
    await writeFile(file, JSON.stringify(minimalCluster({ members: memberCount }, "warned")));
    const args = ["--kubeconfig", plane.kubeconfig, "create", "--dry-run=server", "-f", file];
    return (await run(binary("kubectl"), args)).stderr;
  }

  test("an even number of members is accepted with a warning, an odd one without", async () => {
    await vi.waitFor(
      async () =>
        expect(await warnings(4)).toContain(
          "spec.members 4 survives no more lost members than 3 would: prefer an odd number",
        ),
      { timeout: 20_000, interval: 200 },
    );
    expect(await warnings(3)).toBe("");
  });
});

describe("API priority and fairness", () => {
  /** Name of the FlowSchema that a request of `account` ends up in. */
  async function flowSchemaOf(account: string, resource: string): Promise<string | undefined> {
    const path = `/apis/${resource}`;
    const args = ["--kubeconfig", plane.kubeconfig, `--as=${account}`, "get", "--raw", path, "-v=8"];
    // Whether the account may see it does not matter; the header comes with every answer.
    const { stderr } = await run(binary("kubectl"), args).catch((error: { stderr: string }) => error);
    const uid = /X-Kubernetes-Pf-Flowschema-Uid:\s*\[?"?([0-9a-f-]+)/i.exec(stderr)?.[1];
    const schemas = await admin.list({ apiVersion: "flowcontrol.apiserver.k8s.io/v1", kind: "FlowSchema" });
    return schemas.items.find(({ metadata }: Stored<KubeObject>) => metadata.uid === uid)?.metadata.name;
  }

  const orderLease = "coordination.k8s.io/v1/namespaces/default/leases/orders";
  const orderSlice = "discovery.k8s.io/v1/namespaces/default/endpointslices/orders-rw";
  const member = "system:serviceaccount:default:orders-member";

  test.each([
    { account: member, resource: orderLease, schema: "quorate-leadership" },
    { account: member, resource: orderSlice, schema: "quorate-leadership" },
    { account: member, resource: "apps/v1/namespaces/default/statefulsets/orders-0", schema: "service-accounts" },
    { account: "system:serviceaccount:kube-system:x", resource: orderLease, schema: "system-leader-election" },
  ])("$account at $resource is in $schema", async ({ account, resource, schema }) => {
    await vi.waitFor(async () => expect(await flowSchemaOf(account, resource)).toBe(schema), {
      timeout: 20_000,
      interval: 200,
    });
  });
});

test("the operator's pod is allowed where pod security is restricted", async () => {
  const deployment = await admin.get<
    KubeObject & { readonly spec: { readonly template: { readonly metadata: object; readonly spec: object } } }
  >({ apiVersion: "apps/v1", kind: "Deployment", namespace: "quorate-system", name: "quorate-operator" });
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    ...deployment?.spec.template,
    metadata: { name: "operator", namespace: "quorate-system" },
  };
  expect(await admin.create(pod, { dryRun: true })).toBeDefined();
});
