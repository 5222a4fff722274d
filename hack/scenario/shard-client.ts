/**
 * A client of Redis in cluster mode that counts: it knows which server owns which slot, goes where it is sent, and tries a key again
 * until somebody takes it. The time of a write is what its caller waits, whatever became of it meanwhile.
 */
import { type RedisAddress, RedisConnection } from "./redis-connection.ts";
import { pause } from "./shell.ts";

const SLOTS = 16_384;
const INTERVAL_MS = 10;
/** Servers are asked anew who owns what no sooner than so long after the last time. */
const LOOK_INTERVAL_MS = 100;

/** What became of a client's writes. */
export interface ShardVerdict {
  readonly acked: number;
  /** Attempts that got no answer, or one that says to come again. */
  readonly unknown: number;
  readonly lost: number;
  readonly largestGapMs: number;
}

/** How the client behaves. */
export interface ShardClientOptions {
  /** Where servers are at the moment, as `host:port`. */
  readonly members: () => Promise<readonly string[]>;
  /** Of the account `app`. */
  readonly password: string;
  /** How many write at the same time, each one key after the other; 1 when absent. */
  readonly writers?: number;
}

/** The slot of a key without a hash tag: CRC-16/XMODEM. */
export function slotOf(key: string): number {
  let crc = 0;
  for (const byte of Buffer.from(key)) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = ((crc << 1) ^ ((crc & 0x80_00) === 0 ? 0 : 0x10_21)) & 0xff_ff;
  }
  return crc % SLOTS;
}

/** The owners of slots as a server's CLUSTER NODES tells them, as `host:port`. */
export function readOwners(nodes: string): (string | undefined)[] {
  const owners: (string | undefined)[] = [];
  for (const line of nodes.split("\n")) {
    const [, address = "", , , , , , , ...slots] = line.split(" ");
    const [hostPort = ""] = address.split("@");
    for (const range of slots.filter((one) => !one.startsWith("["))) {
      const [first = 0, last = first] = range.split("-").map(Number);
      for (let slot = first; slot <= last; slot++) owners[slot] = hostPort;
    }
  }
  return owners;
}

function addressOf(hostPort: string): RedisAddress {
  const [host = "", port = ""] = hostPort.split(":");
  return { host, port: Number(port) };
}

/** Writes until told to stop, then looks for everything that was acknowledged. */
export class ShardClient {
  readonly #options: ShardClientOptions;
  readonly #stop = new AbortController();
  readonly #prefix = `w${Date.now()}`;
  readonly #acked: string[] = [];
  /** Who owns each slot, as far as is known. */
  #owners: (string | undefined)[] = [];
  #looking: Promise<void> | undefined;
  #lookedMs = 0;
  #at = 0;
  #unknown = 0;
  #largestGapMs = 0;
  #latenciesMs: number[] = [];
  #running: Promise<unknown> | undefined;

  constructor(options: ShardClientOptions) {
    this.#options = options;
  }

  /** Acknowledged so far. */
  get acked(): number {
    return this.#acked.length;
  }

  start(): void {
    const writers = Array.from({ length: this.#options.writers ?? 1 }, (_, writer) => this.#write(writer));
    this.#running = Promise.all(writers);
  }

  /** How long each write took since this was last asked. */
  takeLatenciesMs(): readonly number[] {
    const taken = this.#latenciesMs;
    this.#latenciesMs = [];
    return taken;
  }

  /** Stops writing and judges. */
  async finish(): Promise<ShardVerdict> {
    this.#stop.abort();
    await this.#running;
    const lost = await this.countMissing(this.#acked);
    return { acked: this.acked, unknown: this.#unknown, lost, largestGapMs: this.#largestGapMs };
  }

  /** Writes all these keys, many at a time; each with itself as its value. */
  async put(keys: readonly string[]): Promise<void> {
    await this.#forAll(keys, async (session, key) => void (await this.#ask(session, key, `SET ${key} ${key}`)));
  }

  /** How many of these keys are not there. */
  async countMissing(keys: readonly string[]): Promise<number> {
    let missing = 0;
    await this.#forAll(keys, async (session, key) => {
      if ((await this.#ask(session, key, `EXISTS ${key}`)) !== "1") missing++;
    });
    return missing;
  }

  async #forAll(keys: readonly string[], work: (session: Session, key: string) => Promise<void>): Promise<void> {
    const rest = keys.values();
    await Promise.all(
      Array.from({ length: 32 }, async () => {
        const session = new Session(this.#options.password);
        for (const key of rest) await work(session, key); // they share the iterator
        session.end();
      }),
    );
  }

  async #write(writer: number): Promise<void> {
    const session = new Session(this.#options.password);
    let lastMs = performance.now();
    for (let seq = 1; !this.#stop.signal.aborted; seq++) {
      const key = `${this.#prefix}-${writer}-${seq}`;
      const fromMs = performance.now();
      await this.#ask(session, key, `SET ${key} ${seq}`);
      const nowMs = performance.now();
      this.#latenciesMs.push(nowMs - fromMs);
      this.#largestGapMs = Math.max(this.#largestGapMs, Math.round(nowMs - lastMs));
      lastMs = nowMs;
      this.#acked.push(key);
      await pause(INTERVAL_MS);
    }
    session.end();
  }

  /** Asks whoever owns the key's slot, again and again until somebody answers. */
  async #ask(session: Session, key: string, command: string): Promise<string> {
    const slot = slotOf(key);
    let redirects = 0;
    for (;;) {
      const owner = this.#owners[slot] ?? (await this.#anybody());
      try {
        return await session.ask(owner, command);
      } catch (error) {
        const [, kind, to = ""] = /^(MOVED|ASK) \d+ (\S+)$/.exec((error as Error).message) ?? [];
        if (kind === "ASK") {
          const answer = await session.askImporter(to, command).catch(() => undefined); // it may be its own by now
          if (answer !== undefined) return answer;
        } else if (kind === "MOVED") {
          this.#owners[slot] = to;
        } else {
          this.#unknown++;
          await this.#look();
        }
        // Two servers may send a client to each other for a moment.
        if (kind === undefined || redirects++ > 0) await pause(INTERVAL_MS);
      }
    }
  }

  async #anybody(): Promise<string> {
    await this.#look();
    const members = await this.#options.members();
    return members[this.#at++ % members.length] ?? "";
  }

  /** Asks one server after the other who owns what; all that need to know wait for the same answer. */
  #look(): Promise<void> {
    if (performance.now() - this.#lookedMs > LOOK_INTERVAL_MS) this.#looking ??= this.#lookNow();
    return this.#looking ?? Promise.resolve();
  }

  async #lookNow(): Promise<void> {
    const session = new Session(this.#options.password);
    try {
      const members = await this.#options.members();
      const owners = readOwners(await session.ask(members[this.#at++ % members.length] ?? "", "CLUSTER NODES"));
      if (owners.length > 0) this.#owners = owners;
    } catch {
      // It is away; the next one is asked the next time.
    }
    session.end();
    this.#lookedMs = performance.now();
    this.#looking = undefined;
  }
}

/** A writer's connections, one for each server; one that fails is opened anew when it is needed again. */
class Session {
  readonly #password: string;
  readonly #open = new Map<string, RedisConnection>();

  constructor(password: string) {
    this.#password = password;
  }

  async ask(hostPort: string, command: string): Promise<string> {
    const connection = this.#open.get(hostPort) ?? (await RedisConnection.open(addressOf(hostPort), this.#password));
    this.#open.set(hostPort, connection);
    try {
      return await connection.ask(command);
    } catch (error) {
      if (!/^(MOVED|ASK) /.test((error as Error).message)) {
        connection.end();
        this.#open.delete(hostPort);
      }
      throw error;
    }
  }

  /** Asks a server to which the key's slot is on its way. */
  async askImporter(hostPort: string, command: string): Promise<string> {
    await this.ask(hostPort, "ASKING");
    return this.ask(hostPort, command);
  }

  end(): void {
    for (const connection of this.#open.values()) connection.end();
  }
}
