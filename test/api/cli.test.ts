// kubectl quorate as people run it: the program itself, against a real API server with the operator on it.
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { load } from "js-yaml";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ANNOTATION_LEADER, ANNOTATION_SYNC, API_VERSION, nameOf } from "../../src/api/names.ts";
import type { KubeObject } from "../../src/kube/object.ts";
import { VERSION } from "../../src/version.ts";
import { minimalCluster } from "./crd-cases.ts";
import { runMember as runMemberAt } from "./fake-members.ts";
import { startKubelet } from "./fake-kubelet.ts";
import {
  admin,
  eventually,
  intentOf,
  NAMESPACE,
  plane,
  read,
  runMember,
  runningCluster,
  statusOf,
} from "./operator-world.ts";
import { type PluginResult, runPlugin } from "./plugin.ts";

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quorate-cli-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** Runs the program as administrator, or by another kubeconfig. */
function quorate(args: readonly string[], kubeconfig = plane.kubeconfig): Promise<PluginResult> {
  return runPlugin(args, kubeconfig, folder);
}

async function file(object: object): Promise<string> {
  const path = join(folder, "edited.json");
  await writeFile(path, JSON.stringify(object));
  return path;
}

/** The cluster as `runningCluster` makes it, with `spec` merged over it. */
function edited(name: string, spec: object): object {
  return minimalCluster({ resources: { requests: { memory: "1Gi" } }, ...spec }, name);
}

test("the plugin says of which version it is", async () => {
  expect(await quorate(["--version"])).toEqual({ code: 0, out: `${VERSION}\n`, err: "" });
});

describe("status", () => {
  test("draws a tree, and prints the object on demand", async () => {
    await runningCluster("drawn");
    const { code, out } = await quorate(["status", "drawn"]);
    expect(code).toBe(0);
    expect(out.split("\n").slice(0, 4)).toEqual([
      "drawn · postgres · ActivePassive · Quorum/Standard · 3/3 ready · epoch 1",
      expect.stringMatching(/^├─ ★ drawn-0 Leader {3}Running {2}[0-9a-f]+$/),
      expect.stringMatching(/^├─ ● drawn-1 Follower Running {2}[0-9a-f]+ lag 0$/),
      expect.stringMatching(/^└─ ● drawn-2 Follower Running {2}[0-9a-f]+ lag 0$/),
    ]);
    const yaml = load((await quorate(["status", "drawn", "-o", "yaml"])).out);
    expect(yaml).toMatchObject({ kind: "ClusterSpec", metadata: { name: "drawn" }, status: { leader: "drawn-0" } });
    const json: unknown = JSON.parse((await quorate(["status", "-o", "json"])).out);
    expect(json).toMatchObject({ kind: "ClusterSpecList", items: [expect.objectContaining({ kind: "ClusterSpec" })] });
  });

  test("of a cluster that is not there ends with 1 and says so", async () => {
    const { code, err } = await quorate(["status", "nobody"]);
    expect({ code, err }).toEqual({ code: 1, err: "there is no ClusterSpec nobody in namespace default\n" });
  });

  test("misspelt commands and options end with 1 and a suggestion", async () => {
    const { code, err } = await quorate(["statsu"]);
    expect(code).toBe(1);
    expect(err).toContain("Did you mean status?");
  });
});

describe("plan", () => {
  test("foretells what then happens, and changes nothing by itself", async () => {
    await runningCluster("planned");
    const path = await file(edited("planned", { parameters: { shared_buffers: "64MB" } }));
    const before = await read(API_VERSION, "ClusterSpec", "planned");
    const { code, out } = await quorate(["plan", "-f", path]);
    expect(code).toBe(0);
    expect(out).toMatch(/1\. replace the pod of planned-2/);
    expect(out).toMatch(/2\. replace the pod of planned-1/);
    expect(out).toMatch(/3\. hand over planned-0 → planned-1/);
    expect(out).toMatch(/4\. replace the pod of planned-0/);
    expect(out).toContain("writes wait: up to 1 s, for a hand-over");
    const after = await read(API_VERSION, "ClusterSpec", "planned");
    expect(after.metadata.resourceVersion).toBe(before.metadata.resourceVersion);

    await plane.apply(await readFile(path, "utf8"));
    await eventually(async () => expect(await admin.get(podRef("planned-2"))).toBeUndefined());
    expect(await admin.get(podRef("planned-1"))).toBeDefined();
  });

  test("of a spec as it is says that nothing would change", async () => {
    await runningCluster("same");
    const { code, out } = await quorate(["plan", "-f", await file(edited("same", {}))]);
    expect({ code, out }).toEqual({ code: 0, out: "✓ same: nothing would change\n" });
  });

  test("of what the API server refuses ends with 1 and its words", async () => {
    await runningCluster("refused");
    const { code, err } = await quorate([
      "plan",
      "-f",
      await file(edited("refused", { storage: { data: { size: "1Gi" } } })),
    ]);
    expect(code).toBe(1);
    expect(err).toContain("size cannot shrink");
  });

  test("of what a guard would hold back ends with 2 and the way past it", async () => {
    await runningCluster("held");
    const { code, out } = await quorate([
      "plan",
      "-f",
      await file(edited("held", { engine: { name: "postgres", version: "9" } })),
    ]);
    expect(code).toBe(2);
    expect(out).toContain("held back by VersionKnown");
    expect(out).toContain("to let it pass: kubectl patch");
  });

  test("of a new cluster says what comes into being", async () => {
    const { code, out } = await quorate(["plan", "-f", await file(minimalCluster({}, "unborn"))]);
    expect(code).toBe(0);
    expect(out).toContain("add unborn-0");
    expect(out).toContain("apply Service/unborn-rw");
  });
});

describe("why", () => {
  test("says that all is well, or which guard holds what back and how to let it pass", async () => {
    await runningCluster("well");
    expect((await quorate(["why", "well"])).out).not.toContain("Held back");
    await admin.mergePatch(clusterRef("well"), { spec: { paused: true } });
    await eventually(async () => expect((await statusOf("well")).blocked?.[0]?.guard).toBe("NotPaused"));
    const { out } = await quorate(["why", "well"]);
    expect(out).toContain("Held back by NotPaused (well)");
    expect(out).toContain("goes on when `spec.paused` is false");
    expect(out).toContain("to let it pass: kubectl patch -n default clusterspec/well");
    expect(out).toContain("LeaderChanged ClusterSpec well: well-0 leads now");
  });
});

describe("operations", () => {
  test("a switchover is followed to its end", async () => {
    await runningCluster("moved");
    const asked = quorate(["switchover", "moved", "--to", "moved-2"]);
    const { id } = await eventually(async () => {
      const { switchover } = await intentOf("moved");
      if (switchover === null) throw new Error("nothing was asked yet");
      return switchover;
    });
    await runMember("moved-2", { role: "leader", epoch: 2 });
    await runMember("moved-0", { epoch: 2, switchover: { id, result: "Done", message: "moved-2 leads" } });
    const { code, out } = await asked;
    expect(code).toBe(0);
    expect(out).toMatch(/Done moved-2 leads/);
  });

  test("one that is refused ends with 2 and the reason", async () => {
    await runningCluster("still");
    const { code, out } = await quorate(["rollout", "promote", "still"]);
    expect(code).toBe(2);
    expect(out).toContain("Refused no revision is being tried");
    const restart = await quorate(["operation", "restart", "still", "--member", "still-7"]);
    expect(restart.code).toBe(2);
    expect(restart.out).toContain("Refused still-7 is no member");
  });

  test("for a cluster that is not there is never created", async () => {
    const { code, err } = await quorate(["switchover", "nobody"]);
    expect({ code, err }).toEqual({ code: 1, err: "there is no ClusterSpec nobody in namespace default\n" });
  });

  test("rollout status tells how far it is", async () => {
    await runningCluster("rolled");
    const { out } = await quorate(["rollout", "status", "rolled"]);
    expect(out).toMatch(/^(█{24} 3\/3 Complete revision [0-9a-f]+|rolled was never rolled)\n$/);
  });
});

test.each(["ActivePassive", "ActiveActive", "Consensus", "Stateless"])(
  "the draft of an Engine of topology %s is taken",
  async (topology) => {
    const flags = [
      "--image",
      "mydb:17",
      "--engine-version",
      "17",
      "--port",
      "7000",
      "--user",
      "1000",
      "--group",
      "1000",
    ];
    const draft = join(folder, `${topology}.yaml`);
    const args = [
      "engine",
      "new",
      "mydb",
      "--topology",
      topology,
      ...flags,
      "--start",
      "mydb --foreground",
      "-o",
      draft,
    ];
    expect(await quorate(args)).toEqual({ code: 0, out: "", err: "" });
    expect(await plane.kubectl("create", "--dry-run=server", "-f", draft)).toContain("mydb created");
    expect((await quorate(args)).err).toContain("EEXIST"); // what was written there since is not lost
    expect((await quorate(["engine", "new", "mydb", "--topology", topology, "--port", "0"])).err).toContain(
      "give --image, --engine-version, --user, --group, --start",
    );
    const refused = await quorate([...args.slice(0, -2), "--port", "0"]);
    expect([refused.code, refused.err]).toEqual([1, expect.stringContaining("spec.port")]);
  },
);

describe("preflight and diagnose", () => {
  test("the checklists judge what is there, and a failed check ends with 2", async () => {
    await runningCluster("checked");
    const { code, out } = await quorate(["preflight", "checked"]);
    expect(code).toBe(2); // there is no operator's Deployment here, and no node
    expect(out).toContain("✗ An operator runs [operator-runs]");
    expect(out).toContain("✗ Every member has a node of its own [enough-nodes]: 0 usable nodes for 3 members");
    expect(out).toContain("✓ A quorum of the wrong size [quorum-size]: 3 members, Quorum");
    expect(out).toContain("✓ Health that measures the processor instead of the application [wrong-health]: all 3 pods");
    expect(out).toContain("! A failover that was never tried [untested-failover]");
    const findings = JSON.parse((await quorate(["preflight", "checked", "-o", "json"])).out) as {
      readonly mistakes: unknown[];
    };
    expect(findings.mistakes).toHaveLength(20);
  });

  test("a spec that was not applied yet is judged as well", async () => {
    const { out } = await quorate(["preflight", "-f", await file(minimalCluster({ members: 2 }, "unborn"))]);
    expect(out).toContain("✗ A quorum of the wrong size [quorum-size]: 2 members: losing one stops writes");
    expect(out).toContain(
      "? Updates without readiness or disruption budget [updates-without-budget]: unborn has no pods yet",
    );
  });

  test("who may read little is told what stays unknown", async () => {
    await runningCluster("partly");
    await plane.apply(viewer());
    const kubeconfig = await plane.serviceAccount(NAMESPACE, "viewer");
    const { out, err } = await quorate(["preflight", "partly"], kubeconfig);
    expect(err).toBe("");
    expect(out).toContain("? An operator runs [operator-runs]: Deployments of the operator's namespace cannot be read");
  });

  test("the bundle has what helps, and no secret", async () => {
    await runningCluster("helped");
    const secret = await eventually(() => read("v1", "Secret", nameOf.credentialsSecret("helped")));
    const passwords = Object.values(secret.data ?? {}).flatMap((text) => [
      text,
      Buffer.from(text, "base64").toString(),
    ]);
    expect(passwords.length).toBeGreaterThan(0);
    const { code, out } = await quorate(["diagnose", "helped", "--directory", "bundle"]);
    expect(code).toBe(0);
    expect(out).toContain("✓ There is a leader [serves-writes]: helped-0");
    expect(out).toContain("written to bundle/");
    const names = await readdir(join(folder, "bundle"), { recursive: true });
    expect(names).toEqual(
      expect.arrayContaining(["checklist.txt", "why.txt", "objects/ClusterSpec.yaml", "objects/Pod.yaml"]),
    );
    const texts = await Promise.all(
      names.filter((name) => /\.\w+$/.test(name)).map((name) => readFile(join(folder, "bundle", name), "utf8")),
    );
    expect(texts.join("")).toContain("name: helped-0-0");
    for (const text of texts) for (const password of passwords) expect(text).not.toContain(password);
  });
});

describe("logs", () => {
  test("are merged by time, each line with its member", async () => {
    const logs = new Map([
      ["told-0-0", "2030-01-01T00:00:01.5Z first\n2030-01-01T00:00:03.000000001Z third\n"],
      ["told-1-0", "2030-01-01T00:00:02Z second\n2030-01-01T00:00:03.000000002Z fourth"],
    ]);
    const kubelet = await startKubelet(plane, admin, "log-node", logs);
    try {
      await admin.create(edited("told", { members: 2 }) as KubeObject);
      await eventually(async () => expect((await intentOf("told")).bootstrapMember).toBe("told-0"));
      for (const member of ["told-0", "told-1"]) {
        await eventually(() => runMemberAt(admin, { namespace: NAMESPACE, member, node: "log-node" }, {}));
      }
      const { out, err } = await quorate(["logs", "told"]);
      expect(err).toBe("");
      expect(out).toBe("told-0 first\ntold-1 second\ntold-0 third\ntold-1 fourth\n");
      expect((await quorate(["logs", "told", "--member", "told-1"])).out).toBe("told-1 second\ntold-1 fourth\n");
    } finally {
      kubelet.close();
      await admin.delete({ apiVersion: "v1", kind: "Node", name: "log-node" });
    }
  });

  test("of a member that is not there end with 1", async () => {
    await runningCluster("silent");
    const { code, err } = await quorate(["logs", "silent", "--member", "silent-9"]);
    expect({ code, err }).toEqual({ code: 1, err: "silent-9 has no pod: members are silent-0, silent-1, silent-2\n" });
  });
});

describe("wait", () => {
  test("ends with 0 once the cluster is ready for what was applied, and with 2 when that is in vain", async () => {
    await runningCluster("awaited");
    const ready = await quorate(["wait", "awaited"]);
    expect(ready).toMatchObject({ code: 0, out: expect.stringMatching(/^Ready awaited-0 leads and takes writes/) });
    await plane.apply(JSON.stringify(edited("awaited", { engine: { name: "postgres", version: "9" } })));
    const stalled = await quorate(["wait", "awaited", "--timeout", "30"]);
    expect(stalled.code).toBe(2);
    expect(stalled.out).toMatch(/^Failed VersionKnown: Engine postgres has no version 9\./m);
    expect((await quorate(["wait", "nobody"])).code).toBe(1);
  });
});

describe("force-promote", () => {
  test("says what would be lost; with a consent it asks in the name of whoever calls it", async () => {
    await runningCluster("forced");
    const sync = JSON.stringify({ epoch: 1, names: ["forced-1"] });
    const annotations = { [ANNOTATION_SYNC]: sync, [ANNOTATION_LEADER]: "forced-0" };
    const lease = {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      namespace: NAMESPACE,
      name: nameOf.lease("forced"),
    };
    await admin.mergePatch(lease, { metadata: { annotations } });
    const asked = ["force-promote", "forced", "-m", "forced-2", "--lost", "forced-0", "forced-1"];
    const told = await quorate(asked);
    expect(told.code).toBe(2);
    expect(told.out).toBe(
      `forced-0 led last, epoch 1; writes were acknowledged once forced-1 had confirmed them.
  forced-0: given up; has, or may have, what was acknowledged; Running
  forced-1: given up; has, or may have, what was acknowledged; Running, lag 0
  forced-2: shall lead; was not waited for; Running, lag 0
What only forced-0, forced-1 had is lost for good.
A member that is given up and still runs, cut off, goes on writing: switch its node off first.
Nothing was changed. To go on, give --reason and --accept-loss, in your words.
`,
    );
    const done = await quorate([...asked, "--reason", "room B burnt down", "--accept-loss", "orders since 10:42"]);
    expect(done.code).toBe(2);
    expect(done.out).toContain("Refused forced-0 is not lost: its pod forced-0-0 is ready");
    const { items } = await admin.list<KubeObject & { readonly spec: object }>({
      apiVersion: API_VERSION,
      kind: "ClusterOperation",
      namespace: NAMESPACE,
    });
    expect(items.map(({ spec }) => spec)).toContainEqual(
      expect.objectContaining({
        member: "forced-2",
        forcePromotion: {
          lostMembers: ["forced-0", "forced-1"],
          epoch: 1,
          acceptedLoss: "orders since 10:42",
          approvedBy: "admin",
          reason: "room B burnt down",
        },
      }),
    );
  });
});

describe("completion", () => {
  test("offers commands, choices, options and the names of clusters", async () => {
    await runningCluster("offered");
    expect((await quorate(["__complete", "swi"])).out).toBe(
      "switchover\tMove the leader, as planned: nothing acknowledged is lost, writes wait for less than a second.\n:4\n",
    );
    expect((await quorate(["__complete", "operation", "re"])).out).toBe("restart\nrebuild\nrecover\nrepair\n:4\n");
    expect((await quorate(["__complete", "--", "switchover", "--t"])).out).toBe("--to\n:4\n");
    expect((await quorate(["__complete", "why", "off"])).out).toBe("offered\n:4\n");
  });
});

function podRef(member: string) {
  return { apiVersion: "v1", kind: "Pod", namespace: NAMESPACE, name: nameOf.pod(member) };
}

function clusterRef(name: string) {
  return { apiVersion: API_VERSION, kind: "ClusterSpec", namespace: NAMESPACE, name };
}

/** Somebody who may read what is theirs, and nothing of the cluster's. */
function viewer(): string {
  const rules = [
    { apiGroups: ["quorate.io"], resources: ["clusterspecs", "clusteroperations"], verbs: ["get", "list"] },
    { apiGroups: [""], resources: ["pods"], verbs: ["get", "list"] },
  ];
  const rbac = "rbac.authorization.k8s.io";
  const metadata = { name: "viewer", namespace: NAMESPACE };
  const subjects = [{ kind: "ServiceAccount", name: "viewer", namespace: NAMESPACE }];
  const items = [
    { apiVersion: `${rbac}/v1`, kind: "Role", metadata, rules },
    {
      apiVersion: `${rbac}/v1`,
      kind: "RoleBinding",
      metadata,
      subjects,
      roleRef: { apiGroup: rbac, kind: "Role", name: "viewer" },
    },
  ];
  return JSON.stringify({ apiVersion: "v1", kind: "List", items });
}
