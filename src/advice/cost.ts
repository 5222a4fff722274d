// What a cluster costs, by a table of prices that its owner wrote.
import * as z from "zod";
import type { Requested } from "./rightsizing.ts";

const HOURS_PER_MONTH = 730;
const GIBIBYTE = 2 ** 30;

const price = (of: string) => z.number({ error: `must be the price of ${of}, a number such as 0.03` }).nonnegative();

/** Prices as a file has them. */
export const PriceTable = z.strictObject({
  currency: z.string().min(1).max(8).default("EUR"),
  cpuCoreHour: price("one core for an hour"),
  memoryGiBHour: price("one GiB of memory for an hour"),
  /** By StorageClass; `default` for any other. */
  storageGiBMonth: z
    .record(z.string(), price("one GiB of storage for a month"))
    .refine((prices) => "default" in prices, {
      error: "must have a price under `default`, for any other StorageClass",
    }),
});
export type PriceTable = z.infer<typeof PriceTable>;

/** What is paid for each month. Nodes keep requests free, so these are what costs, whatever is used of them. */
export interface Cost {
  readonly currency: string;
  readonly cpu: number;
  readonly memory: number;
  readonly storage: number;
  readonly total: number;
}

/** The cost of so many members. @param storageClass - Of their volumes; undefined: whatever is the default one. */
export function costOf(
  prices: PriceTable,
  { cpuCores, memoryBytes, agentMemoryBytes, volumeBytes }: Requested,
  members: number,
  storageClass: string | undefined,
): Cost {
  const storagePrice = prices.storageGiBMonth[storageClass ?? "default"] ?? prices.storageGiBMonth["default"] ?? 0;
  const cpu = members * cpuCores * prices.cpuCoreHour * HOURS_PER_MONTH;
  const memory = ((members * (memoryBytes + agentMemoryBytes)) / GIBIBYTE) * prices.memoryGiBHour * HOURS_PER_MONTH;
  const storage = ((members * volumeBytes) / GIBIBYTE) * storagePrice;
  return { currency: prices.currency, cpu, memory, storage, total: cpu + memory + storage };
}

/** Reads a price table. @throws {Error} that names the field and what it must be. */
export function parsePrices(data: unknown): PriceTable {
  const parsed = PriceTable.safeParse(data);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new Error(`prices: ${issue?.path.join(".") || "the file"}: ${issue?.message ?? "is no price table"}`);
}
