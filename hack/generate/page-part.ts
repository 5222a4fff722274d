// Pages that are written by hand but for what a program knows better.

/** Replaces what is between `<!-- name: … -->` and `<!-- /name -->`. @throws {Error} when the page lost a marker. */
export function withPart(page: string, name: string, content: string): string {
  const part = new RegExp(`(<!-- ${name}: [^>]* -->\n)[^]*?(<!-- /${name} -->)`);
  if (!part.test(page)) throw new Error(`a page has no part <!-- ${name}: … --> … <!-- /${name} -->`);
  return page.replace(part, (_, begin: string, end: string) => `${begin}\n${content}\n\n${end}`);
}
