/** A client of a key-value group that counts: one key after the other through whichever member answers, and what was acknowledged. */

const DEADLINE_MS = 2000;
const INTERVAL_MS = 20;

function encode(text: string): string {
  return Buffer.from(text).toString("base64");
}

interface RangeAnswer {
  readonly kvs?: readonly { readonly key: string }[];
}

/** What the client can say at the end. */
export interface KeyVerdict {
  readonly acked: number;
  readonly unknown: number;
  /** Acknowledged, and not there. */
  readonly lost: number;
  /** Read through another member right after the acknowledgement, and not there. */
  readonly stale: number;
  readonly largestGapMs: number;
}

/** Writes keys until told to stop, then reads all of them back. */
export class KeyClient {
  readonly #members: () => Promise<readonly string[]>;
  readonly #password: string;
  /** Its own: what an earlier client wrote must not stand for what this one has lost. */
  readonly #folder = `w/${Date.now()}`;
  readonly #acked: string[] = [];
  readonly #stop = new AbortController();
  #unknown = 0;
  #stale = 0;
  #at = 0;
  readonly #tokens = new Map<string, string>();
  #largestGapMs = 0;
  #running: Promise<void> | undefined;

  /**
   * @param members - Where members are at the moment, as `host:port`.
   * @param password - Of the account `app`.
   */
  constructor(members: () => Promise<readonly string[]>, password: string) {
    this.#members = members;
    this.#password = password;
  }

  /** Acknowledged so far. */
  get acked(): number {
    return this.#acked.length;
  }

  start(): void {
    this.#running = this.#write();
  }

  /** Stops writing and judges. */
  async finish(): Promise<KeyVerdict> {
    this.#stop.abort();
    await this.#running;
    const found = new Set<string>();
    for (let from = `${this.#folder}/`; ; ) {
      const page = await this.#somewhere((member, token) => this.#range(member, token, { from, limit: 5000 }));
      for (const key of page) found.add(key);
      const last = page.at(-1);
      if (last === undefined) break;
      from = `${last}\0`;
    }
    const lost = this.#acked.filter((key) => !found.has(key)).length;
    return {
      acked: this.acked,
      unknown: this.#unknown,
      lost,
      stale: this.#stale,
      largestGapMs: this.#largestGapMs,
    };
  }

  async #write(): Promise<void> {
    let lastMs = performance.now();
    for (let seq = 0; !this.#stop.signal.aborted; ) {
      const key = `${this.#folder}/${String(++seq).padStart(8, "0")}`;
      await this.#somewhere((member, token) => put(member, token, key));
      const nowMs = performance.now();
      this.#largestGapMs = Math.max(this.#largestGapMs, Math.round(nowMs - lastMs));
      lastMs = nowMs;
      this.#acked.push(key);
      if (seq % 10 === 0) await this.#readBack(key);
      await new Promise((resolve) => setTimeout(resolve, INTERVAL_MS));
    }
  }

  /** A read that a majority confirms, asked of another member than the write; one that is not answered says nothing. */
  async #readBack(key: string): Promise<void> {
    this.#at++;
    const member = await this.#member();
    const token = this.#tokens.get(member);
    if (token === undefined) return;
    const page = await this.#range(member, token, { from: key, limit: 1 }).catch(() => [key]);
    if (page[0] !== key) this.#stale++;
  }

  async #range(
    member: string,
    token: string,
    { from, limit }: { readonly from: string; readonly limit: number },
  ): Promise<string[]> {
    const end = `${this.#folder}0`; // the character after the slash
    const body = { key: encode(from), range_end: encode(end), limit, keys_only: true };
    const { kvs = [] } = await call<RangeAnswer>(member, "kv/range", token, body);
    return kvs.map(({ key }) => Buffer.from(key, "base64").toString());
  }

  async #member(): Promise<string> {
    const members = await this.#members();
    return members[this.#at % members.length] ?? "";
  }

  /** Asks one member after the other until one answers. A key is written again with the same content: that changes nothing. */
  async #somewhere<T>(ask: (member: string, token: string) => Promise<T>): Promise<T> {
    for (;;) {
      const member = await this.#member();
      try {
        const token = this.#tokens.get(member) ?? (await authenticate(member, this.#password));
        this.#tokens.set(member, token);
        return await ask(member, token);
      } catch {
        this.#unknown++;
        this.#tokens.delete(member);
        this.#at++;
        await new Promise((resolve) => setTimeout(resolve, INTERVAL_MS));
      }
    }
  }
}

/** Asks a member over JSON, as its gateway takes it. @param path - Behind /v3/. @throws {Error} for any answer but a good one, or none in time. */
export async function call<T>(member: string, path: string, token: string | undefined, body: object): Promise<T> {
  const response = await fetch(`http://${member}/v3/${path}`, {
    method: "POST",
    headers: token === undefined ? {} : { authorization: token },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(DEADLINE_MS),
  });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return (await response.json()) as T;
}

/** Logs in as the account `app`. @returns the token that calls show. */
export async function authenticate(member: string, password: string): Promise<string> {
  return (await call<{ token: string }>(member, "auth/authenticate", undefined, { name: "app", password })).token;
}

async function put(member: string, token: string, key: string): Promise<void> {
  await call(member, "kv/put", token, { key: encode(key), value: encode(key) });
}
