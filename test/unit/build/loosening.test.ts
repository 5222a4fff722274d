// Pods stay restricted whatever a ClusterSpec says of them: what would loosen them cannot be said.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { objectSchema } from "../../../hack/generate/crd.ts";
import { KINDS } from "../../../hack/generate/kinds.ts";
import type { StructuralSchema } from "../../../hack/generate/structural-schema.ts";
import { ClusterIntent } from "../../../src/api/cluster-spec.ts";
import { EngineSpec } from "../../../src/api/engine.ts";
import { buildPodTemplate } from "../../../src/build/pod-template.ts";
import { LOOSENING } from "../../api/loosening.ts";
import { httpEngine } from "../plan/fleet-world.ts";
import { contextOf, engine } from "../plan/fixture.ts";

const schema = KINDS.filter(({ kind }) => kind === "ClusterSpec").map(objectSchema)[0]?.properties?.["spec"];

/** The part of the schema at a path; undefined when nothing can be said there. */
function at(part: StructuralSchema | undefined, [first, ...rest]: readonly string[]): StructuralSchema | undefined {
  if (first === undefined || part === undefined) return part;
  return at(first === "0" ? part.items : part.properties?.[first], rest);
}

test.each(LOOSENING.map((path) => [path.join("."), path] as const))("spec.%s cannot be said", (_name, path) => {
  expect(at(schema, path.slice(0, -1)) ?? path).toBeDefined();
  expect(at(schema, path)).toBeUndefined();
});

test("the schema is read to its leaves", () => {
  expect(at(schema, ["pods", "env", "0", "value"])).toMatchObject({ type: "string" });
});

interface Security {
  readonly runAsNonRoot?: boolean;
  readonly runAsUser?: number;
  readonly seccompProfile?: { readonly type: string };
  readonly allowPrivilegeEscalation?: boolean;
  readonly readOnlyRootFilesystem?: boolean;
  readonly capabilities?: { readonly drop?: readonly string[]; readonly add?: readonly string[] };
}

interface Pod {
  readonly securityContext: Security;
  readonly volumes: readonly object[];
  readonly containers: readonly { readonly securityContext: Security; readonly ports?: readonly object[] }[];
  readonly initContainers?: readonly { readonly securityContext: Security }[];
}

/** Kinds of volumes that the restricted Pod Security Standard allows. */
const ALLOWED_VOLUMES = [
  "name",
  "configMap",
  "emptyDir",
  "persistentVolumeClaim",
  "projected",
  "secret",
  "downwardAPI",
];
const HOST = ["hostNetwork", "hostPID", "hostIPC", "hostUsers", "shareProcessNamespace"];

/** What the restricted Pod Security Standard, and ours on top of it, has against a pod. */
function objections(spec: unknown): readonly string[] {
  const pod = spec as Pod;
  const containers = [...(pod.initContainers ?? []), ...pod.containers];
  return [
    ...HOST.filter((field) => field in (pod as object)),
    ...pod.volumes.flatMap((volume) => Object.keys(volume).filter((kind) => !ALLOWED_VOLUMES.includes(kind))),
    ...(pod.securityContext.runAsNonRoot === true && pod.securityContext.runAsUser !== 0 ? [] : ["root"]),
    ...(pod.securityContext.seccompProfile?.type === "RuntimeDefault" ? [] : ["seccomp"]),
    ...("sysctls" in pod.securityContext ? ["sysctls"] : []),
    ...containers.flatMap(({ securityContext }) => [
      ...(securityContext.allowPrivilegeEscalation === false ? [] : ["escalation"]),
      ...(securityContext.readOnlyRootFilesystem === true ? [] : ["root file system"]),
      ...(JSON.stringify(securityContext.capabilities) === '{"drop":["ALL"]}' ? [] : ["capabilities"]),
      ...("privileged" in securityContext || "procMount" in securityContext ? ["privileged"] : []),
    ]),
    ...pod.containers.flatMap(({ ports = [] }) => (ports.some((port) => "hostPort" in port) ? ["host port"] : [])),
  ];
}

const word = fc.stringMatching(/^[a-z]{1,8}$/);
const words = fc.dictionary(word, word, { maxKeys: 3 });
const podOptions = fc.record(
  {
    labels: words,
    annotations: words,
    nodeSelector: words,
    tolerations: fc.array(fc.record({ key: word, operator: fc.constant("Exists" as const) }), { maxLength: 2 }),
    nodeRequirements: fc.constant([{ key: "disk", operator: "In" as const, values: ["ssd"] }]),
    imagePullSecrets: fc.constant([{ name: "registry" }]),
    env: fc.uniqueArray(fc.record({ name: word, value: fc.string({ maxLength: 9 }) }), {
      minLength: 1,
      maxLength: 3,
      selector: ({ name }) => name,
    }),
    priorityClassName: word,
    antiAffinity: fc.constantFrom("Required" as const, "Preferred" as const),
    topologyKey: word,
  },
  { requiredKeys: [] },
);

describe.each([
  ["members", engine, {}],
  ["instances of topology Stateless", EngineSpec.parse(httpEngine), { topology: "Stateless" }],
])("pods of %s", (_which, of, spec) => {
  test("stay restricted with any pod options", () => {
    fc.assert(
      fc.property(podOptions, (pods) => {
        const context = { ...contextOf({ ...spec, pods }), engine: of };
        expect(objections(buildPodTemplate(context, "orders-0").spec)).toEqual([]);
      }),
    );
  });

  test("would be objected to if a field got through", () => {
    const { spec: sound } = buildPodTemplate({ ...contextOf(spec), engine: of }, "orders-0");
    expect(objections({ ...sound, hostNetwork: true, securityContext: { runAsUser: 0 } })).toEqual([
      "hostNetwork",
      "root",
      "seccomp",
    ]);
  });
});

test("a block of pods that says more than it may says nothing more to quorate", () => {
  const pods = { hostNetwork: true, securityContext: { privileged: true }, volumes: [{ hostPath: { path: "/" } }] };
  expect(ClusterIntent.parse({ engine: { name: "example" }, pods }).pods).toEqual(contextOf().intent.pods);
});

test.each([0, -1])("an Engine cannot run as user %i", (user) => {
  const parsed = EngineSpec.safeParse({ ...engine, runAs: { user, group: 999 } });
  expect(parsed.error?.issues[0]?.path).toEqual(["runAs", "user"]);
});
