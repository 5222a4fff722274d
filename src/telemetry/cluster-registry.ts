/**
 * The operator's metrics: prom-client's, and families that have series of every cluster. The latter are written line by line when somebody
 * asks: as objects of prom-client those of a thousand clusters need tens of megabytes and half a second at every scrape.
 */
import { Registry } from "prom-client";

/** One series. `key` is `namespace/name` of its cluster; there is a value for each label of the family. */
export interface Row {
  readonly key: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A metric of clusters. */
export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge";
  /** Beside those that name the cluster. */
  readonly labels: readonly string[];
  /** What is known now, series after series; no two have the same labels. */
  readonly rows: () => Iterable<Row>;
}

const CHUNK_CHARS = 65_536;

/** A registry that knows families, too. */
export class ClusterRegistry extends Registry {
  readonly #families: Family[] = [];

  get families(): readonly Family[] {
    return this.#families;
  }

  /** Shows the family's rows to everybody who asks from now on. */
  show(family: Family): void {
    this.#families.push(family);
  }

  /** All of {@link chunks} as one text. */
  override async metrics(): Promise<string> {
    const chunks: string[] = [];
    for await (const chunk of this.chunks()) chunks.push(chunk);
    return chunks.join("");
  }

  /** The text of all metrics in Prometheus' format, in parts of some 64 kB. */
  async *chunks(): AsyncGenerator<string> {
    yield await super.metrics();
    let chunk = "";
    for (const { name, help, type, labels, rows } of this.#families) {
      chunk += `# HELP ${name} ${escaped(help, /[\\\n]/g)}\n# TYPE ${name} ${type}\n`;
      for (const row of rows()) {
        chunk += lineOf(name, labels, row);
        if (chunk.length < CHUNK_CHARS) continue;
        yield chunk;
        chunk = "";
      }
    }
    yield chunk;
  }
}

/** The labels, and fields of log lines, that name a cluster. @param key - `namespace/name`. */
export function clusterLabels(key: string): { readonly namespace: string; readonly cluster: string } {
  const [namespace = "", cluster = ""] = key.split("/");
  return { namespace, cluster };
}

function lineOf(name: string, names: readonly string[], { key, labels, value }: Row): string {
  const { namespace, cluster } = clusterLabels(key);
  let text = `namespace="${namespace}",cluster="${cluster}"`;
  for (const label of names) text += `,${label}="${escaped(labels[label] ?? "", /[\\\n"]/g)}"`;
  return `${name}{${text}} ${textOf(value)}\n`;
}

function escaped(text: string, special: RegExp): string {
  return text.replace(special, (found) => (found === "\n" ? "\\n" : `\\${found}`));
}

function textOf(value: number): string {
  if (Number.isFinite(value)) return String(value);
  if (Number.isNaN(value)) return "NaN";
  return value > 0 ? "+Inf" : "-Inf";
}
