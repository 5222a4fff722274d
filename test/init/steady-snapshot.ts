/** The agent of an image as its snapshot holds it: a steady one. */
import { startupSnapshot } from "node:v8";
import { serve } from "./steady-agent.ts";

startupSnapshot.setDeserializeMainFunction(() => void serve("snapshot"));
