/** Where pods take clients: what a client holds that knows all members, and asks again now and then. */
import { kubectl } from "./lab.ts";

const OLD_MS = 1000;

/** Whose pods, and on which port. */
export interface PodsOf {
  readonly namespace: string;
  /** By their labels. */
  readonly selector: string;
  readonly port: number;
}

async function lookUp({ namespace, selector, port }: PodsOf): Promise<readonly string[]> {
  const columns = '{range .items[*]}{.status.podIP}{"\\n"}{end}';
  const text = await kubectl("-n", namespace, "get", "pods", "-l", selector, "-o", `jsonpath=${columns}`);
  return text.split("\n").flatMap((address) => (address === "" ? [] : [`${address}:${port}`]));
}

/** Where the pods were a moment ago, as `address:port`: looked up beside the client, whose gaps are not to be those of kubectl. */
export function podAddresses(pods: PodsOf): () => Promise<readonly string[]> {
  let known: readonly string[] = [];
  let looking: Promise<void> | undefined;
  let atMs = Number.NEGATIVE_INFINITY;
  const look = async (): Promise<void> => {
    atMs = performance.now();
    try {
      const found = await lookUp(pods);
      if (found.length > 0) known = found;
    } catch (error) {
      if (known.length === 0) throw error; // else the API server may just be away
    } finally {
      looking = undefined;
    }
  };
  return async () => {
    if (performance.now() - atMs > OLD_MS) looking ??= look();
    if (known.length === 0) await looking;
    return known;
  };
}
