// Whole lists, page by page.
import type { CallOptions, KubeApi, Selection } from "./api.ts";
import type { KubeObject, Stored } from "./object.ts";

const PAGE_SIZE = 500; // a page of 500 pods parses in some 10 ms; one list of 5,000 blocks the event loop for 100

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
