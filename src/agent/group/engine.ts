/** The engine of one member of a group: started, stopped and asked; its declared actions with the context they need. */
import type { IntentMember } from "../../api/agent-wire.ts";
import type { EngineGroupMember, EngineObservation, EnginePosition } from "../../api/engine-observation.ts";
import { emptyData, type MakeFirstData } from "../backup/first-data.ts";
import type { ActionContext } from "../engine/context.ts";
import type { EngineHost } from "../engine/control.ts";
import { isEveryMemberWriter } from "./topology.ts";
import { ActionError, type ActionName, type EngineDriver } from "../engine/driver.ts";
import type { Volume } from "../engine/volume.ts";
import type { EngineView } from "./types.ts";

/** How a start begins: it goes on where it was, or in topology ActiveActive begins the group. */
export type StartMode = "Join" | "Found";

/** What the engine of one member is worked with. */
export interface GroupEngineParts {
  readonly driver: EngineDriver;
  readonly host: EngineHost;
  readonly volume: Volume;
  /** Name of the member. */
  readonly self: string;
  /** An empty data set when absent. */
  readonly makeFirstData?: MakeFirstData;
}

/** Runs one engine. One call at a time, but for `observe`. */
export class GroupEngine {
  readonly #driver: EngineDriver;
  readonly #host: EngineHost;
  readonly #volume: Volume;
  readonly #self: string;
  readonly #makeFirstData: MakeFirstData;
  #members: readonly IntentMember[] = [];

  constructor({ driver, host, volume, self, makeFirstData = emptyData }: GroupEngineParts) {
    this.#makeFirstData = makeFirstData;
    this.#driver = driver;
    this.#host = host;
    this.#volume = volume;
    this.#self = self;
  }

  /** Where members are reached, from now on. */
  know(members: readonly IntentMember[]): void {
    this.#members = members;
  }

  /** Makes a group of this member alone; if that is cut short the volume counts as incomplete. */
  initialize(): Promise<void> {
    return this.#volume.whileIncomplete(async () => {
      await this.#makeFirstData(this.#driver, this.context);
    });
  }

  /** Starts the main process. @param group - Who the group is, as far as it is known; a first start needs to know. */
  async start(group: readonly EngineGroupMember[], id: string | null, mode: StartMode = "Join"): Promise<void> {
    const named = group.map((member) => {
      const name = member.id === id ? this.#self : member.name || member.id;
      return `${name}=${member.address}`;
    });
    const { argv, env } = this.#driver.startCommand({
      ...this.context,
      QUORATE_GROUP: named.join(","),
      QUORATE_FOUND: String(mode === "Found"),
    });
    await this.#host.start(argv, env);
  }

  /** Stops every engine process; cleanly when `fast`, within the Engine's grace. */
  async stop(mode: "fast" | "kill"): Promise<void> {
    const { signal, graceSeconds } = this.#driver.spec.stop;
    this.#driver.closeSessions();
    await (mode === "fast" ? this.#host.stop(signal, graceSeconds * 1000) : this.#host.kill());
  }

  /** What the running engine is. @throws {ActionError} also when it says nothing of its group. */
  async observe(): Promise<{ readonly view: EngineView; readonly observation: EngineObservation }> {
    const observation = await this.#driver.observe(this.context);
    const { group, writable, position } = observation;
    if (group === undefined) throw new ActionError("observe", 1, "field group: missing, the topology needs it");
    if (isEveryMemberWriter(this.#driver.spec)) {
      // Who of those that serve speaks for them, the agents settle among themselves.
      return { view: { leads: false, serves: writable, group, position }, observation };
    }
    return { view: { leads: writable, serves: group.leaderId !== "", group, position }, observation };
  }

  /** Where the log of the stopped copy ends; null when it holds nothing of its own. */
  async inspect(): Promise<EnginePosition | null> {
    return (await this.#driver.inspect(this.context)).position;
  }

  /** Adds a member that does not vote yet. @returns the identity that it was given. */
  async add(member: string): Promise<string> {
    const target = this.#members.find(({ name }) => name === member);
    if (target === undefined) throw new ActionError("addMember", 1, `${member} is no member any more`);
    const { stdout } = await this.#driver.run("addMember", {
      ...this.context,
      QUORATE_TARGET: member,
      QUORATE_TARGET_HOST: target.host,
      QUORATE_TARGET_PORT: String(target.memberPort ?? target.enginePort),
    });
    const id = stdout.trim();
    if (!/^[A-Za-z0-9._-]{1,64}$/.test(id))
      throw new ActionError("addMember", 1, `printed no identity: ${id.slice(0, 64)}`);
    return id;
  }

  /** Runs an action that concerns the member with this identity. */
  async change(action: Extract<ActionName, "promoteMember" | "removeMember" | "handOver">, id: string): Promise<void> {
    await this.#driver.run(action, { ...this.context, QUORATE_TARGET_ID: id });
  }

  /** Begins the group anew from this copy; the engine must be stopped. */
  async recover(): Promise<void> {
    await this.#driver.run("recover", this.context);
  }

  /** Gives free space back to the file system. */
  async defragment(): Promise<void> {
    await this.#driver.run("defragment", this.context);
  }

  /** Makes the accounts that the file of accounts names, or puts changed passwords of its own in force; the epoch is 0 where somebody else leads. */
  async keepAccounts(action: "makeAccounts" | "takePasswords", epoch: number): Promise<void> {
    await this.#driver.run(action, { ...this.context, QUORATE_EPOCH: String(epoch) });
  }

  /** The context that follows from who the members are. */
  get context(): Partial<ActionContext> {
    const own = this.#members.find(({ name }) => name === this.#self);
    const portOf = (member: IntentMember): string => String(member.memberPort ?? member.enginePort);
    return {
      QUORATE_MEMBERS: this.#members.map((member) => `${member.name}=${member.host}:${portOf(member)}`).join(","),
      ...(own === undefined ? {} : { QUORATE_OWN_HOST: own.host, QUORATE_MEMBER_PORT: portOf(own) }),
    };
  }
}
