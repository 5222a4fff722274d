#!/usr/bin/env node
/** `kubectl quorate`: looks at clusters, foretells changes, and asks for what is done once. */
import { EXIT } from "./cli/commands/session.ts";
import { buildProgram } from "./cli/program.ts";

try {
  await buildProgram().parseAsync();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = EXIT.error;
}
