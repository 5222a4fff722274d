// HTML by template, in which whatever is filled in is text unless it is HTML already.

/** Finished HTML. */
export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Fills values in: text is escaped, lists are joined, undefined is nothing. */
export function html(
  parts: TemplateStringsArray,
  ...values: readonly (Html | readonly Html[] | string | number | undefined)[]
): Html {
  return new Html(parts.map((part, at) => part + (at < values.length ? toText(values[at]) : "")).join(""));
}

function toText(value: Html | readonly Html[] | string | number | undefined): string {
  if (value === undefined) return "";
  if (value instanceof Html) return value.text;
  if (typeof value === "object") return value.map(({ text }) => text).join("");
  return String(value).replaceAll(/[&<>"']/g, (character) => ENTITIES[character] ?? character);
}
