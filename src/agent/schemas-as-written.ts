/** Loaded before any schema is made: an agent reads little, and to compile its schemas, as they are made, costs more than it saves. */
import { config } from "zod";

config({ jitless: true });
