/** Requests of the intent that are carried out once by one member: restart, rebuild, defragment, the Engine's hooks and tasks. Answers survive the agent. */
import * as z from "zod";
import type { HookRequest, Intent, MemberReport, TaskRequest } from "../api/agent-wire.ts";
import { ActionError } from "./engine/driver.ts";
import { readStateFile, writeStateFile } from "./state-file.ts";

const Kind = z.enum(["restart", "rebuild", "defragment", "hook", "task"]);
type Kind = z.infer<typeof Kind>;
/** Those that may take the member out of service. */
type Disturbance = Exclude<Kind, "hook" | "task">;
type Answer = NonNullable<MemberReport["restart"]>;

/** How a hook or a task ended. Refused is a hook's own no; Failed, that it could not be run or could not say. */
export type OneShotOutcome = Pick<Answer, "message"> & { readonly result: "Done" | "Refused" | "Failed" };

const AnswersJson = z.partialRecord(
  Kind,
  z
    .object({ id: z.string(), result: z.enum(["Running", "Done", "Refused", "Failed"]), message: z.string() })
    .nullable(),
);

/** How requests are carried out; one that rejects with an ActionError has failed. Without `defragment` the engine cannot. */
export interface Acts {
  readonly restart: () => Promise<void>;
  readonly rebuild: () => Promise<void>;
  readonly defragment?: () => Promise<void>;
  readonly hook: (request: HookRequest) => Promise<OneShotOutcome>;
  /** `signal` aborts when the task is not asked for any more. */
  readonly task: (request: TaskRequest, signal: AbortSignal) => Promise<OneShotOutcome>;
  /** Called after every answer. */
  readonly answered: () => void;
}

const DONE = { restart: "the engine was restarted", defragment: "the data folder was defragmented" } as const;

/** Why a request is not carried out; undefined when it is. */
function refusalOf(kind: Disturbance, leads: boolean, { members }: Intent, acts: Acts): string | undefined {
  if (acts[kind] === undefined) return "the Engine declares no action for this";
  // The only member cannot hand over to anybody: it does in place what it can.
  if (!leads || (members.length === 1 && kind !== "rebuild")) return undefined;
  return "this member leads; switch over to another first";
}

/** What has been asked of this member and how it went. */
export class OneShots {
  readonly #member: string;
  readonly #file: string;
  #answers: Record<Kind, Answer | null> = { restart: null, rebuild: null, defragment: null, hook: null, task: null };
  readonly #begun = new Set<string>();
  #task: { readonly id: string; readonly end: AbortController } | undefined;
  #isLeaving = false;
  #written: Promise<void> = Promise.resolve();
  #underWay = 0;

  constructor(member: string, file: string) {
    this.#member = member;
    this.#file = file;
  }

  /** Whether a request is being carried out. */
  get isBusy(): boolean {
    return this.#underWay > 0;
  }

  /** The last answer of each kind. */
  get answers(): Readonly<Record<Kind, Answer | null>> {
    return this.#answers;
  }

  async load(): Promise<void> {
    const parsed = AnswersJson.safeParse(await readStateFile(this.#file));
    if (parsed.success) this.#answers = { ...this.#answers, ...parsed.data };
  }

  /** The member is about to end: its task ends without an answer, so that another member, or the next agent, begins it anew. */
  leave(): void {
    this.#isLeaving = true;
    this.#task?.end.abort();
  }

  /** Ends a task that `intent` does not ask for. */
  #endUnwanted({ task }: Intent): void {
    if (this.#task !== undefined && this.#task.id !== task?.id) this.#task.end.abort();
  }

  /** Carries out what `intent` asks of this member and was not answered yet. */
  async take(intent: Intent, leads: boolean, acts: Acts): Promise<void> {
    this.#underWay++;
    try {
      await this.#takeAll(intent, leads, acts);
    } finally {
      this.#underWay--;
    }
  }

  async #takeAll(intent: Intent, leads: boolean, acts: Acts): Promise<void> {
    this.#endUnwanted(intent);
    for (const kind of ["restart", "rebuild", "defragment"] as const) {
      const request = intent[kind] ?? null;
      if (request === null || request.member !== this.#member || !this.#isNew(kind, request.id)) continue;
      const { id } = request;
      this.#begun.add(id);
      const refusal = refusalOf(kind, leads, intent, acts);
      if (refusal === undefined) await this.#carryOut(kind, id, acts);
      else await this.#answer(kind, { id, result: "Refused", message: refusal });
      acts.answered();
    }
    const { hook, task } = intent;
    if (hook?.member === this.#member) {
      await this.#runBeside("hook", hook, acts, () => acts.hook(hook));
    }
    if (task?.member === this.#member && !this.#isLeaving) {
      const end = new AbortController();
      await this.#runBeside("task", task, acts, async () => {
        this.#task = { id: task.id, end };
        const outcome = await acts.task(task, end.signal);
        return end.signal.aborted ? undefined : outcome;
      });
    }
  }

  /** Goes on beside other requests. One that the agent before died over is run again: a hook knows by its update's id what it has done. */
  async #runBeside(
    kind: "hook" | "task",
    { id, action }: Pick<TaskRequest | HookRequest, "id" | "action">,
    acts: Acts,
    run: () => Promise<OneShotOutcome | undefined>,
  ): Promise<void> {
    if (!this.#isNew(kind, id)) return;
    this.#begun.add(id);
    await this.#answer(kind, { id, result: "Running", message: `${action} runs on ${this.#member}` });
    acts.answered();
    const outcome = await run();
    // Ended because nobody wanted it any more. Nobody must take that for how it went; whoever is asked for it again begins it anew.
    if (outcome === undefined) this.#begun.delete(id);
    // Asked for another one meanwhile: this answer is not waited for any more.
    if (this.#answers[kind]?.id === id) await this.#answer(kind, outcome === undefined ? null : { id, ...outcome });
    acts.answered();
  }

  async #carryOut(kind: Disturbance, id: string, acts: Acts): Promise<void> {
    // A rebuild ends this agent and must not begin again with the next. The others may: Done says that they came to their end.
    const result = kind === "rebuild" ? "Done" : "Running";
    await this.#answer(kind, { id, result, message: `${kind} begun by the agent` });
    acts.answered();
    try {
      await acts[kind]?.();
    } catch (error) {
      if (!(error instanceof ActionError)) throw error;
      return this.#answer(kind, { id, result: "Failed", message: error.message.slice(0, 512) });
    }
    if (kind !== "rebuild") await this.#answer(kind, { id, result: "Done", message: DONE[kind] });
  }

  /** Not answered to its end, and not begun by this agent: the one before may have died over it. */
  #isNew(kind: Kind, id: string): boolean {
    const answer = this.#answers[kind];
    return !this.#begun.has(id) && (answer?.id !== id || answer.result === "Running");
  }

  /** One write after the other: while a hook runs, other requests are answered. */
  #answer(kind: Kind, answer: Answer | null): Promise<void> {
    this.#answers = { ...this.#answers, [kind]: answer };
    this.#written = this.#written.catch(() => undefined).then(() => writeStateFile(this.#file, this.#answers));
    return this.#written;
  }
}
