/** The agent of an image: gives way to the one that was chosen, and is a steady one where none was. */
import { launchChosen } from "../../src/agent/replacement/launch.ts";
import { serve } from "./steady-agent.ts";

const runDir = process.env["QUORATE_RUN_DIR"] ?? "";
if (!(await launchChosen(runDir, (code) => process.exit(code)))) await serve("image");
