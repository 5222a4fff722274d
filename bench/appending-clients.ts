/** Clients that read and add to lists in the cluster of a campaign, and what the checker says of what they saw. */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { AppendClients } from "../hack/append/append-clients.ts";
import { check } from "../hack/append/check.ts";
import { type Anomaly, describe } from "../hack/append/history.ts";
import type { OpenSession } from "../hack/append/list-store.ts";
import { resultsFile } from "./figures.ts";

const CLIENTS = 3;
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
  /** @param name - Of the file in which the history is kept when something is wrong with it. */
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
      if (anomalies.length > 0) {
        const file = join(dirname(resultsFile("campaign")), `${name}.txt`);
        await mkdir(dirname(file), { recursive: true });
        const found = anomalies.map(({ name: is, explanation }) => `${is}\n${explanation}\n`);
        await writeFile(file, [...found, ...history.map(describe)].join("\n"));
        process.stdout.write(`${found.slice(0, 3).join("\n")}${anomalies.length} anomalies: ${file}\n`);
      }
      return { transactions: clients.acked, anomalies };
    },
  };
}
