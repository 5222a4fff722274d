/** Runs the actions that an Engine declares. Knows the contract, and no engine. */
import type * as z from "zod";
import type { EngineSpec } from "../../api/engine.ts";
import type { EngineAction, EngineActions } from "../../api/engine-actions.ts";
import { EngineCopy, EngineObservation, EngineVerdict, RequestCounts, SlotLoad } from "../../api/engine-observation.ts";
import { withoutPasswords } from "./conceal.ts";
import { type ActionContext, expand } from "./context.ts";
import { type Ended, type Pipes, runProgram } from "./program.ts";
import { EngineSession } from "./session.ts";

/** Name of an action in the Engine contract. */
export type ActionName = keyof EngineActions;

/** How an action ended; `code` is 0 for a statement that printed nothing on standard error, else 1 or {@link IMPOSSIBLE}. */
export interface ActionResult extends Ended {
  readonly durationMs: number;
}

/** An action that failed, was killed by its timeout, or is not declared. */
export class ActionError extends Error {
  override readonly name = "ActionError";
  readonly action: ActionName;
  readonly code: number;
  /** What the action itself said, without passwords, or why it could not be run. */
  readonly detail: string;

  constructor(action: ActionName, code: number, detail: string) {
    super(`action ${action} failed: ${detail}`);
    this.action = action;
    this.code = code;
    this.detail = detail;
  }
}

/** Asked again and again whatever happens; they change nothing. */
export const ROUTINE: ReadonlySet<ActionName> = new Set<ActionName>([
  "observe",
  "probeWrite",
  "measureSlots",
  "countRequests",
]);

/** Exit code by which an action says that trying it again cannot help; what helps instead, the Engine contract says per action. */
export const IMPOSSIBLE = 3;

const STDERR_TAIL_CHARS = 2000;

/** Receives the duration of every action, for metrics. */
export type ActionObserver = (action: ActionName, seconds: number, ok: boolean) => void;

interface Invocation {
  readonly name: ActionName;
  readonly action: EngineAction;
  readonly context: ActionContext;
  readonly signal: AbortSignal | undefined;
  readonly pipes: Pipes;
}

/** Runs one engine's actions in one member's container. */
export class EngineDriver {
  readonly spec: EngineSpec;
  #base: ActionContext;
  readonly #sessions = new Map<string, EngineSession>();
  readonly #observer: ActionObserver;
  #running = 0;

  /** @param base - Context of every action; values that change often come with each call. */
  constructor(spec: EngineSpec, base: ActionContext, observer: ActionObserver) {
    this.spec = spec;
    this.#base = base;
    this.#observer = observer;
  }

  /** Whether an action that may change something is under way. */
  get isActing(): boolean {
    return this.#running > 0;
  }

  /** Sets part of what every action sees from now on; a session that runs is begun anew before its next statement. */
  amend(context: Partial<ActionContext>): void {
    const changes = Object.entries(context).some(([name, value]) => this.#base[name as keyof ActionContext] !== value);
    this.#base = this.#context(context);
    if (!changes) return;
    for (const session of this.#sessions.values()) session.retire();
    this.#sessions.clear();
  }

  /** The engine's main process: argv expanded, and its context as environment. */
  startCommand(context: Partial<ActionContext>): { readonly argv: readonly string[]; readonly env: ActionContext } {
    const env = this.#context(context);
    return { argv: this.spec.start.map((part) => expand(part, env, false)), env };
  }

  /**
   * Runs an action to its end.
   *
   * @param signal - Ends a program early; a statement ends with its session, see closeSessions.
   * @param pipes - Of a program only: where its input comes from and its output goes.
   * @throws {ActionError} when it fails; `code` is the exit code, for a statement 1 or {@link IMPOSSIBLE}.
   */
  async run(
    name: ActionName,
    context: Partial<ActionContext> = {},
    signal?: AbortSignal,
    pipes: Pipes = {},
  ): Promise<ActionResult> {
    const action = this.spec.actions[name];
    if (action === undefined) throw new ActionError(name, 127, "the Engine does not declare it");
    const started = process.hrtime.bigint();
    const weight = ROUTINE.has(name) ? 0 : 1;
    this.#running += weight;
    let ok = false;
    try {
      const result = await this.#runAction({ name, action, context: this.#context(context), signal, pipes });
      ok = result.code === 0;
      const durationMs = Number(process.hrtime.bigint() - started) / 1e6;
      if (!ok) {
        const said = await this.#repeatable(result.stderr, context);
        throw new ActionError(name, result.code, said.slice(-STDERR_TAIL_CHARS).trim() || `exit code ${result.code}`);
      }
      return { ...result, durationMs };
    } finally {
      this.#running -= weight;
      this.#observer(name, Number(process.hrtime.bigint() - started) / 1e9, ok);
    }
  }

  /**
   * Asks the running engine what it is.
   *
   * @throws {ActionError} also for an answer that is not an EngineObservation: an engine that lies about its form is
   *   not believed in part.
   */
  observe(context: Partial<ActionContext> = {}): Promise<EngineObservation> {
    return this.#ask("observe", EngineObservation, context);
  }

  /** Asks a stopped engine's data where its log ends. @throws {ActionError} also for an answer that is no EngineCopy. */
  inspect(context: Partial<ActionContext> = {}): Promise<EngineCopy> {
    return this.#ask("inspect", EngineCopy, context);
  }

  /** Asks the running engine what is damaged in its copy. @throws {ActionError} also for an answer that is no EngineVerdict. */
  verify(context: Partial<ActionContext> = {}, signal?: AbortSignal): Promise<EngineVerdict> {
    return this.#ask("verify", EngineVerdict, context, signal);
  }

  /** Asks the leader of a shard what it holds and is asked for. @throws {ActionError} also for an answer that is no SlotLoad. */
  measureSlots(context: Partial<ActionContext> = {}): Promise<SlotLoad> {
    return this.#ask("measureSlots", SlotLoad, context);
  }

  /** Asks the running engine what clients asked of it. @throws {ActionError} also for an answer that is no RequestCounts. */
  countRequests(context: Partial<ActionContext> = {}): Promise<RequestCounts> {
    return this.#ask("countRequests", RequestCounts, context);
  }

  /** Runs an action whose last line is JSON of a known form. */
  async #ask<T>(
    name: ActionName,
    form: z.ZodType<T>,
    context: Partial<ActionContext>,
    signal?: AbortSignal,
  ): Promise<T> {
    const { stdout } = await this.run(name, context, signal);
    const line = stdout.trim().split("\n").at(-1) ?? "";
    let json: unknown;
    try {
      json = JSON.parse(line);
    } catch {
      const said = await this.#repeatable(line, context);
      throw new ActionError(name, 1, `printed no JSON: ${said.slice(0, 200)}`);
    }
    const parsed = form.safeParse(json);
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      throw new ActionError(name, 1, `field ${issue?.path.join(".") ?? ""}: ${issue?.message ?? "invalid"}`);
    }
    return parsed.data;
  }

  /** Ends all client processes; the next statement starts them again. Called when the engine is stopped. */
  closeSessions(): void {
    for (const session of this.#sessions.values()) session.close();
  }

  #repeatable(said: string, context: Partial<ActionContext>): Promise<string> {
    return withoutPasswords(said, this.#context(context)["QUORATE_CREDENTIALS_DIR"]);
  }

  #context(context: Partial<ActionContext>): ActionContext {
    return { ...this.#base, ...(context as ActionContext) };
  }

  async #runAction({ name, action, context, signal, pipes }: Invocation): Promise<Ended> {
    const timeoutMs = action.timeoutSeconds * 1000;
    if (action.exec !== undefined) {
      return runProgram(
        action.exec.map((part) => expand(part, context, false)),
        { env: { ...process.env, ...context }, timeoutMs, signal, ...pipes },
      );
    }
    const session = this.#session(name, action.session ?? "", context);
    try {
      const { stdout, stderr } = await session.run(expand(action.statement ?? "", context, true), timeoutMs);
      return { code: statementCode(action, stderr), stdout: stdout.join("\n"), stderr: stderr.join("\n") };
    } catch (error) {
      throw new ActionError(name, 1, error instanceof Error ? error.message : String(error));
    }
  }

  #session(action: ActionName, name: string, context: ActionContext): EngineSession {
    const existing = this.#sessions.get(name);
    if (existing !== undefined) return existing;
    const declared = this.spec.sessions.find((session) => session.name === name);
    if (declared === undefined) throw new ActionError(action, 127, `session ${name} is not declared`);
    const session = new EngineSession({
      argv: declared.command.map((part) => expand(part, context, false)),
      env: { ...process.env, ...context },
      markerStatement: (marker) => declared.markerStatement.replaceAll("$(MARKER)", marker),
    });
    this.#sessions.set(name, session);
    return session;
  }
}

function statementCode({ impossibleText }: EngineAction, errors: readonly string[]): number {
  if (errors.length === 0) return 0;
  return impossibleText !== undefined && errors.some((line) => line.includes(impossibleText)) ? IMPOSSIBLE : 1;
}
