/** Requests of the intent that are carried out once by one member: restart and rebuild. Answers survive the agent. */
import { z } from "zod";
import type { Intent, MemberReport } from "../api/agent-wire.ts";
import { readStateFile, writeStateFile } from "./state-file.ts";

type Kind = "restart" | "rebuild";
type Answer = NonNullable<MemberReport["restart"]>;

const AnswersJson = z.record(
  z.enum(["restart", "rebuild"]),
  z
    .object({ id: z.string(), result: z.enum(["Running", "Done", "Refused", "Failed"]), message: z.string() })
    .nullable(),
);

/** What has been asked of this member and how it went. */
export class OneShots {
  readonly #member: string;
  readonly #file: string;
  #answers: Record<Kind, Answer | null> = { restart: null, rebuild: null };

  constructor(member: string, file: string) {
    this.#member = member;
    this.#file = file;
  }

  /** The last answer of each kind. */
  get answers(): Readonly<Record<Kind, Answer | null>> {
    return this.#answers;
  }

  async load(): Promise<void> {
    const parsed = AnswersJson.safeParse(await readStateFile(this.#file));
    if (parsed.success) this.#answers = { ...this.#answers, ...parsed.data };
  }

  /** Carries out what `intent` asks of this member and was not answered yet. */
  async take(intent: Intent, leads: boolean, acts: Readonly<Record<Kind, () => Promise<void>>>): Promise<void> {
    for (const kind of ["restart", "rebuild"] as const) {
      const request = intent[kind];
      if (request === null || request.member !== this.#member || this.#answers[kind]?.id === request.id) continue;
      const { id } = request;
      if (leads) {
        await this.#answer(kind, { id, result: "Refused", message: "this member leads; switch over to another first" });
        continue;
      }
      // Written before the act: a rebuild ends this agent, and must not begin again with the next.
      await this.#answer(kind, { id, result: "Done", message: `${kind} begun by the agent` });
      await acts[kind]();
    }
  }

  async #answer(kind: Kind, answer: Answer): Promise<void> {
    this.#answers = { ...this.#answers, [kind]: answer };
    await writeStateFile(this.#file, this.#answers);
  }
}
