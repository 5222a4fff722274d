/** Draws availability over time: one cell per slice, faults marked above. Pure. */
import type { Palette } from "../../src/cli/palette.ts";

/** One slice of time and how many writes were acknowledged in it. */
export interface Slice {
  readonly atMs: number;
  readonly acked: number;
}

/** A fault to be marked. */
export interface Mark {
  readonly atMs: number;
  readonly label: string;
}

/** How to draw. */
export interface StripOptions {
  readonly cellMs: number;
  readonly cellsPerLine: number;
  /** Acknowledgements that a healthy cell has. */
  readonly expectedPerCell: number;
  readonly palette: Palette;
}

/** Lines of the strip: per row of time a line of marks (when there are any) and a line of cells. */
export function renderStrip(slices: readonly Slice[], marks: readonly Mark[], options: StripOptions): string[] {
  const [first] = slices;
  const last = slices.at(-1);
  if (first === undefined || last === undefined) return [];
  const cells = new Array<number>(Math.floor((last.atMs - first.atMs) / options.cellMs) + 1).fill(0);
  for (const slice of slices) {
    const index = Math.floor((slice.atMs - first.atMs) / options.cellMs);
    cells[index] = (cells[index] ?? 0) + slice.acked;
  }
  const lines: string[] = [];
  for (let start = 0; start < cells.length; start += options.cellsPerLine) {
    const row = cells.slice(start, start + options.cellsPerLine);
    const label = `${((start * options.cellMs) / 1000).toFixed(0).padStart(4)} s `;
    const marked = markLine(marks, {
      fromMs: first.atMs + start * options.cellMs,
      cells: row.length,
      cellMs: options.cellMs,
    });
    if (marked !== "") lines.push(" ".repeat(label.length) + options.palette.yellow(marked));
    lines.push(options.palette.dim(label) + row.map((acked) => cell(acked, options)).join(""));
  }
  return lines;
}

function cell(acked: number, { expectedPerCell, palette }: StripOptions): string {
  if (acked === 0) return palette.red("░");
  return acked < expectedPerCell * 0.7 ? palette.yellow("▒") : palette.green("█");
}

function markLine(marks: readonly Mark[], row: { fromMs: number; cells: number; cellMs: number }): string {
  let line = "";
  for (const mark of marks) {
    const at = Math.floor((mark.atMs - row.fromMs) / row.cellMs);
    if (at < 0 || at >= row.cells) continue;
    line = `${line.padEnd(at)}▼ ${mark.label} `;
  }
  return line.trimEnd();
}
