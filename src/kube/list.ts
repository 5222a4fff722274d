// Whole lists, page by page.
import type { CallOptions, KubeApi, Selection } from "./api.ts";
import type { KubeObject, Stored } from "./object.ts";

// A page is in memory three times at once: as it comes in, as text, and parsed. A ConfigMap with an Engine's files has 60 kB, so 100
// of them are some 20 MB for a moment; 500 pods parse in some 10 ms, and one list of 5,000 blocks the event loop for 100.
const PAGE_SIZE = 100;

/** A complete list at one resourceVersion. */
export interface WholeList<T extends KubeObject> {
  readonly items: readonly Stored<T>[];
  readonly resourceVersion: string;
}

/**
 * Reads all pages of a selection at one version, each object reduced by `project` as soon as its page is there.
 *
 * @throws {RetryableError} with `isGone` when the version was forgotten between two pages: start over.
 */
export async function listAll<T extends KubeObject>(
  api: Pick<KubeApi, "list">,
  selection: Selection,
  options: CallOptions & { readonly project?: (object: Stored<T>) => Stored<T> } = {},
): Promise<WholeList<T>> {
  const { project = (object: Stored<T>) => object, ...call } = options;
  const items: Stored<T>[] = [];
  let token: string | undefined;
  for (;;) {
    const page = await api.list<T>(selection, {
      ...call,
      limit: PAGE_SIZE,
      ...(token === undefined ? {} : { continue: token }),
    });
    for (const item of page.items) items.push(project(item));
    if (page.continue === undefined) return { items, resourceVersion: page.resourceVersion };
    token = page.continue;
  }
}
