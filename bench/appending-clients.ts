/** Clients that read and add to lists in the cluster of a campaign, and what the checker says of what they saw. */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { AppendClients } from "../hack/append/append-clients.ts";
import { check } from "../hack/append/check.ts";
import { type Anomaly, formatHistory, type Transaction } from "../hack/append/history.ts";
import type { OpenSession } from "../hack/append/list-store.ts";
import { resultsFile } from "./figures.ts";

const CLIENTS = 4;
const PAUSE_MS = 100;

/** What came of a workload. */
export interface AppendVerdict {
  /** That were acknowledged. */
  readonly transactions: number;
  /** Nothing, if all that was seen agrees with one order of all transactions, and with time. */
  readonly anomalies: readonly Anomaly[];
}

/** A workload that runs until it is told to finish. */
export interface AppendingClients {
  /** @param name - Of the files in which the history, and what is wrong with it, are kept when there is anything. */
  finish(name: string): Promise<AppendVerdict>;
}

/** Starts it. @param stop - Ends what `open` needs. */
export function startAppending(open: OpenSession, stop: () => void = () => undefined): AppendingClients {
  const prefix = `append-${Date.now()}`;
  const clients = new AppendClients({ open, prefix, clients: CLIENTS, pauseMs: PAUSE_MS, random: Math.random });
  clients.start();
  return {
    finish: async (name) => {
      const history = await clients.finish();
      stop();
      const anomalies = check(history);
      if (anomalies.length > 0) await keep(name, anomalies, history);
      return { transactions: clients.acked, anomalies };
    },
  };
}

async function keep(name: string, anomalies: readonly Anomaly[], history: readonly Transaction[]): Promise<void> {
  const file = join(dirname(resultsFile("campaign")), name);
  await mkdir(dirname(file), { recursive: true });
  const found = anomalies.map(({ name: is, explanation }) => `${is}\n${explanation}\n`);
  await writeFile(`${file}.txt`, found.join("\n"));
  await writeFile(`${file}.jsonl`, formatHistory(history));
  process.stdout.write(`${found.slice(0, 3).join("\n")}${anomalies.length} anomalies: ${file}.txt\n`);
}
