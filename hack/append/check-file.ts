/** Judges a history that was kept: `node hack/append/check-file.ts FILE.jsonl` prints what is wrong with it, and ends with 1 if anything is. */
import { readFile } from "node:fs/promises";
import { check } from "./check.ts";
import { parseHistory } from "./history.ts";

const [file] = process.argv.slice(2);
if (file === undefined) throw new Error("which file?");
const history = parseHistory(await readFile(file, "utf8"));
const anomalies = check(history);
for (const { name, explanation } of anomalies) process.stdout.write(`${name}\n${explanation}\n\n`);
process.stdout.write(`${history.length} transactions, ${anomalies.length} anomalies\n`);
process.exitCode = anomalies.length === 0 ? 0 : 1;
