/** The little XML that S3 speaks: texts of elements that hold nothing else. */

const NAMED: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

/** The texts of all elements of that name, in their order, with entities decoded; whatever their namespace's prefix. */
export function textsOf(xml: string, element: string): readonly string[] {
  const found = xml.matchAll(new RegExp(`<(?:[\\w.-]+:)?${element}(?:\\s[^<>]*)?(?:/>|>([^<]*)</)`, "g"));
  return Array.from(found, ([, text = ""]) => decoded(text));
}

/** The text of the first such element. */
export function textOf(xml: string, element: string): string | undefined {
  return textsOf(xml, element)[0];
}

/** Whether the outermost element is of that name. */
export function isDocumentOf(xml: string, element: string): boolean {
  return new RegExp(`^\\s*(?:<\\?[^>]*\\?>\\s*)?<(?:[\\w.-]+:)?${element}[\\s/>]`).test(xml);
}

/** A text as it stands in an element. */
export function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

function decoded(text: string): string {
  return text.replaceAll(/&(?:#x([0-9a-f]+)|#([0-9]+)|(\w+));/gi, (all, hex?: string, decimal?: string, name = "") => {
    const code = hex === undefined ? Number(decimal ?? Number.NaN) : Number.parseInt(hex, 16);
    if (!Number.isNaN(code)) return code <= 0x10ffff ? String.fromCodePoint(code) : all;
    return NAMED[name as string] ?? all;
  });
}
