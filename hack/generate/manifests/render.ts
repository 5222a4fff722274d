// Tree → YAML text, plain or as a template of Helm.
import { dump } from "js-yaml";
import { Block, Commented, type Condition, type Manifest, MERGED_FIELD, Setting, type Tree, When } from "./tree.ts";
import type { ChartValues } from "./values.ts";

/** Where values come from: given now, or when the chart is installed. */
export type Target = { readonly form: "plain"; readonly values: ChartValues } | { readonly form: "template" };

/** The manifests that are there for `target`, as one YAML stream. Empty when there is none. */
export function render(manifests: readonly Manifest[], target: Target): string {
  return manifests
    .flatMap(({ comment, condition, tree }) => {
      const lines = [...(comment === undefined ? [] : commentLines(comment)), ...mapLines(tree, target)];
      return condition === undefined ? [lines] : [guarded(condition, lines, target)];
    })
    .filter((lines) => lines.length > 0)
    .map((lines) => `${lines.map(withIndent).join("\n")}\n`)
    .join("---\n");
}

/** A comment that begins with an empty line stands apart from what is before it. */
function commentLines(comment: string): string[] {
  return comment.split("\n").map((line, index) => (index === 0 && line === "" ? "" : `# ${line}`.trimEnd()));
}

function guarded(condition: Condition, lines: readonly string[], target: Target): string[] {
  if (target.form === "plain") return condition.plain(target.values) ? [...lines] : [];
  return [`{{- if ${condition.expression} }}`, ...lines, "{{- end }}"];
}

function indented(lines: readonly string[]): string[] {
  // Directives of a template stay at the margin: they take the white space before them away.
  return lines.map((line) => (line.startsWith("{{- ") || line === "" ? line : `  ${line}`));
}

function mapLines(tree: Tree, target: Target): string[] {
  if (!isMap(tree)) throw new TypeError("a manifest is a map");
  return Object.entries(tree).flatMap(([field, value]) => fieldLines(field, value, target));
}

function fieldLines(field: string, value: Tree, target: Target): string[] {
  const key = scalar(field);
  if (value instanceof Commented) return [...commentLines(value.comment), ...fieldLines(field, value.tree, target)];
  if (value instanceof When) return guarded(value.condition, fieldLines(field, value.tree, target), target);
  if (value instanceof Block) return blockLines(field, value, target);
  if (value instanceof Setting) return [`${key}: ${settingText(value, target)}`];
  if (Array.isArray(value)) {
    const line = value.every(isScalar) ? `${key}: ${scalar(value)}` : "";
    if (line !== "" && line.length <= MAX_LINE) return [line];
    const items = value.flatMap((item: Tree) => itemLines(item, target));
    return items.length === 0 ? [`${key}: []`] : [`${key}:`, ...indented(items)];
  }
  if (isMap(value)) {
    const lines = mapLines(value, target);
    return lines.length === 0 ? [`${key}: {}`] : [`${key}:`, ...indented(lines)];
  }
  return [`${key}: ${scalar(value)}`];
}

function itemLines(item: Tree, target: Target): string[] {
  if (item instanceof Commented) return [...commentLines(item.comment), ...itemLines(item.tree, target)];
  if (item instanceof When) return guarded(item.condition, itemLines(item.tree, target), target);
  if (item instanceof Setting) return [`- ${settingText(item, target)}`];
  if (!isMap(item)) return [`- ${scalar(item)}`];
  const [first = "", ...rest] = mapLines(item, target);
  if (first === "") return ["- {}"];
  if (/^(#|\{\{)/.test(first)) throw new TypeError("the first field of an item must be a plain one");
  return [`- ${first}`, ...indented(rest)];
}

const BLOCK = "{{- toYaml . | nindent @ }}";
const MERGED = "@merged";
const MAX_LINE = 100;

/** toYaml must be told how far to indent, which is known only once the field stands in its place. */
function withIndent(line: string): string {
  const depth = line.search(/\S/);
  if (line.trim() === MERGED) return BLOCK.replace("@", String(depth));
  return line.includes(BLOCK) ? line.replace("@", String(depth + 2)) : line;
}

function blockLines(field: string, block: Block, target: Target): string[] {
  const isMerged = field === MERGED_FIELD;
  if (target.form === "template") {
    return [`{{- with ${block.expression} }}`, isMerged ? MERGED : `${scalar(field)}: ${BLOCK}`, "{{- end }}"];
  }
  const value = block.plain(target.values);
  if (Object.keys(value).length === 0) return [];
  const lines = dump(value, { lineWidth: -1, noRefs: true }).trimEnd().split("\n");
  return isMerged ? lines : [`${scalar(field)}:`, ...indented(lines)];
}

function settingText(setting: Setting, target: Target): string {
  return target.form === "plain" ? scalar(setting.plain(target.values)) : `{{ ${setting.expression} }}`;
}

/** One line of YAML. @throws {TypeError} for text that the chart would take for a template. */
function scalar(value: unknown): string {
  if (typeof value === "string" && value.includes("{{")) throw new TypeError(`${value} looks like a template`);
  if (typeof value === "string" && value.includes("\n")) return JSON.stringify(value);
  return dump(value, { lineWidth: -1, flowLevel: 0 }).trimEnd();
}

function isScalar(tree: Tree): boolean {
  return typeof tree !== "object";
}

function isMap(tree: Tree): tree is { readonly [field: string]: Tree } {
  return (
    typeof tree === "object" &&
    !Array.isArray(tree) &&
    !(tree instanceof Setting || tree instanceof Block || tree instanceof When || tree instanceof Commented)
  );
}
