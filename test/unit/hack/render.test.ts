import { load } from "js-yaml";
import { expect, test } from "vitest";
import { render } from "../../../hack/generate/manifests/render.ts";
import {
  Block,
  Commented,
  MERGED_FIELD,
  NAMESPACE,
  Setting,
  type Tree,
  When,
} from "../../../hack/generate/manifests/tree.ts";
import { chartValues } from "../../../hack/generate/manifests/values.ts";

const defaults = chartValues(["postgres"]).parse({});
const plain = (tree: Tree, values = defaults) => render([{ tree }], { form: "plain", values });
const template = (tree: Tree) => render([{ tree }], { form: "template" });

const replicas = new Setting(".Values.replicas", (values) => values.replicas);
const labels = new Block(".Values.podLabels", (values) => values.podLabels);
const isWide = { expression: 'eq .Values.watch "AllNamespaces"', plain: () => true };
const isNarrow = { expression: 'eq .Values.watch "ReleaseNamespace"', plain: () => false };

test("values are filled in, or left to the chart", () => {
  expect(plain({ replicas, namespace: NAMESPACE })).toBe("replicas: 1\nnamespace: quorate-system\n");
  expect(template({ replicas, namespace: NAMESPACE })).toBe(
    "replicas: {{ .Values.replicas }}\nnamespace: {{ .Release.Namespace }}\n",
  );
});

test("a block is left out while its value is empty, and stands at the depth of its field", () => {
  const tree = { spec: { template: { labels } } };
  expect(plain(tree)).toBe("spec:\n  template: {}\n");
  expect(plain(tree, { ...defaults, podLabels: { team: "a" } })).toBe(
    "spec:\n  template:\n    labels:\n      team: a\n",
  );
  expect(template(tree)).toBe(
    "spec:\n  template:\n{{- with .Values.podLabels }}\n    labels: {{- toYaml . | nindent 6 }}\n{{- end }}\n",
  );
});

test("a merged block stands beside the other fields", () => {
  const tree = { labels: { own: "1", [MERGED_FIELD]: labels } };
  expect(load(plain(tree, { ...defaults, podLabels: { team: "a" } }))).toEqual({ labels: { own: "1", team: "a" } });
  expect(template(tree)).toBe(
    "labels:\n  own: '1'\n{{- with .Values.podLabels }}\n{{- toYaml . | nindent 2 }}\n{{- end }}\n",
  );
});

test("what depends on a condition is there or not; the chart decides later", () => {
  const tree = { a: new When(isWide, 1), b: new When(isNarrow, 2), list: [new When(isNarrow, { c: 3 })] };
  expect(plain(tree)).toBe("a: 1\nlist: []\n");
  expect(template(tree)).toContain('{{- if eq .Values.watch "ReleaseNamespace" }}\nb: 2\n{{- end }}\n');
});

test("objects that are not there leave no document", () => {
  const manifests = [{ tree: { kind: "A" } }, { tree: { kind: "B" }, condition: isNarrow }];
  expect(render(manifests, { form: "plain", values: defaults })).toBe("kind: A\n");
});

test("comments stand above what they are about", () => {
  const tree = { rules: [new Commented("\nWhy.", { verbs: ["get", "list"] })] };
  expect(plain(tree)).toBe("rules:\n\n  # Why.\n  - verbs: [get, list]\n");
});

test("text that the chart would take for a template is refused", () => {
  expect(() => plain({ message: "{{ .Values }}" })).toThrow("looks like a template");
});
