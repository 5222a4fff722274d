/** What a member of a group keeps beside its copy, on the same volume: who it is in the group, and how it came to be in it. */
import * as z from "zod";
import { readStateFile, writeStateFile } from "../state-file.ts";
import type { GroupRecord } from "./types.ts";

const RecordJson = z.object({
  incarnation: z.int().min(0),
  id: z.string().nullable(),
  founding: z.enum(["None", "May", "Begun"]).default("None"),
  joining: z.boolean().default(false),
});

/** The record, and the file that it is in. */
export class KeptRecord {
  readonly #file: string;
  #record: GroupRecord = { incarnation: 0, id: null, founding: "None", joining: false };

  constructor(file: string) {
    this.#file = file;
  }

  get value(): GroupRecord {
    return this.#record;
  }

  /** Reads what the agent before left. @throws {z.ZodError} when it is no record: nothing may be done then. */
  async load(): Promise<void> {
    const kept = await readStateFile(this.#file);
    if (kept !== undefined) this.#record = RecordJson.parse(kept);
  }

  /** Resolves once the change is on the disk; it counts from then on. */
  async amend(change: Partial<GroupRecord>): Promise<void> {
    const record = { ...this.#record, ...change };
    await writeStateFile(this.#file, record);
    this.#record = record;
  }
}
