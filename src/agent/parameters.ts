/**
 * The engine's parameters as the intent wants them: put in force while the engine runs where it can take them, and kept as they
 * were where it refuses one. A refused value must not be met again by the next start, which would fail over it.
 */
import { writeFile } from "node:fs/promises";
import * as z from "zod";
import type { Intent } from "../api/agent-wire.ts";
import { ActionError } from "./engine/driver.ts";
import { readStateFile, writeStateFile } from "./state-file.ts";

type Parameters = Readonly<Record<string, string>>;

const ParametersJson = z.object({
  accepted: z.record(z.string(), z.string()),
  refused: z.object({ key: z.string(), message: z.string() }).nullable(),
});

/** Exit code of the reload action that says that the engine refuses a parameter, and that all is as it was. */
const REFUSED = 3;

/** What the keeper needs. */
export interface ParameterKeeperOptions {
  /** File that engine actions read parameters from, one `name<TAB>value` a line. */
  readonly file: string;
  /** File that remembers what the engine accepted and refused. */
  readonly stateFile: string;
  /** Parameters that came with the pod. They need a restart, so those of the intent never replace them. */
  readonly restartParameters: Parameters;
  /** Makes the running engine read the file. */
  readonly reload: () => Promise<unknown>;
  /** Whether an engine runs that could read it; one that starts reads it by itself. */
  readonly isUp: () => boolean;
  /** What was refused changed. */
  readonly changed: () => void;
}

/** Keeps the parameters of one member. */
export class ParameterKeeper {
  readonly #options: ParameterKeeperOptions;
  #wanted: Parameters | undefined;
  #state: z.infer<typeof ParametersJson> = { accepted: {}, refused: null };
  /** What the running engine is known to have read; unknown to an agent that has just started. */
  #inForce: string | undefined;
  /** How often something else that a reload reads has changed. */
  #others = 0;
  #busy = false;

  constructor(options: ParameterKeeperOptions) {
    this.#options = options;
  }

  /** What the engine refused of what is wanted now, in its own words. */
  get refused(): string | undefined {
    return this.#state.refused?.message;
  }

  async load(): Promise<void> {
    const parsed = ParametersJson.safeParse(await readStateFile(this.#options.stateFile));
    if (parsed.success) this.#state = parsed.data;
  }

  /** Takes in what the intent wants. Resolves when the next start of the engine would find it. */
  async want({ parameters }: Pick<Intent, "parameters">): Promise<void> {
    this.#wanted = parameters;
    const isRefused = this.#state.refused?.key === keyOf(parameters);
    if (!isRefused && this.#state.refused !== null) {
      await this.#remember({ ...this.#state, refused: null });
      this.#options.changed();
    }
    await this.#write(isRefused ? this.#state.accepted : parameters);
  }

  /** Whether an engine runs that has read everything as it is now. */
  get isRead(): boolean {
    return this.#wanted !== undefined && this.#options.isUp() && this.#filesOf(this.#wanted) === this.#inForce;
  }

  /** Something else that a reload reads has changed: the certificate. */
  readAgain(): void {
    this.#others++;
  }

  /** Makes the running engine take what is wanted, if it has not yet. Called again and again; fails only over a bug. */
  async apply(): Promise<void> {
    const wanted = this.#wanted;
    if (wanted === undefined || this.#busy || !this.#options.isUp()) return;
    const key = keyOf(wanted);
    const isRefused = key === this.#state.refused?.key;
    const files = this.#filesOf(wanted);
    if (files === this.#inForce) return;
    this.#busy = true;
    try {
      await this.#options.reload();
      this.#inForce = files;
      if (!isRefused && keyOf(this.#state.accepted) !== key) await this.#remember({ accepted: wanted, refused: null });
    } catch (error) {
      // Anything but a refusal passes: the engine was starting or stopping.
      if (error instanceof ActionError && error.code === REFUSED && isRefused)
        this.#inForce = files; // is told already
      else if (error instanceof ActionError && error.code === REFUSED) await this.#refuse(wanted, error.message);
      else if (!(error instanceof ActionError)) throw error;
    } finally {
      this.#busy = false;
    }
  }

  /** What the engine would read now, as text that differs with it. Of refused parameters the file has the accepted ones instead. */
  #filesOf(wanted: Parameters): string {
    const key = keyOf(wanted);
    return `${this.#others} ${key === this.#state.refused?.key ? keyOf(this.#state.accepted) : key}`;
  }

  async #refuse(wanted: Parameters, message: string): Promise<void> {
    await this.#remember({ ...this.#state, refused: { key: keyOf(wanted), message: message.slice(0, 512) } });
    if (this.#wanted === wanted) await this.#write(this.#state.accepted);
    this.#options.changed();
  }

  async #remember(state: z.infer<typeof ParametersJson>): Promise<void> {
    this.#state = state;
    await writeStateFile(this.#options.stateFile, state);
  }

  async #write(parameters: Parameters): Promise<void> {
    const { file, restartParameters } = this.#options;
    await writeFile(file, parameterLines(parametersInForce({ parameters }, restartParameters)));
  }
}

/** Parameters of the engine: what came with the pod is this member's revision, and the intent only adds to it. */
export function parametersInForce(
  intent: Pick<Intent, "parameters">,
  restartParameters: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  return { ...intent.parameters, ...restartParameters };
}

function parameterLines(parameters: Readonly<Record<string, string>>): string {
  return Object.entries(parameters)
    .map(([name, value]) => `${name}\t${value.replaceAll(/[\n\t]/g, " ")}\n`)
    .join("");
}

function keyOf(parameters: Parameters): string {
  return JSON.stringify(Object.entries(parameters).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
